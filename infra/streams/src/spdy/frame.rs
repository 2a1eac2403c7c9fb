//! Frames.

use super::headers::Headers;
use bytes::Bytes;

/// Why a stream is reset: the protocol's numbers.
pub mod status {
    /// The stream breaks the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// The stream is refused before it was looked at.
    pub const REFUSED_STREAM: u32 = 3;
    /// The sender does not need the stream any more.
    pub const CANCEL: u32 = 5;
}

/// One frame. Stream numbers have 31 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Its number: odd for those that a client opens.
        id: u32,
        /// The stream it belongs to, or 0.
        associated: u32,
        /// From 0, most urgent, to 7.
        priority: u8,
        /// The opener sends no data.
        fin: bool,
        /// The other side must send no data.
        unidirectional: bool,
        /// What the stream is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream.
        id: u32,
        /// No data follows.
        fin: bool,
        /// What the other side should know.
        headers: Headers,
    },
    /// Ends a stream in both directions at once.
    Reset {
        /// The stream.
        id: u32,
        /// See [`status`].
        status: u32,
    },
    /// Settings. Nothing here follows any.
    Settings {
        /// Forget those of an earlier connection.
        clear: bool,
        /// Number (with the flags in the high byte) and value.
        values: Vec<(u32, u32)>,
    },
    /// To be sent back as it is.
    Ping(u32),
    /// No new streams will be taken.
    GoAway {
        /// The last stream that was taken.
        last: u32,
        /// 0 if all is well.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// The stream.
        id: u32,
        /// No data follows.
        fin: bool,
        /// The headers.
        headers: Headers,
    },
    /// The sender would take so much more.
    WindowUpdate {
        /// The stream, or 0 for the connection.
        id: u32,
        /// Bytes.
        more: u32,
    },
    /// Data. A long frame is read as several of these, of which the last has its `fin`.
    Data {
        /// The stream.
        id: u32,
        /// No data follows.
        fin: bool,
        /// The data.
        data: Bytes,
    },
    /// A control frame of a kind that this protocol does not know: to be ignored.
    Unknown(u16),
}
