//! The parts every controller is built from, over any `kube::Client`: a socket or a service in this process.
//!
//! - [`Informer`]: keeps a projection of every object of a kind, and tells what changed.
//! - [`Queue`]: hands out keys to workers: deduplicated, never the same key twice at once, with back-off.
//! - [`write`](mod@write): deletes and patches that carry the uid and resourceVersion they were decided on.
//! - [`Text`]: strings that many caches hold, held once.
//! - [`EventRecorder`]: `events.k8s.io/v1` events, repeats folded into series.
//!
//! **Invariants.** Memory is bounded by the number of objects watched, never by the number of changes. Nothing here
//! knows a kind of ours. Nothing is spawned behind the caller's back: each part has a `run` that ends on shutdown.

mod backoff;
pub mod events;

pub mod informer;
mod key;
pub mod queue;
mod text;
pub mod write;

pub use backoff::Backoff;
pub use events::{EventRecorder, Happening};

pub use informer::{Change, Informer, Reader};
pub use key::Key;
pub use queue::{Board, Lane, Lease, Outcome, Queue};
pub use text::Text;
pub use write::{Failure, Precondition};
