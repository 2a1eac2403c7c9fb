//! What every part needs in order to be watched and tested: logs, metrics, checks, the time.
//!
//! - [`health`]: whether the process works; each part adds what it knows of itself.
//! - [`metrics`]: what is counted, for Prometheus.
//! - [`logs`]: sets up logging once per process.
//! - [`Clock`]: where the time comes from; a test sets it by hand.
//!
//! **Invariant:** no other crate asks the operating system for the wall clock where a decision depends on it.

pub mod clock;
pub mod health;
pub mod logs;
pub mod metrics;

pub use clock::{Clock, ManualClock, SystemClock};
pub use health::{Check, Health};
pub use metrics::Metrics;
