//! The controllers that make a bare API server behave like a cluster of one node.
//!
//! ```text
//! owners      what has no owner left is deleted; foreground and orphan deletion    (Kubernetes: garbage collector)
//! namespaces  a namespace on its way out is emptied, then let go
//! scheduler   pods get the node, or a condition that says why not
//! volumes     claims get volumes, volumes without a claim go or are kept
//! endpoints   Services know their pods
//! apps        Deployments, ReplicaSets and Jobs have their pods
//! quotas      each ResourceQuota says what is used
//! accounts    every namespace has its service account `default` and the CA's certificate
//! expiry      events are forgotten after an hour
//! definitions owners, namespaces and quotas take in the kinds of CustomResourceDefinitions, and let them go
//! ```
//!
//! Each observes through informers, decides in a pure function and acts by guarded writes. On Kubernetes none of this runs.
//!
//! **Invariant:** nothing is deleted because a cache does not know it: the absence of an owner or a claim is verified by asking
//! the server, and every delete carries the uid and resourceVersion it was decided on.

mod accounts;
mod apps;
mod config;
mod definitions;
mod endpoints;
mod expiry;
mod guarded;
mod namespaces;
mod owners;
mod quotas;
mod resources;
mod run;
mod scheduler;
mod view;
mod volumes;

pub use config::Config;
pub use run::run;
pub use volumes::{PROVISIONER, VOLUME_FINALIZER};
