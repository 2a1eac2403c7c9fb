//! Starts the built binary on a data directory of its own and drives it as a stranger would: through its command line,
//! through kubectl and through the host's own tools. Tests only; needs root, and fails (never skips) without.
//!
//! **Invariant:** whatever a test starts is gone when its [`Machine`] is dropped, also when the test fails.

#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise and says it"
)]

mod disk;
pub mod history;
pub mod inside;
mod machine;
pub mod manifest;
mod output;
pub mod outside;
mod residue;
pub mod storm;

pub use disk::Disk;
pub use machine::{Machine, eventually};
pub use output::Output;
pub use residue::Residue;
