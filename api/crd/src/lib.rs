//! The API of agent-sandbox: its four kinds in both served versions, and the words they are written with.
//!
//! - [`v1beta1`]: the stored version, the one our controllers speak.
//! - [`v1alpha1`]: the older served version; [`convert()`] turns stored documents into it and back.
//! - [`names`]: every label and annotation key, the names of generated objects, the name hash.
//! - [`conditions`]: every condition type and reason.
//! - [`documents`]: the CustomResourceDefinitions as shipped.
//!
//! Data only: no behaviour of a controller lives here.
//!
//! **Invariant:** a key, reason or name that a client can see is spelled once in the tree, and that is here.

mod resource;

pub mod conditions;
pub mod convert;
pub mod names;
pub mod v1alpha1;
pub mod v1beta1;

pub use convert::{ConvertError, convert};

/// API group of `Sandbox`.
pub const GROUP: &str = "agents.x-k8s.io";
/// API group of `SandboxClaim`, `SandboxTemplate` and `SandboxWarmPool`.
pub const EXTENSIONS_GROUP: &str = "extensions.agents.x-k8s.io";

/// The shipped CustomResourceDefinitions, one YAML document each.
pub fn documents() -> &'static [&'static str] {
    &[
        include_str!("../crds/agents.x-k8s.io_sandboxes.yaml"),
        include_str!("../crds/extensions.agents.x-k8s.io_sandboxclaims.yaml"),
        include_str!("../crds/extensions.agents.x-k8s.io_sandboxtemplates.yaml"),
        include_str!("../crds/extensions.agents.x-k8s.io_sandboxwarmpools.yaml"),
    ]
}
