//! What is kept of claims, volumes and classes.
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kubekit::{Precondition, Text};
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
    pub(crate) uid: Text,
    pub(crate) deleting: bool,
    pub(crate) finalizers: Box<[Text]>,
    /// None: the default class. Empty: no class.
    pub(crate) class: Option<Text>,
    pub(crate) request: Option<(Quantity, Text)>,
    pub(crate) modes: Box<[Text]>,
    pub(crate) volume_mode: Text,
    /// The volume it has or asks for.
    pub(crate) volume: Text,
    pub(crate) completed: bool,
    pub(crate) phase: Text,
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
    pub(crate) class: Text,
    pub(crate) capacity: Option<(Quantity, Text)>,
    pub(crate) modes: Box<[Text]>,
    pub(crate) volume_mode: Text,
    pub(crate) claim: Option<ClaimRef>,
    pub(crate) phase: Text,
    /// Reclaim policy Delete.
    pub(crate) reclaim: bool,
    /// Made by us.
    pub(crate) ours: bool,
}

/// The claim a volume is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClaimRef {
    pub(crate) namespace: Text,
    pub(crate) name: Text,
    /// Empty: whichever claim has this name.
    pub(crate) uid: Text,
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
            uid: text(meta.uid),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: texts(meta.finalizers),
            class: spec.storage_class_name.map(Text::from),
            request: storage(requests.as_ref()),
            modes: texts(spec.access_modes),
            volume_mode: spec.volume_mode.as_deref().unwrap_or("Filesystem").into(),
            volume: text(spec.volume_name),
            completed: annotations.contains_key(BIND_COMPLETED),
            phase: text(claim.status.and_then(|status| status.phase)),
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
    /// The uid of the claim it is for; empty if it is for none, or for whichever has a certain name.
    pub(crate) fn claim_uid(&self) -> Text {
        self.claim.as_ref().map(|claim| claim.uid.clone()).unwrap_or_default()
    }

    pub(crate) fn of(volume: PersistentVolume) -> VolumeView {
        let at = Precondition::of(&volume.metadata);
        let (meta, spec) = (volume.metadata, volume.spec.unwrap_or_default());
        let annotations = meta.annotations.unwrap_or_default();
        let claim = spec.claim_ref.map(|claim| ClaimRef {
            namespace: text(claim.namespace),
            name: text(claim.name),
            uid: text(claim.uid),
        });
        VolumeView {
            at,
            claim,
            deleting: meta.deletion_timestamp.is_some(),
            protected: meta.finalizers.iter().flatten().any(|finalizer| finalizer == super::PROTECTION),
            class: text(spec.storage_class_name),
            capacity: storage(spec.capacity.as_ref()),
            modes: texts(spec.access_modes),
            volume_mode: spec.volume_mode.as_deref().unwrap_or("Filesystem").into(),
            phase: text(volume.status.and_then(|status| status.phase)),
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

fn storage(amounts: Option<&BTreeMap<String, Amount>>) -> Option<(Quantity, Text)> {
    let text = &amounts?.get("storage")?.0;
    Some((Quantity::parse(text).ok()?, text.as_str().into()))
}

fn text(text: Option<String>) -> Text {
    text.unwrap_or_default().into()
}

fn texts(texts: Option<Vec<String>>) -> Box<[Text]> {
    texts.into_iter().flatten().map(Text::from).collect()
}
