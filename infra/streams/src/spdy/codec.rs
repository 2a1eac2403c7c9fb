//! Frames from bytes and bytes from frames: pure, bounded, and safe on any input.

use super::deflate::{Deflater, Inflater};
use super::frame::Frame;
use super::headers::Headers;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The version in control frames.
const VERSION: u16 = 3;
/// Longest control frame. Kubernetes' clients stay below 200 bytes.
const LONGEST_CONTROL: usize = 64 << 10;
/// Longest piece of data that is handed on at once.
const PIECE: usize = 32 << 10;
/// Longest data frame that fits.
const LONGEST_DATA: usize = (1 << 24) - 1;
/// Shorter data is copied, so that it does not keep a whole read buffer in memory.
const COPIED: usize = 8 << 10;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;
const CLEAR: u8 = 1;

/// What cannot be a frame. The connection cannot go on after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another version.
    #[error("version {0} is not spoken, only 3")]
    Version(u16),
    /// A control frame whose length is not that of its kind.
    #[error("a control frame of kind {0} cannot have {1} bytes")]
    Length(u16, usize),
    /// Stream 0, where there must be a stream.
    #[error("stream 0 is not a stream")]
    ZeroStream,
    /// Flags that the kind does not have.
    #[error("a control frame of kind {0} cannot have flags {1:#x}")]
    Flags(u16, u8),
    /// A reset without a reason.
    #[error("a reset must have a status")]
    ZeroStatus,
    /// The compressed headers cannot be decompressed.
    #[error("headers cannot be decompressed")]
    Compression,
    /// The headers are not as they must be.
    #[error("headers: {0}")]
    Headers(&'static str),
}

/// Reads frames.
#[derive(Debug)]
pub struct Decoder {
    inflater: Inflater,
    /// The data frame whose bytes are being read: stream, whether it is the last, bytes to come.
    body: Option<(u32, bool, usize)>,
}

/// Writes frames.
#[derive(Debug)]
pub struct Encoder {
    deflater: Deflater,
}

/// A control frame's payload, with its kind and flags.
struct Control {
    kind: u16,
    flags: u8,
    payload: Bytes,
}

// === impl Decoder ===

impl Default for Decoder {
    fn default() -> Self {
        Self { inflater: Inflater::new(), body: None }
    }
}

