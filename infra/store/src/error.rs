//! Why the store says no. Variants are named for what the caller can do about them.

use std::{io, path::PathBuf, sync::Arc};
use thiserror::Error;

/// Why a store cannot be opened. Nothing was changed on disk.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process (or another `Store` of this one) has the directory open.
    #[error("the store in {} is in use by another process; stop that one first", dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// The files were written by a newer version of this program.
    #[error(
        "{} has store format {found}, and this version reads up to {supported}; run the newer version, or restore a \
         backup made by this one",
        file.display()
    )]
    TooNew {
        /// The file.
        file: PathBuf,
        /// The format version that it states.
        found: u32,
        /// The newest format version that this program reads.
        supported: u32,
    },
    /// The files were written by a version so old that this one cannot read them.
    #[error(
        "{} has store format {found}, and this version reads from {oldest} on; start a version in between once, which \
         upgrades it",
        file.display()
    )]
    TooOld {
        /// The file.
        file: PathBuf,
        /// The format version that it states.
        found: u32,
        /// The oldest format version that this program reads.
        oldest: u32,
    },
    /// A file is damaged or missing, and opening without it would lose acknowledged writes.
    #[error("{} is damaged: {what}; restore the directory from a backup (nothing was changed)", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The directory cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a transaction did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommitError {
    /// A precondition does not hold; nothing was changed.
    #[error("the precondition on {key} does not hold")]
    Conflict {
        /// The key whose precondition failed.
        key: String,
        /// The revision at which that key was last written; none if it does not exist.
        current: Option<u64>,
    },
    /// The transaction is larger than the store takes; nothing was changed.
    #[error("a transaction of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The store no longer writes, because a write failed or it was closed. Whether this transaction reached
    /// the disk is known only after the store is opened again.
    #[error("the store has stopped accepting writes: {0}")]
    Stopped(Arc<str>),
}

/// The events after the asked revision are no longer held: list again and watch from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "events after revision {requested} are no longer held; the oldest revision to watch from is {oldest}"
)]
pub struct Expired {
    /// The revision asked for, or reached by the watch.
    pub requested: u64,
    /// The oldest revision from which a watch can start now.
    pub oldest: u64,
}
