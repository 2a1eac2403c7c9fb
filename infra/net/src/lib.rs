//! The network of the pods of one machine: a namespace per pod, addresses, firewall and names.
//!
//! ```text
//!  pod netns            host
//!  eth0 10.x.y.z/32 --- as<id>-<slot>      no bridge between pods: every packet is routed,
//!  via 10.x.0.1         10.x.y.z/32 dev    so nftables sees it in `forward`
//!                       as<id> 10.x.0.1    the gateway address: our DNS and nothing else
//! ```
//!
//! **Invariant:** nothing leaves a pod before the firewall stands: the table exists before the first interface of
//! a pod does, its rules match our interfaces by name prefix, and a pod's source address is checked against the
//! route of its own interface. A pod reaches no address of the host but our DNS.
//!
//! **Invariant:** the kernel is the only record. The host side of each pod carries the pod's uid in its alias and its slot
//! in its name, so that after any crash [`Network::open`] knows what exists and [`Network::sweep`] what nobody owns.
//!
//! This crate must never touch an interface, rule or namespace that does not carry the id of its instance, except
//! where [`Config::fix_forward`] asks for an accept rule in somebody else's chain.
#![allow(unsafe_code, reason = "unshare(2) has no safe wrapper; netns.rs is the only user")]

mod config;
pub mod dns;
mod error;
mod finding;
mod foreign;
mod link;
mod netlink;
mod netns;
mod network;
mod nft;
mod rules;
mod slots;
mod state;
mod subnet;

pub use config::Config;
pub use error::Error;
pub use finding::{Finding, Severity};
pub use network::{Attach, Attachment, Network};
pub use subnet::Subnet;
