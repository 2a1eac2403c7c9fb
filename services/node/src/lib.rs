//! The node agent: runs the Pods of one machine as Kubernetes defines them.
//!
//! ```text
//!  Pods (watch) --> pods: one actor per Pod --> lifecycle::pod::plan --> steps --> work: network, image, runtime
//!                          |  facts, record on disk                                  |
//!                          +<------------------------- outcomes <---------------------+--> status, events
//! ```
//!
//! [`Node`] is built from a [`Config`] and runs until shutdown. Containers are the supervisors', not this process's: it
//! may be killed at any instant, and the next one on the same data directory takes them over. [`Kubelet`] serves exec, attach,
//! logs, port-forward and images on any byte stream.
//!
//! **Invariant:** what runs is decided by `lifecycle::pod` alone; this crate carries it out. Nothing is removed from the
//! machine that a Pod of the first complete list owns.

mod actor;
mod config;
mod disk;
mod images;
mod kubelet;
mod links;
mod logs;
mod machine;
mod names;
mod node;
mod paths;
mod persistent;
mod pods;
mod record;
mod register;
mod registry;
mod roots;
mod shared;
mod sources;
mod sweep;
mod tokens;
mod trash;
mod vitals;
mod volumes;
mod work;
mod zone;

pub use config::Config;
pub use kubelet::Kubelet;
pub use node::{BuildError, Node, Stopper};
pub use persistent::FINALIZER;
pub use runtime::Driver;

/// Unmounts the Pods' volumes in memory, for a machine on which no node runs any more.
///
/// # Errors
/// What the file system says; what is still mounted stays.
pub fn release_memory(data_dir: &std::path::Path, run_dir: &std::path::Path) -> std::io::Result<()> {
    volumes::release_all(&paths::Paths::new(data_dir, run_dir))
}
