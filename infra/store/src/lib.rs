//! The durable store beneath the API server: keys, bytes and revisions.
//!
//! ```text
//!  commit ──> queue ──> writer thread ──> log (append, fdatasync) ──> index ──> window ──> answer
//!                                             │                        │          └──> watchers
//!                            checkpoint thread: next log file, snapshot┘
//! ```
//!
//! **Invariants.**
//! - A commit is answered, readable and watchable only after its bytes are on disk.
//! - One thread writes. It never runs on an async worker; reads and watches never touch the disk.
//! - A revision is given out once, in rising order, over every restart.
//! - After a failed write nothing more is written: the failed pages may be gone from the cache although a later
//!   sync succeeds, so only a restart (which reads what the disk holds) can know the truth.
//! - Files are changed through `disk` alone, so that the tests' model of a disk sees every write, sync and name.
//! - Opening either reaches a state that holds every acknowledged commit, or refuses and says what is broken.
//!
//! The engine is a log of our own. Measured beside it in one run (`examples/bench.rs`), SQLite with a group commit reached a
//! fifth of its writes at several times its p99; and SQLite ends its log silently at a damaged frame, which would break the
//! last invariant.
//!
//! It must never learn what a value means: no JSON, no kinds. A key's first two segments (`group/plural/`) are its
//! *topic*; topics only decide which watchers are woken.

mod checkpoint;
mod disk;
mod error;
mod files;
mod frame;
mod frozen;
mod index;
mod mark;
mod queue;
mod recovery;
mod snapshot;
mod store;
mod txn;
mod value;
mod window;
mod writer;

pub use error::{CommitError, Expired, OpenError};
pub use frozen::{Frozen, REVISION_GAP};
pub use store::{Config, Store};
pub use txn::{Entry, Event, EventKind, Expect, List, Op, Template, Txn};
pub use window::Watch;
