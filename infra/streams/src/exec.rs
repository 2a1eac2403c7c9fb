//! Exec and attach: stdin and sizes come in, stdout, stderr and one final status go out.
//!
//! On a WebSocket each is a channel (`websocket`), over SPDY each is a stream (`spdy`).

mod spdy;
mod websocket;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::protocol::Exec;
use crate::{MAX_CHUNK, QUEUE, accept};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Which channels the client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Data comes in.
    pub stdin: bool,
    /// Output goes out.
    pub stdout: bool,
    /// Errors go out; with a terminal there are none.
    pub stderr: bool,
    /// Sizes of a terminal come in.
    pub tty: bool,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// The node's side of one exec.
#[derive(Debug)]
pub struct Session {
    /// What the client types; ends when it closes its stdin or leaves.
    pub stdin: mpsc::Receiver<Bytes>,
    /// Sizes of the client's terminal. Only the newest matter: they are dropped while nobody reads.
    pub sizes: mpsc::Receiver<Size>,
    /// Where output goes.
    pub output: Output,
    /// Cancelled when the client is gone.
    pub gone: CancellationToken,
    opened: Option<oneshot::Receiver<()>>,
}

/// Sends output; clones share one bounded queue.
#[derive(Clone, Debug)]
pub struct Output {
    queue: mpsc::Sender<Sent>,
    wanted: Wanted,
}

/// The client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client has left")]
pub struct Gone;

#[derive(Debug)]
enum Sent {
    Data(u8, Bytes),
    End(Value),
}

/// The client's side of a [`Session`].
struct Ends {
    /// Where what is typed goes, if it is wanted.
    stdin: Option<mpsc::Sender<Bytes>>,
    sizes: mpsc::Sender<Size>,
    outgoing: mpsc::Receiver<Sent>,
    opened: oneshot::Sender<()>,
}

/// Serves one exec on the bytes after the upgrade. `asked` is what the client's request names, `wanted` what of it is
/// carried. Run the returned future until it ends: it carries the data, and ends after the final status was sent or the
/// client has left.
pub fn serve<S>(
    io: S,
    protocol: Exec,
    asked: Wanted,
    wanted: Wanted,
) -> (Session, impl Future<Output = ()> + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (type_in, stdin) = mpsc::channel(QUEUE);
    let (sizes_in, sizes) = mpsc::channel(1);
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let (open, opened) = oneshot::channel();
    let gone = CancellationToken::new();
    let output = Output { queue, wanted };
    let session = Session { stdin, sizes, output, gone: gone.clone(), opened: Some(opened) };
    let ends = Ends { stdin: wanted.stdin.then_some(type_in), sizes: sizes_in, outgoing, opened: open };
    let carry = async move {
        let _left = gone.drop_guard();
        match protocol {
            Exec::WebSocket(protocol) => websocket::carry(accept(io).await, protocol, ends, wanted).await,
            Exec::Spdy(version) => spdy::carry(io, version, asked, ends).await,
        }
    };
    (session, carry)
}

// === impl Session ===

impl Session {
    /// Waits until the client has opened all its streams; false if it does not. Nothing should run before.
    pub async fn opened(&mut self) -> bool {
        match self.opened.take() {
            Some(opened) => opened.await.is_ok(),
            None => true,
        }
    }
}

// === impl Output ===

impl Output {
    /// Sends output. Waits while the client does not read; drops what it did not ask for.
    ///
    /// # Errors
    /// When the client has left.
    pub async fn stdout(&self, data: Bytes) -> Result<(), Gone> {
        if self.wanted.stdout { self.send(STDOUT, data).await } else { Ok(()) }
    }

    /// Sends errors, as [`Output::stdout`] does.
    ///
    /// # Errors
    /// When the client has left.
    pub async fn stderr(&self, data: Bytes) -> Result<(), Gone> {
        if self.wanted.stderr { self.send(STDERR, data).await } else { Ok(()) }
    }

    /// Sends the final status (see [`crate::status`]) after all output sent before, and ends the session.
    pub async fn finish(self, status: Value) {
        // A client that has left needs no status.
        let _ = self.queue.send(Sent::End(status)).await;
    }

    async fn send(&self, channel: u8, mut data: Bytes) -> Result<(), Gone> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(MAX_CHUNK));
            self.queue.send(Sent::Data(channel, piece)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}

/// A size as clients send it: `{"Width":80,"Height":24}`.
fn size(value: &Value) -> Option<Size> {
    let side = |name: &str| value.get(name)?.as_u64()?.try_into().ok();
    Some(Size { width: side("Width")?, height: side("Height")? })
}

#[cfg(test)]
mod tests;
