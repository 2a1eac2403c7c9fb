//! A spinner on standard error for what takes longer than a moment; plain lines where it is no terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

/// Shows what is waited for; gone when dropped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last: String,
}

// === impl Progress ===

impl Progress {
    /// A spinner that says nothing until the first [`Progress::say`].
    pub(crate) fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let bar = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, started: Instant::now(), last: String::new() }
    }

    /// Says what is being waited for. Without a terminal it is printed once a change, after the first second.
    pub(crate) fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None if text != self.last && self.started.elapsed() > Duration::from_secs(1) => {
                eprintln!("{text}")
            }
            None => return,
        }
        text.clone_into(&mut self.last);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
