//! The streams of `exec`, `attach` and `portforward`, server side: Kubernetes' channel protocol on WebSockets, and SPDY/3.1.
//!
//! On a WebSocket a message is one byte of channel number and then data; over SPDY ([`spdy`]) there is a stream where there
//! would be a channel. [`exec`] carries stdin, stdout, stderr, the final status and terminal sizes; [`ports`] carries data
//! and an error message per forwarded port. Every queue is bounded: a side that does not read stops the other side
//! from sending, and never makes the process run out of memory.
//!
//! This crate knows no containers and no HTTP server: it gets the offered protocols, and the bytes after the upgrade.

pub mod exec;
mod frame;
pub mod ports;
mod protocol;
pub mod spdy;
pub mod status;

pub use protocol::{EXEC, Exec, FORWARD, Forward, Names, Offer, Protocol, Version, accept_key};

use std::time::Duration;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// The largest message a client may send.
const MAX_MESSAGE: usize = 16 << 20;

/// The largest piece of output sent as one message.
pub const MAX_CHUNK: usize = 32 << 10;

/// How many messages may wait in each direction.
const QUEUE: usize = 16;

/// How long a client that has been told of the end may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

async fn accept<S>(io: S) -> WebSocketStream<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await
}
