//! The bytes of the store's files: a header, then frames, each with checksums.
//!
//! A frame is what one write call and one sync made durable. Checksums are seeded with the file's random salt, so
//! bytes inside a stored value can never be taken for a frame.

use crate::index::Change;
use bytes::Bytes;
use std::io::{self, Read};

/// The newest format that this program reads, and the one it writes.
pub(crate) const FORMAT: u32 = 1;

/// How each format is read, from the oldest on; the last is [`FORMAT`]. What a new format changes beyond the items of a
/// frame becomes a column here.
///
/// A store of an older format is upgraded by being opened: from then on the log is written in the newest, and a checkpoint
/// at once puts everything else into it.
const READERS: &[Reader] = &[
    #[cfg(test)]
    tests::OLDER,
    Reader { format: 1, items },
];

/// How one format is read.
pub(crate) struct Reader {
    pub(crate) format: u32,
    /// The items of a frame's payload; none if it does not parse.
    pub(crate) items: fn(&[u8]) -> Option<Vec<Item>>,
}
/// The size of a file's header.
pub(crate) const FILE_HEADER: usize = 48;
/// The size of a frame's header.
pub(crate) const FRAME_HEADER: usize = 24;

const FILE_MAGIC: &[u8; 8] = b"ASBstore";
const FRAME_MAGIC: [u8; 4] = *b"frm1";
/// No frame is longer: the largest transaction and the largest batch beside it.
const MAX_FRAME: usize = 64 << 20;

/// The room that a builder keeps after a large frame, and while nobody writes.
const KEEP_ROOM: usize = 1 << 20;
const REST_ROOM: usize = 16 << 10;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Log = 1,
    Snapshot = 2,
}

/// The header of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The format of everything in the file.
    pub(crate) format: u32,
    pub(crate) kind: Kind,
    pub(crate) generation: u64,
    /// Of a snapshot: the revision at which it was begun.
    pub(crate) revision: u64,
    pub(crate) salt: u64,
}

/// Why a file's header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    TooNew(u32),
    /// Stated, and the oldest that is read.
    TooOld(u32, u32),
    Broken(&'static str),
}

/// What reading the next frame found.
#[derive(Debug)]
pub(crate) enum Found {
    Frame(Frame),
    End,
    /// The bytes from here on are not a whole frame.
    Broken,
}

/// A frame whose checksums are right.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The revision of its first change (of a snapshot's frame, zero).
    pub(crate) first: u64,
    /// Its size in the file.
    pub(crate) size: usize,
    payload: Vec<u8>,
}

/// A frame being built. Reused, so that a busy store does not allocate for each commit.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
}

// === impl FileHeader ===

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER] {
        let mut bytes = [0; FILE_HEADER];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&self.format.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.revision.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        if bytes.len() < FILE_HEADER {
            return Err(BadHeader::Broken("it is shorter than its header"));
        }
        if bytes[..8] != *FILE_MAGIC {
            return Err(BadHeader::Broken("it is not a file of this store"));
        }
        if crc32c::crc32c(&bytes[..40]) != u32_at(bytes, 40) || bytes[44..FILE_HEADER] != [0; 4] {
            return Err(BadHeader::Broken("its header's checksum is wrong"));
        }
        let format = reader(READERS, u32_at(bytes, 8))?.format;
        let kind = match u32_at(bytes, 12) {
            1 => Kind::Log,
            2 => Kind::Snapshot,
            _ => return Err(BadHeader::Broken("its kind is unknown")),
        };
        let (generation, revision, salt) = (u64_at(bytes, 16), u64_at(bytes, 24), u64_at(bytes, 32));
        Ok(Self { format, kind, generation, revision, salt })
    }
}

/// The row of a format.
fn reader(readers: &[Reader], format: u32) -> Result<&Reader, BadHeader> {
    let oldest = readers.first().map_or(FORMAT, |reader| reader.format);
    match readers.iter().find(|reader| reader.format == format) {
        Some(reader) => Ok(reader),
        None if format < oldest => Err(BadHeader::TooOld(format, oldest)),
        None => Err(BadHeader::TooNew(format)),
    }
}

// === impl Builder ===

