//! Exec on channels of a WebSocket.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{ERROR, Ends, RESIZE, STDERR, STDIN, STDOUT, Sent, Size, Wanted, size};
use crate::frame::{Frame, message};
use crate::{GOODBYE, Protocol};

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
                let value = serde_json::from_slice(&data).ok();
                if let Some(size) = value.as_ref().and_then(size) {
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

/// Carries one exec on a WebSocket.
pub(super) async fn carry<S>(socket: WebSocketStream<S>, protocol: Protocol, ends: Ends, wanted: Wanted)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ends { stdin, sizes, mut outgoing, opened } = ends;
    let mut incoming = Incoming { stdin, sizes, closes: protocol == Protocol::V5 };
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
    let _ = opened.send(());
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
