//! One file that holds a directory: written at once or not at all, checked as a whole before anything is taken out of it.
//!
//! ```text
//!  mark, format │ zstd( tar: files, trees with owners, modes, times, attributes, links, holes ) │ length, SHA-256
//! ```
//!
//! The mark and the end are skippable frames of zstd, so `tar --zstd -tvf FILE` lists a backup too.
//!
//! **Invariants.**
//! - A backup has its name only once it is whole and on the disk; only its owner may read it.
//! - Nothing is read from a file before its checksum over everything was found right.
//! - A tree is read while strangers work in it: no link is followed, no path leads out, what vanishes is left out, and
//!   holes are not read. What goes back is made beneath a descriptor, where no link is followed either.
//!
//! It must never learn what it holds: no store, no Kubernetes.

mod error;
mod format;
mod pack;
mod place;
mod progress;
mod read;
mod record;
mod segments;
mod tree;

pub use error::Error;
pub use format::FORMAT;
pub use pack::{LeftOut, Packed, Writer};
pub use place::Target;
pub use progress::Progress;
pub use read::Reader;
pub use record::Record;
