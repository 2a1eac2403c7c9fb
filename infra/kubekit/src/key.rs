//! The name of an object within its kind.

use crate::Text;
use kube::core::ObjectMeta;
use std::fmt;

/// Namespace and name. The namespace of a cluster-scoped object is empty. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace, or empty.
    pub namespace: Text,
    /// The name.
    pub name: Text,
}

// === impl Key ===

impl Key {
    /// The key of `name` in `namespace` (empty for cluster-scoped objects).
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of the object that `meta` belongs to.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}
