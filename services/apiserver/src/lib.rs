//! The embedded Kubernetes API server.
//!
//! ```text
//!  HTTPS (listen, certificates) ──┐
//!                                 ├─> core: identity ─> route ─> verb ─> store
//!  Server::client (no socket) ────┘                        │        └──> rules (schema, kinds), ownership (merge), admission
//!                                                          └─> stream ─> the node's endpoints (Config.kubelet)
//! ```
//!
//! CustomResourceDefinitions ─> definitions ─> registry, which the route asks for kinds that are not in the table.
//!
//! **Invariants.**
//! - One code path for each verb, over JSON and the kind table. A kind has rules (crate `kinds`), never a handler.
//! - Every request has an identity; nothing is anonymous. What it may do, roles say (`access`).
//! - Stored bytes are served as they are; an object is parsed only when a selector, a table, another version or a write
//!   needs it.
//! - A watch holds a place in the store's window, not a queue of its own.

mod accept;
mod access;
mod admission;
mod body;
mod conversion;
mod core;
mod definitions;
mod filter;
mod health;
mod identity;
mod input;
pub mod kubeconfig;
mod kubelet;
mod listen;
mod meta_paths;
mod metrics;
mod object;
mod ownership;
mod pki;
mod random;
mod registry;
mod route;
mod rules;
mod seed;
mod server;
mod stored;
mod stream;
mod verb;
mod versions;
mod view;

pub use identity::{Identity, MASTERS};
pub use kubelet::{KubeletConnector, NoKubelet, NodeStream};
pub use pki::{KeyedCert, Pki, PkiError, Standing, standing};
pub use server::{BuildError, Config, Server};
