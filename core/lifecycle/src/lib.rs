//! The decisions of agent-sandbox: what should be done next about an object, given what is known of it.
//!
//! ```text
//!  caches --observe--> Snapshot --plan(now)--> Vec<Step> --execute--> one API request per step
//! ```
//!
//! Every `plan` is a pure function: the time is an argument, nothing is read or written, and planning the same
//! snapshot twice gives the same steps. A step is one entry of a closed enum and costs at most one API request.
//!
//! - [`sandbox`]: what the Sandbox controller does about one Sandbox and its Pod, Service and volume claims.
//! - [`disk`]: what the node agent does when its disk runs full.
//! - [`pod`]: what the node agent does about one Pod and its containers.
//!
//! **Invariant:** this crate knows no client, no runtime, no clock and no randomness.

pub mod disk;
pub mod pod;
pub mod sandbox;
