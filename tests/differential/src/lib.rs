//! The embedded API server and a real kube-apiserver, asked the same questions.
//!
//! ```text
//! kinds.yaml + cells.txt -> table (cells) -> play (on either server) -> normal (answers) -> compare -> differences
//! ```
//!
//! A cell is a verb, a kind and an option: a few requests on objects of its own. What the real server answered is kept
//! below `recorded/`, so that a machine without it can compare too. Every difference needs an entry with a reason in
//! `docs/kubernetes-differences.md`, and every entry needs a difference: `tests/replay.rs` holds both.
//!
//! **Invariant:** nothing here knows which server it talks to; both get the same bytes over TLS as the same user.

pub mod compare;
pub mod differences;
pub mod embedded;
pub mod normal;
pub mod play;
pub mod recorded;
pub mod reference;
pub mod report;
pub mod sample;
pub mod step;
pub mod table;
