//! A byte stream in the binary messages of a WebSocket; where one message ends and the next begins means nothing.

use std::io;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// Both directions of the stream. Its end is a close message.
pub(super) fn open<S>(
    socket: WebSocketStream<S>,
) -> (impl AsyncRead + Send + Unpin, impl AsyncWrite + Send + Unpin)
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (sink, source) = socket.split();
    let pieces = source.map(piece).take_while(|piece| std::future::ready(!matches!(piece, Ok(None))));
    let pieces = pieces.map(|piece| piece.map(Option::unwrap_or_default));
    let sink = sink.sink_map_err(io::Error::other);
    let sink = sink.with(|data: Bytes| std::future::ready(Ok::<_, io::Error>(Message::Binary(data))));
    (Box::pin(StreamReader::new(pieces)), SinkWriter::new(CopyToBytes::new(sink)))
}

/// The bytes of a message; `None` at the end.
fn piece(message: Result<Message, Error>) -> io::Result<Option<Bytes>> {
    match message.map_err(io::Error::other)? {
        Message::Binary(data) => Ok(Some(data)),
        Message::Close(_) => Ok(None),
        Message::Text(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a text message in a tunnel of bytes"))
        }
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(Some(Bytes::new())),
    }
}
