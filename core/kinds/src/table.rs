//! The kinds served: names, scope, verbs, subresources, and where each is stored.
//!
//! Built-in kinds and the four Sandbox kinds are a constant table; a CustomResourceDefinition makes more kinds of
//! the same type at run time ([`Kind::from_crd`]). One kind in two groups or versions has one storage.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use wire::Qualified;

use crate::custom::Custom;

mod builtin;
mod sandbox;
pub(crate) mod subresources;

#[cfg(test)]
mod tests;

/// Text that is constant for built-in kinds and owned for those of a CRD.
pub type Text = Cow<'static, str>;

/// A kind in one group and version.
#[derive(Clone, Debug)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: Text,
    /// API version.
    pub version: Text,
    /// `Pod`.
    pub kind: Text,
    /// `PodList`.
    pub list_kind: Text,
    /// `pods`.
    pub plural: Text,
    /// `pod`.
    pub singular: Text,
    /// `po`.
    pub short_names: Vec<Text>,
    /// Groups of kinds such as `all`.
    pub categories: Vec<Text>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs of the main resource.
    pub verbs: &'static [&'static str],
    /// What hangs below an object.
    pub subresources: Vec<Subresource>,
    /// Where objects are kept; `None` for kinds that are only asked (reviews).
    pub storage: Option<Storage>,
    /// What a client of a deprecated version is told.
    pub deprecation: Option<Text>,
    /// Which rules apply.
    pub body: Body,
}

/// Where objects of a kind are kept: the first two parts of their key, and the form they have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// API group, `core` for the core group.
    pub group: Text,
    /// `pods`.
    pub plural: Text,
    /// API version of the stored form. Objects served in another group or version are converted.
    pub version: Text,
}

/// What hangs below an object: `pods/log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// `log`.
    pub name: &'static str,
    /// Group of the kind it takes and gives; `None` means that of the parent.
    pub payload: Option<(&'static str, &'static str, &'static str)>,
    /// Its verbs.
    pub verbs: &'static [&'static str],
}

/// Which rules apply to a kind: its defaults, validation, preparation and columns.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the names are those of the kinds
pub enum Body {
    ClusterRole,
    ClusterRoleBinding,
    ConfigMap,
    CustomResourceDefinition,
    Deployment,
    EndpointSlice,
    Endpoints,
    /// Both `v1` and `events.k8s.io/v1`.
    Event,
    Job,
    Lease,
    LimitRange,
    Namespace,
    NetworkPolicy,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PriorityClass,
    ReplicaSet,
    ResourceQuota,
    /// Kinds that are answered, never stored.
    Review,
    Role,
    RoleBinding,
    RuntimeClass,
    Secret,
    Service,
    ServiceAccount,
    StorageClass,
    /// What a CustomResourceDefinition describes.
    Custom(Arc<Custom>),
}

/// Verbs of namespaces: each is emptied by itself.
pub const ONE_BY_ONE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// Verbs of a stored kind.
pub const STORED: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

static TABLE: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let mut kinds = builtin::kinds();
    kinds.extend(sandbox::kinds());
    kinds
});

/// All kinds that exist without a CustomResourceDefinition, grouped, preferred versions first.
pub fn table() -> &'static [Kind] {
    &TABLE
}

/// The kind served at `/apis/<group>/<version>/<plural>`.
pub fn lookup(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    TABLE.iter().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The kind with a name.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    TABLE.iter().find(|k| k.group == group && k.version == version && k.kind == kind)
}

// === impl Kind ===

impl Kind {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The plural with its group, as most messages name a kind.
    pub fn resource(&self) -> Qualified<'_> {
        Qualified::new(&self.group, &self.plural)
    }

    /// The kind with its group, as `Invalid` names it.
    pub fn qualified_kind(&self) -> Qualified<'_> {
        Qualified::new(&self.group, &self.kind)
    }

    /// A subresource by name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether `status` is written separately from the rest.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// What a CRD says of the kind, if one made it.
    pub fn custom(&self) -> Option<&Custom> {
        match &self.body {
            Body::Custom(custom) => Some(custom),
            _ => None,
        }
    }

    /// The stored form's `apiVersion`, if it differs from this kind's: then objects are converted on the way.
    pub fn stored_api_version(&self) -> Option<String> {
        let storage = self.storage.as_ref()?;
        let version = match storage.group.as_ref() {
            "core" => storage.version.to_string(),
            group => format!("{group}/{}", storage.version),
        };
        (version != self.api_version()).then_some(version)
    }

    /// Whether an update may leave out `metadata.resourceVersion`. If not, Kubernetes answers 422
    /// `metadata.resourceVersion: Invalid value: 0: must be specified for an update`.
    pub fn allows_unconditional_update(&self) -> bool {
        !matches!(
            self.body,
            Body::Custom(_) | Body::CustomResourceDefinition | Body::Lease | Body::RuntimeClass
        )
    }

    /// Whether a finished deletion answers with the object as it was, and not with a `Status`.
    pub fn returns_deleted(&self) -> bool {
        matches!(
            self.body,
            Body::PersistentVolume
                | Body::PersistentVolumeClaim
                | Body::Pod
                | Body::ResourceQuota
                | Body::Service
                | Body::ServiceAccount
                | Body::StorageClass
        )
    }

    /// Whether an update of an object that does not exist creates it.
    pub fn creates_on_update(&self) -> bool {
        matches!(
            self.body,
            Body::ClusterRole
                | Body::ClusterRoleBinding
                | Body::Endpoints
                | Body::Event
                | Body::Lease
                | Body::LimitRange
                | Body::Role
                | Body::RoleBinding
                | Body::RuntimeClass
                | Body::Service
        )
    }
}
