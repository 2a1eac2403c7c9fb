//! Exec and attach: stdin and sizes come in, stdout, stderr and one final status go out.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use crate::frame::{Frame, message};
use crate::{GOODBYE, MAX_CHUNK, Protocol, QUEUE, accept};

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

/// Serves one exec on the bytes after the upgrade. Run the returned future until it ends: it carries the data, and ends
/// after the final status was sent or the client has left.
pub fn serve<S>(io: S, protocol: Protocol, wanted: Wanted) -> (Session, impl Future<Output = ()> + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (type_in, stdin) = mpsc::channel(QUEUE);
    let (resize, sizes) = mpsc::channel(1);
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let gone = CancellationToken::new();
    let session = Session { stdin, sizes, output: Output { queue, wanted }, gone: gone.clone() };
    let incoming =
        Incoming { stdin: wanted.stdin.then_some(type_in), sizes: resize, closes: protocol == Protocol::V5 };
    let carry = async move {
        let _left = gone.drop_guard();
        carry(accept(io).await, incoming, outgoing, wanted).await;
    };
    (session, carry)
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

struct Incoming {
    stdin: Option<mpsc::Sender<Bytes>>,
    sizes: mpsc::Sender<Size>,
    closes: bool,
}

// === impl Incoming ===

impl Incoming {
    /// Hands one message on. False when the client leaves.
    async fn take(&mut self, message: Message) -> bool {
        match Frame::read(message, self.closes) {
            Frame::Data(STDIN, data) => self.typed(data).await,
            Frame::Data(RESIZE, data) => {
                if let Some(size) = size(&data) {
                    let _ = self.sizes.try_send(size);
                }
            }
            Frame::Close(STDIN) => self.stdin = None,
            Frame::Leave => return false,
            Frame::Data(..) | Frame::Close(_) | Frame::Nothing => {}
        }
        true
    }

    async fn typed(&mut self, data: Bytes) {
        let Some(stdin) = &self.stdin else { return };
        if !data.is_empty() && stdin.send(data).await.is_err() {
            self.stdin = None;
        }
    }
}

async fn carry<S>(
    socket: WebSocketStream<S>,
    mut incoming: Incoming,
    mut outgoing: mpsc::Receiver<Sent>,
    wanted: Wanted,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut source) = socket.split();
    // The kubelet's greeting: an empty message tells the client that the streams are open.
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    if sink.send(message(first, &[])).await.is_err() {
        return;
    }
    let read = async {
        while let Some(Ok(message)) = source.next().await {
            if !incoming.take(message).await {
                break;
            }
        }
    };
    let write = async {
        while let Some(sent) = outgoing.recv().await {
            let (last, frame) = match sent {
                Sent::Data(channel, data) => (false, message(channel, &data)),
                Sent::End(status) => (true, message(ERROR, status.to_string().as_bytes())),
            };
            if sink.send(frame).await.is_err() || last {
                break;
            }
        }
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(GOODBYE, sink.send(Message::Close(Some(normal)))).await;
    };
    tokio::pin!(read, write);
    tokio::select! {
        () = &mut write => { let _ = timeout(GOODBYE, read).await; }
        () = &mut read => {}
    }
}

/// A size as clients send it: `{"Width":80,"Height":24}`.
fn size(data: &[u8]) -> Option<Size> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let side = |name: &str| value.get(name)?.as_u64()?.try_into().ok();
    Some(Size { width: side("Width")?, height: side("Height")? })
}

#[cfg(test)]
mod tests;
