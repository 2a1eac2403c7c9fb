//! What every part needs in order to be watched and tested: logs and the time.
//!
//! - [`logs`]: sets up logging once per process.
//! - [`Clock`]: where the time comes from; a test sets it by hand.
//!
//! **Invariant:** no other crate asks the operating system for the wall clock where a decision depends on it.

pub mod clock;
pub mod logs;

pub use clock::{Clock, ManualClock, SystemClock};