impl Builder {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_ROOM);
        self.bytes.resize(FRAME_HEADER, 0);
    }

    /// Returns the room that is not needed while nobody writes. What was built is gone.
    pub(crate) fn give_back(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(REST_ROOM);
    }

    /// Bytes so far, with the header.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn push(&mut self, change: &Change) {
        let value: &[u8] = change.value.as_deref().unwrap_or_default();
        self.bytes.push(if change.value.is_some() { PUT } else { DELETE });
        self.bytes.extend_from_slice(&change.revision.to_le_bytes());
        self.bytes.extend_from_slice(&length(change.key.len()));
        self.bytes.extend_from_slice(&length(value.len()));
        self.bytes.extend_from_slice(change.key.as_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// Marks the end of a snapshot, with how many entries it has.
    pub(crate) fn push_end(&mut self, entries: u64) {
        self.bytes.push(END);
        self.bytes.extend_from_slice(&entries.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
    }

    /// Fills in the header and gives the frame's bytes.
    pub(crate) fn seal(&mut self, salt: u64, first: u64) -> &[u8] {
        let payload = crc32c::crc32c_append(seed(salt), &self.bytes[FRAME_HEADER..]);
        let len = length(self.bytes.len() - FRAME_HEADER);
        let header = &mut self.bytes[..FRAME_HEADER];
        header[..4].copy_from_slice(&FRAME_MAGIC);
        header[4..8].copy_from_slice(&len);
        header[8..16].copy_from_slice(&first.to_le_bytes());
        header[16..20].copy_from_slice(&payload.to_le_bytes());
        let own = crc32c::crc32c_append(seed(salt), &header[..20]);
        header[20..24].copy_from_slice(&own.to_le_bytes());
        &self.bytes
    }
}

// === impl Frame ===

const PUT: u8 = 1;
const DELETE: u8 = 2;
const END: u8 = 3;
const CHANGE_HEADER: usize = 17;

/// One item of a frame.
pub(crate) enum Item {
    Change(Change),
    End { entries: u64 },
}

impl Frame {
    /// Its items, in a file of this format. None: the payload does not parse although its checksum is right.
    pub(crate) fn items(&self, format: u32) -> Option<Vec<Item>> {
        (reader(READERS, format).ok()?.items)(&self.payload)
    }
}

/// The items of format 1.
fn items(payload: &[u8]) -> Option<Vec<Item>> {
    let (mut items, mut rest) = (Vec::new(), payload);
    while !rest.is_empty() {
        let (item, after) = parse_item(rest)?;
        items.push(item);
        rest = after;
    }
    Some(items)
}

fn parse_item(bytes: &[u8]) -> Option<(Item, &[u8])> {
    let (header, rest) = bytes.split_at_checked(CHANGE_HEADER)?;
    let revision = u64_at(header, 1);
    if header[0] == END {
        return Some((Item::End { entries: revision }, rest));
    }
    let (key, rest) = rest.split_at_checked(u32_at(header, 9) as usize)?;
    let (value, rest) = rest.split_at_checked(u32_at(header, 13) as usize)?;
    let value = match header[0] {
        PUT => Some(Bytes::copy_from_slice(value)),
        DELETE => None,
        _ => return None,
    };
    let key = std::str::from_utf8(key).ok()?.into();
    Some((Item::Change(Change { key, revision, value }), rest))
}

/// Reads the frame at the reader's place.
pub(crate) fn read(reader: &mut impl Read, salt: u64) -> io::Result<Found> {
    let mut header = [0; FRAME_HEADER];
    match fill(reader, &mut header)? {
        0 => return Ok(Found::End),
        FRAME_HEADER => {}
        _ => return Ok(Found::Broken),
    }
    let Some(len) = frame_len(&header, salt) else { return Ok(Found::Broken) };
    let mut payload = vec![0; len];
    if fill(reader, &mut payload)? < len || crc32c::crc32c_append(seed(salt), &payload) != u32_at(&header, 16)
    {
        return Ok(Found::Broken);
    }
    Ok(Found::Frame(Frame { first: u64_at(&header, 8), size: FRAME_HEADER + len, payload }))
}

/// Whether a whole frame lies anywhere in `bytes`.
pub(crate) fn any_frame_in(bytes: &[u8], salt: u64) -> bool {
    (0..bytes.len().saturating_sub(FRAME_HEADER - 1)).any(|at| {
        bytes[at..].starts_with(&FRAME_MAGIC) && matches!(read(&mut &bytes[at..], salt), Ok(Found::Frame(_)))
    })
}

/// The payload's length, if the header is whole.
fn frame_len(header: &[u8], salt: u64) -> Option<usize> {
    let whole =
        header[..4] == FRAME_MAGIC && crc32c::crc32c_append(seed(salt), &header[..20]) == u32_at(header, 20);
    let len = u32_at(header, 4) as usize;
    (whole && len <= MAX_FRAME).then_some(len)
}

/// Reads until the buffer is full or the file ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn seed(salt: u64) -> u32 {
    crc32c::crc32c(&salt.to_le_bytes())
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("transactions are bounded far below 4 GiB").to_le_bytes()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests;
