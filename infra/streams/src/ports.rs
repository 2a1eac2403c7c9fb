//! Port-forward: data both ways for each port, and an error message for a port that cannot be reached.
//!
//! On a WebSocket each port has two channels (`channels`). Over SPDY each connection to a port has two streams (`pairs`),
//! and SPDY itself may come in the messages of a WebSocket (`tunnel`).

mod channels;
mod pairs;
mod tunnel;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::protocol::Forward;

/// How much may wait in each direction of one connection.
const BUFFER: usize = 64 << 10;

/// One connection to a port: connect [`Port::stream`] with whatever listens there, and drop all of this when it is over.
#[derive(Debug)]
pub struct Port {
    /// The port's number.
    pub number: u16,
    /// Data both ways. Each direction ends on its own.
    pub stream: DuplexStream,
    /// Says why the port cannot be reached.
    pub failure: Failure,
    /// Cancelled when the client has given up.
    pub gone: CancellationToken,
}

/// Tells the client why a port cannot be reached.
#[derive(Debug)]
pub struct Failure(oneshot::Sender<String>);

/// The client's side of a [`Port`].
struct End {
    stream: DuplexStream,
    failure: oneshot::Receiver<String>,
    /// Dropped when the client has given up.
    here: DropGuard,
}

/// Serves a port-forward on the bytes after the upgrade; `numbers` are the ports that the request names, at most 127 for
/// channels. Connections come out as the client makes them. Run the returned future until it ends; it ends when the client
/// has left or nothing can come any more.
pub fn serve<S>(
    io: S,
    protocol: Forward,
    numbers: Vec<u16>,
) -> (mpsc::UnboundedReceiver<Port>, impl Future<Output = ()> + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    // Bounded by what a client may hold open: channels by the request, pairs by the streams of a connection.
    let (opened, ports) = mpsc::unbounded_channel();
    let carry = async move {
        match protocol {
            Forward::Channels => channels::carry(io, &numbers, opened).await,
            Forward::Spdy => {
                let (reader, writer) = tokio::io::split(io);
                pairs::carry(reader, writer, opened).await;
            }
            Forward::Tunnel => {
                let (reader, writer) = tunnel::open(crate::accept(io).await);
                pairs::carry(reader, writer, opened).await;
            }
        }
    };
    (ports, carry)
}

// === impl Failure ===

impl Failure {
    /// Sends the message. Do it before the stream is dropped.
    pub fn send(self, text: String) {
        // A client that has left needs no message.
        let _ = self.0.send(text);
    }
}

/// Both sides of one connection.
fn open(number: u16) -> (Port, End) {
    let (stream, ours) = tokio::io::duplex(BUFFER);
    let (failure, failed) = oneshot::channel();
    let gone = CancellationToken::new();
    let here = gone.clone().drop_guard();
    (Port { number, stream, failure: Failure(failure), gone }, End { stream: ours, failure: failed, here })
}

#[cfg(test)]
mod tests;
