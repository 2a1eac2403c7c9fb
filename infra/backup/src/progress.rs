//! How far the work is, and the way to end it: for another thread to look at.

use crate::error::ToldToEnd;
use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Shared by whoever works and whoever waits.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    end: AtomicBool,
}

// === impl Progress ===

impl Progress {
    /// Bytes of content that went through.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tells the work to end soon, with [`crate::Error::Stopped`].
    pub fn end(&self) {
        self.end.store(true, Ordering::Relaxed);
    }

    /// Notes that so many bytes more went through; an error once it was told to end.
    pub(crate) fn add(&self, bytes: usize) -> io::Result<()> {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        match self.end.load(Ordering::Relaxed) {
            true => Err(io::Error::other(ToldToEnd)),
            false => Ok(()),
        }
    }
}
