//! The user's terminal while a sandbox has it: raw mode, its size, and putting it back.

use kube::api::TerminalSize;
use rustix::{
    stdio::{stdin, stdout},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use std::io::IsTerminal as _;
use tokio::signal::unix::{SignalKind, signal};

/// Raw mode until dropped.
pub(crate) struct Raw {
    before: Termios,
}

// === impl Raw ===

impl Raw {
    /// Puts standard input into raw mode; `None` where it is no terminal.
    pub(crate) fn enter() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Whether the command gets a terminal: it was asked for, and there is one here. Says so where there is not.
pub(crate) fn wanted(asked: bool) -> bool {
    let here = std::io::stdin().is_terminal();
    if asked && !here {
        eprintln!("standard input is no terminal: going on without one");
    }
    asked && here
}

/// The terminal's size in characters, where there is one.
pub(crate) fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(stdout()).ok()?;
    Some(TerminalSize { width: size.ws_col, height: size.ws_row })
}

/// Sends the size now and on every change, until the other side is gone.
pub(crate) async fn follow_size(mut sizes: impl futures::Sink<TerminalSize> + Unpin) {
    use futures::SinkExt as _;
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Some(size) = size()
            && sizes.send(size).await.is_err()
        {
            return;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}
