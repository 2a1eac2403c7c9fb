//! What is kept of claims, volumes and classes.
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use kubekit::Precondition;
use std::collections::BTreeMap;
use wire::Quantity;

/// Set on a claim when its binding is complete.
pub(super) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Says which provisioner made a volume.
pub(super) const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimView {
    pub(crate) at: Option<Precondition>,
    pub(crate) uid: String,
    pub(crate) deleting: bool,
    pub(crate) finalizers: Vec<String>,
    /// None: the default class. Empty: no class.
    pub(crate) class: Option<String>,
    pub(crate) request: Option<(Quantity, String)>,
    pub(crate) modes: Vec<String>,
    pub(crate) volume_mode: String,
    /// The volume it has or asks for.
    pub(crate) volume: String,
    pub(crate) completed: bool,
    pub(crate) phase: String,
    /// It selects volumes by labels: only volumes that exist already will do.
    pub(crate) selects: bool,
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VolumeView {
    pub(crate) at: Option<Precondition>,
    pub(crate) deleting: bool,
    /// It has the finalizer that keeps it while it is bound.
    pub(crate) protected: bool,
    pub(crate) class: String,
    pub(crate) capacity: Option<(Quantity, String)>,
    pub(crate) modes: Vec<String>,
    pub(crate) volume_mode: String,
    pub(crate) claim: Option<ClaimRef>,
    pub(crate) phase: String,
    /// Reclaim policy Delete.
    pub(crate) reclaim: bool,
    /// Made by us.
    pub(crate) ours: bool,
}

/// The claim a volume is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimRef {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty: whichever claim has this name.
    pub(crate) uid: String,
}

/// A StorageClass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassView {
    pub(crate) provisioner: String,
    pub(crate) default: bool,
    /// Empty: Delete.
    pub(crate) reclaim_policy: String,
    pub(crate) created: String,
}

// === impl ClaimView ===

impl ClaimView {
    pub(crate) fn of(claim: PersistentVolumeClaim) -> ClaimView {
        let at = Precondition::of(&claim.metadata);
        let (meta, spec) = (claim.metadata, claim.spec.unwrap_or_default());
        let annotations = meta.annotations.unwrap_or_default();
        let requests = spec.resources.and_then(|resources| resources.requests);
        ClaimView {
            at,
            uid: meta.uid.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
            class: spec.storage_class_name,
            request: storage(requests.as_ref()),
            modes: spec.access_modes.unwrap_or_default(),
            volume_mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
            volume: spec.volume_name.unwrap_or_default(),
            completed: annotations.contains_key(BIND_COMPLETED),
            phase: claim.status.and_then(|status| status.phase).unwrap_or_default(),
            selects: spec.selector.is_some(),
        }
    }

    /// Whether pods may use it.
    pub(crate) fn is_bound(&self) -> bool {
        !self.volume.is_empty() && self.completed
    }
}

// === impl VolumeView ===

impl VolumeView {
    pub(crate) fn of(volume: PersistentVolume) -> VolumeView {
        let at = Precondition::of(&volume.metadata);
        let (meta, spec) = (volume.metadata, volume.spec.unwrap_or_default());
        let annotations = meta.annotations.unwrap_or_default();
        let claim = spec.claim_ref.map(|claim| ClaimRef {
            namespace: claim.namespace.unwrap_or_default(),
            name: claim.name.unwrap_or_default(),
            uid: claim.uid.unwrap_or_default(),
        });
        VolumeView {
            at,
            claim,
            deleting: meta.deletion_timestamp.is_some(),
            protected: meta.finalizers.iter().flatten().any(|finalizer| finalizer == super::PROTECTION),
            class: spec.storage_class_name.unwrap_or_default(),
            capacity: storage(spec.capacity.as_ref()),
            modes: spec.access_modes.unwrap_or_default(),
            volume_mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
            phase: volume.status.and_then(|status| status.phase).unwrap_or_default(),
            reclaim: spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete"),
            ours: annotations.get(PROVISIONED_BY).is_some_and(|by| by == super::PROVISIONER),
        }
    }
}

// === impl ClassView ===

impl ClassView {
    pub(crate) fn of(class: StorageClass) -> ClassView {
        let annotations = class.metadata.annotations.unwrap_or_default();
        ClassView {
            provisioner: class.provisioner,
            default: annotations.get(DEFAULT_CLASS).is_some_and(|value| value == "true"),
            reclaim_policy: class.reclaim_policy.unwrap_or_default(),
            created: class.metadata.creation_timestamp.map(|time| time.0.to_string()).unwrap_or_default(),
        }
    }
}

fn storage(amounts: Option<&BTreeMap<String, Text>>) -> Option<(Quantity, String)> {
    let text = &amounts?.get("storage")?.0;
    Some((Quantity::parse(text).ok()?, text.clone()))
}
