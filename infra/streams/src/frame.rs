//! Messages: a channel number and data.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

/// The channel number that, in v5, says that the channel named in the data is closed.
const CLOSE: u8 = 255;

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Data for a channel.
    Data(u8, Bytes),
    /// No more data will come on this channel.
    Close(u8),
    /// The client leaves.
    Leave,
    /// Nothing that concerns a channel.
    Nothing,
}

// === impl Frame ===

impl Frame {
    /// Reads a message; `closes` says whether this dialect knows closing.
    pub(crate) fn read(message: Message, closes: bool) -> Self {
        let mut data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return Self::Leave,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Self::Nothing,
        };
        if data.is_empty() {
            return Self::Nothing;
        }
        match data.split_to(1)[0] {
            CLOSE if closes => data.first().map_or(Self::Nothing, |channel| Self::Close(*channel)),
            channel => Self::Data(channel, data),
        }
    }
}

/// A message for the client.
pub(crate) fn message(channel: u8, data: &[u8]) -> Message {
    let mut buffer = BytesMut::with_capacity(data.len() + 1);
    buffer.put_u8(channel);
    buffer.put_slice(data);
    Message::Binary(buffer.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_by_its_first_byte() {
        let read =
            |bytes: &'static [u8], closes| Frame::read(Message::Binary(Bytes::from_static(bytes)), closes);
        assert_eq!(read(b"\0abc", true), Frame::Data(0, Bytes::from_static(b"abc")));
        assert_eq!(read(b"\0", true), Frame::Data(0, Bytes::new()));
        assert_eq!(read(b"", true), Frame::Nothing);
        assert_eq!(read(b"\xff\0", true), Frame::Close(0));
        assert_eq!(read(b"\xff", true), Frame::Nothing);
        assert_eq!(read(b"\xff\0", false), Frame::Data(255, Bytes::from_static(b"\0")), "v4 cannot close");
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Frame::read(message(1, b"hello"), true), Frame::Data(1, Bytes::from_static(b"hello")));
    }
}
