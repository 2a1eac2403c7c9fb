//! Compression of header blocks: one context per direction, which lives as long as the connection.

use super::{codec::Malformed, dictionary};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Longest block, decompressed.
const LONGEST: usize = 64 << 10;

/// Our blocks are small and few: a window of 4 KiB keeps a connection's memory small.
const WINDOW_BITS: u8 = 12;

/// Compresses blocks.
#[derive(Debug)]
pub(super) struct Deflater(Compress);

/// Decompresses blocks.
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

// === impl Deflater ===

impl Deflater {
    pub(super) fn new() -> Self {
        let mut deflate = Compress::new_with_window_bits(Compression::fast(), true, WINDOW_BITS);
        let named = deflate.set_dictionary(&dictionary::bytes());
        debug_assert!(named.is_ok(), "a new stream takes a dictionary");
        Self(deflate)
    }

    /// A block as it goes on the wire. Blocks must be decompressed in the order of these calls.
    pub(super) fn compress(&mut self, block: &[u8]) -> Result<Vec<u8>, Malformed> {
        let start = self.0.total_in();
        let mut out = Vec::with_capacity(block.len() + 64);
        loop {
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or(usize::MAX);
            let rest = block.get(taken..).unwrap_or_default();
            self.0.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(|_| Malformed::Compression)?;
            // Room that is left over says that everything is flushed.
            if out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(256);
        }
    }
}

// === impl Inflater ===

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// A block of the wire, decompressed.
    pub(super) fn decompress(&mut self, wire: &[u8]) -> Result<Vec<u8>, Malformed> {
        let start = self.0.total_in();
        let mut out = Vec::with_capacity(1024);
        loop {
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or(usize::MAX);
            let rest = wire.get(taken..).unwrap_or_default();
            let before = (taken, out.len());
            match self.0.decompress_vec(rest, &mut out, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(Malformed::Compression),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.0.set_dictionary(&dictionary::bytes());
                    set.map_err(|_| Malformed::Compression)?;
                    continue;
                }
                Err(_) => return Err(Malformed::Compression),
            }
            let taken = usize::try_from(self.0.total_in() - start).unwrap_or(usize::MAX);
            if taken == wire.len() && out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() >= LONGEST || before == (taken, out.len()) && out.len() < out.capacity() {
                return Err(Malformed::Compression);
            }
            out.reserve(1024);
        }
    }
}
