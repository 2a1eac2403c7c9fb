//! The two ends of the file: what it is, and that all of it is there.
//!
//! Both are skippable frames of zstd (RFC 8878, section 3.1.2): a magic number, a length, and bytes that decoders skip.

use sha2::{Digest as _, Sha256};

/// The format written, and the newest that is read. A change of what a reader must understand raises it.
pub const FORMAT: u32 = 1;

/// One of the sixteen magic numbers of skippable frames.
const SKIPPABLE: u32 = 0x184D_2A5B;

const HEAD_MARK: &[u8; 8] = b"AGSBbkup";
const TAIL_MARK: &[u8; 8] = b"AGSBends";

/// Size of the beginning: magic, length, mark, format.
pub(crate) const HEAD: usize = 8 + 8 + 4;
/// Size of the end: magic, length, mark, bytes before it, their checksum.
pub(crate) const TAIL: usize = 8 + 8 + 8 + 32;

pub(crate) fn head() -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    frame(&mut bytes, HEAD_MARK);
    bytes[16..].copy_from_slice(&FORMAT.to_le_bytes());
    bytes
}

/// The format that a file states; none if it does not begin as a backup.
pub(crate) fn stated_format(bytes: &[u8; HEAD]) -> Option<u32> {
    let mut expected = *bytes;
    frame(&mut expected, HEAD_MARK);
    let number = bytes[16..].try_into().map(u32::from_le_bytes).ok();
    number.filter(|_| expected == *bytes)
}

pub(crate) fn tail(before: u64, hasher: Sha256) -> [u8; TAIL] {
    let mut bytes = [0; TAIL];
    frame(&mut bytes, TAIL_MARK);
    bytes[16..24].copy_from_slice(&before.to_le_bytes());
    bytes[24..].copy_from_slice(&hasher.finalize());
    bytes
}

fn frame(bytes: &mut [u8], mark: &[u8; 8]) {
    let length = u32::try_from(bytes.len() - 8).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&SKIPPABLE.to_le_bytes());
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(mark);
}
