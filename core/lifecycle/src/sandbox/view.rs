//! What is remembered of Pods, Services and claims: the fields that decisions and status are made from.

use super::{Target, Version};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube_core::ObjectMeta;
use std::collections::BTreeMap;

/// Metadata of a child.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its uid and resourceVersion.
    pub version: Version,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, as far as a decision needs them.
    pub annotations: BTreeMap<String, String>,
    /// Its owners.
    pub owners: Vec<OwnerReference>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// Who controls a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The Sandbox in question.
    Us,
    /// Somebody else.
    Other(&'a str, &'a str, &'a str),
    /// Nobody.
    Nobody,
}

/// A Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    /// Its metadata.
    pub meta: Meta,
    /// Its phase; empty before the first status.
    pub phase: String,
    /// Whether its Ready condition is True.
    pub ready: bool,
    /// Its PodScheduled condition.
    pub scheduled: Option<ScheduledView>,
    /// Its addresses.
    pub ips: Vec<String>,
    /// Its node.
    pub node: Option<String>,
}

/// The PodScheduled condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduledView {
    /// True, False or Unknown.
    pub status: String,
    /// Its reason; may be empty.
    pub reason: String,
    /// Its message; may be empty.
    pub message: String,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceView {
    /// Its metadata.
    pub meta: Meta,
    /// Its cluster address: an address, `None` or empty.
    pub cluster_ip: String,
    /// Its selector.
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A volume claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimView {
    /// Its metadata.
    pub meta: Meta,
}

// === impl Meta ===

impl Meta {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            name: meta.name.clone().unwrap_or_default(),
            version: Version::of(meta).unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            annotations: meta.annotations.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    fn controller(&self) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether the object with that uid controls it.
    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| owner.uid == uid)
    }

    /// The uid of what controls it.
    pub fn controller_uid(&self) -> Option<&str> {
        self.controller().map(|owner| owner.uid.as_str())
    }

    /// Who controls it, seen from the Sandbox with that uid.
    pub(super) fn owner(&self, uid: &str) -> Owner<'_> {
        match self.controller() {
            None => Owner::Nobody,
            Some(owner) if owner.uid == uid => Owner::Us,
            Some(owner) => Owner::Other(&owner.kind, &owner.name, &owner.uid),
        }
    }

    pub(super) fn target(&self) -> Target {
        Target { name: self.name.clone(), version: self.version.clone() }
    }
}

// === impl PodView ===

impl PodView {
    /// What is remembered of `pod`.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let condition = |kind: &str| {
            let conditions = status.and_then(|status| status.conditions.as_ref());
            conditions.and_then(|conditions| conditions.iter().find(|condition| condition.type_ == kind))
        };
        let ips = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten();
        Self {
            meta: Meta::of(&pod.metadata),
            phase: status.and_then(|status| status.phase.clone()).unwrap_or_default(),
            ready: condition("Ready").is_some_and(|condition| condition.status == "True"),
            scheduled: condition("PodScheduled").map(|condition| ScheduledView {
                status: condition.status.clone(),
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            }),
            ips: ips.map(|ip| ip.ip.clone()).collect(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

// === impl ServiceView ===

impl ServiceView {
    /// What is remembered of `service`.
    pub fn of(service: &Service) -> Self {
        let spec = service.spec.as_ref();
        Self {
            meta: Meta::of(&service.metadata),
            cluster_ip: spec.and_then(|spec| spec.cluster_ip.clone()).unwrap_or_default(),
            selector: spec.and_then(|spec| spec.selector.clone()).unwrap_or_default(),
            ports: spec.and_then(|spec| spec.ports.clone()).unwrap_or_default(),
        }
    }
}

// === impl ClaimView ===

impl ClaimView {
    /// What is remembered of `claim`.
    pub fn of(claim: &PersistentVolumeClaim) -> Self {
        let mut meta = Meta::of(&claim.metadata);
        meta.annotations.clear();
        Self { meta }
    }
}