impl Decoder {
    /// Takes the next frame off the front of `bytes`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
        if let Some(body) = self.body {
            return Ok(self.piece(body, bytes));
        }
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
        let [a, b, c, d, flags, e, f, g] = *head;
        let length = (usize::from(e) << 16) | (usize::from(f) << 8) | usize::from(g);
        let first = u32::from_be_bytes([a, b, c, d]);
        if first & 0x8000_0000 == 0 {
            if first == 0 {
                return Err(Malformed::ZeroStream);
            }
            bytes.advance(8);
            return Ok(self.piece((first, flags & FIN != 0, length), bytes));
        }
        let (version, kind) = (u16::from_be_bytes([a, b]) & 0x7fff, u16::from_be_bytes([c, d]));
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        if length > LONGEST_CONTROL {
            return Err(Malformed::Length(kind, length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        bytes.advance(8);
        let control = Control { kind, flags, payload: bytes.split_to(length).freeze() };
        control.read(&mut self.inflater).map(Some)
    }

    /// The next piece of a data frame.
    fn piece(&mut self, (id, fin, left): (u32, bool, usize), bytes: &mut BytesMut) -> Option<Frame> {
        let size = left.min(bytes.len()).min(PIECE);
        self.body = (size < left).then_some((id, fin, left - size));
        if size == 0 && left > 0 {
            return None;
        }
        let piece = bytes.split_to(size);
        let data = if size < COPIED { Bytes::copy_from_slice(&piece) } else { piece.freeze() };
        Some(Frame::Data { id, fin: fin && size == left, data })
    }
}

// === impl Control ===

impl Control {
    fn read(mut self, inflater: &mut Inflater) -> Result<Frame, Malformed> {
        let fin = self.flags & FIN != 0;
        match self.kind {
            SYN_STREAM => {
                self.at_least(10)?;
                let (id, associated) = (self.stream()?, self.number() & 0x7fff_ffff);
                let (priority, _slot) = (self.payload.get_u8() >> 5, self.payload.get_u8());
                let unidirectional = self.flags & UNIDIRECTIONAL != 0;
                let headers = Headers::read(&inflater.decompress(&self.payload)?)?;
                Ok(Frame::SynStream { id, associated, priority, fin, unidirectional, headers })
            }
            SYN_REPLY | HEADERS => {
                self.at_least(4)?;
                let id = self.stream()?;
                let headers = Headers::read(&inflater.decompress(&self.payload)?)?;
                Ok(if self.kind == HEADERS {
                    Frame::Headers { id, fin, headers }
                } else {
                    Frame::SynReply { id, fin, headers }
                })
            }
            RST_STREAM => {
                self.exactly(8)?;
                let (id, status) = (self.stream()?, self.number());
                if status == 0 { Err(Malformed::ZeroStatus) } else { Ok(Frame::Reset { id, status }) }
            }
            SETTINGS => self.settings(),
            PING => {
                self.exactly(4)?;
                self.no_flags()?;
                match self.number() {
                    0 => Err(Malformed::ZeroStream),
                    id => Ok(Frame::Ping(id)),
                }
            }
            GOAWAY => {
                self.exactly(8)?;
                self.no_flags()?;
                Ok(Frame::GoAway { last: self.number() & 0x7fff_ffff, status: self.number() })
            }
            WINDOW_UPDATE => {
                self.exactly(8)?;
                self.no_flags()?;
                let (id, more) = (self.number(), self.number());
                Ok(Frame::WindowUpdate { id: id & 0x7fff_ffff, more: more & 0x7fff_ffff })
            }
            other => Ok(Frame::Unknown(other)),
        }
    }

    fn settings(mut self) -> Result<Frame, Malformed> {
        self.at_least(4)?;
        let count = usize::try_from(self.number()).unwrap_or(usize::MAX);
        if count.checked_mul(8) != Some(self.payload.len()) {
            return Err(Malformed::Length(self.kind, self.payload.len() + 4));
        }
        let values = (0..count).map(|_| (self.number(), self.number())).collect();
        Ok(Frame::Settings { clear: self.flags & CLEAR != 0, values })
    }

    fn at_least(&self, length: usize) -> Result<(), Malformed> {
        let have = self.payload.len();
        if have < length { Err(Malformed::Length(self.kind, have)) } else { Ok(()) }
    }

    fn exactly(&self, length: usize) -> Result<(), Malformed> {
        let have = self.payload.len();
        if have == length { Ok(()) } else { Err(Malformed::Length(self.kind, have)) }
    }

    fn no_flags(&self) -> Result<(), Malformed> {
        if self.flags == 0 { Ok(()) } else { Err(Malformed::Flags(self.kind, self.flags)) }
    }

    fn stream(&mut self) -> Result<u32, Malformed> {
        match self.number() & 0x7fff_ffff {
            0 => Err(Malformed::ZeroStream),
            id => Ok(id),
        }
    }

    fn number(&mut self) -> u32 {
        self.payload.get_u32()
    }
}

// === impl Encoder ===

impl Default for Encoder {
    fn default() -> Self {
        Self { deflater: Deflater::new() }
    }
}

impl Encoder {
    /// Appends a frame. Data that is longer than a frame goes into several.
    ///
    /// # Errors
    /// The headers are too long for a frame.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Malformed> {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let numbers =
            |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        let (kind, flags, payload): (u16, u8, Vec<u8>) = match frame {
            Frame::SynStream { id, associated, priority, fin, unidirectional, headers } => {
                let mut payload = numbers(&[*id, *associated]);
                payload.extend([priority << 5, 0]);
                payload.extend(self.deflater.compress(&headers.block())?);
                (SYN_STREAM, flag(*fin, FIN) | flag(*unidirectional, UNIDIRECTIONAL), payload)
            }
            Frame::SynReply { id, fin, headers } | Frame::Headers { id, fin, headers } => {
                let mut payload = numbers(&[*id]);
                payload.extend(self.deflater.compress(&headers.block())?);
                let kind = if matches!(frame, Frame::Headers { .. }) { HEADERS } else { SYN_REPLY };
                (kind, flag(*fin, FIN), payload)
            }
            Frame::Reset { id, status } => (RST_STREAM, 0, numbers(&[*id, *status])),
            Frame::Settings { clear, values } => {
                let mut payload = numbers(&[u32::try_from(values.len()).unwrap_or(u32::MAX)]);
                payload.extend(values.iter().flat_map(|(id, value)| numbers(&[*id, *value])));
                (SETTINGS, flag(*clear, CLEAR), payload)
            }
            Frame::Ping(id) => (PING, 0, numbers(&[*id])),
            Frame::GoAway { last, status } => (GOAWAY, 0, numbers(&[*last, *status])),
            Frame::WindowUpdate { id, more } => (WINDOW_UPDATE, 0, numbers(&[*id, *more])),
            Frame::Data { id, fin, data } => {
                data_frames(*id, *fin, data, out);
                return Ok(());
            }
            Frame::Unknown(kind) => (*kind, 0, Vec::new()),
        };
        if payload.len() > LONGEST_CONTROL {
            return Err(Malformed::Length(kind, payload.len()));
        }
        out.put_u16(0x8000 | VERSION);
        out.put_u16(kind);
        head(flags, payload.len(), out);
        out.put_slice(&payload);
        Ok(())
    }
}

fn data_frames(id: u32, fin: bool, data: &[u8], out: &mut BytesMut) {
    let mut rest = data;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(LONGEST_DATA));
        out.put_u32(id & 0x7fff_ffff);
        head(if fin && after.is_empty() { FIN } else { 0 }, piece.len(), out);
        out.put_slice(piece);
        if after.is_empty() {
            return;
        }
        rest = after;
    }
}

/// Flags and length, which must fit in 24 bits.
fn head(flags: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(flags);
    out.put_uint(u64::try_from(length).unwrap_or_default(), 3);
}
