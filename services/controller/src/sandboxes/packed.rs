//! Objects at rest: the fields that decisions are made from, as JSON, packed against others of their kind. A parsed object takes
//! twenty times as much, and most Sandboxes rest most of the time. They are parsed when they are worked on.

use super::census::Traits;
use crd::names::{annotation, is_reserved_label};
use crd::v1beta1::{LenientSandbox, Sandbox};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodSpec, PodStatus, Service, ServiceSpec};
use kube::Resource;
use kube::core::ObjectMeta;
use kubekit::Text;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::LazyLock;

/// The bytes of an object.
pub(super) struct Packed<K> {
    held: Held,
    controller: Option<Owner>,
    kind: PhantomData<fn() -> K>,
}

enum Held {
    Plain(Box<[u8]>),
    Packed(packing::Packed),
}

/// What controls an object.
pub(super) struct Owner {
    pub(super) uid: Text,
    pub(super) name: Text,
    /// It is a Sandbox.
    pub(super) is_sandbox: bool,
}

/// One for each kind.
type Packer = LazyLock<Mutex<packing::Packer>>;
static SANDBOXES: Packer = LazyLock::new(Mutex::default);
static PODS: Packer = LazyLock::new(Mutex::default);
static SERVICES: Packer = LazyLock::new(Mutex::default);
static CLAIMS: Packer = LazyLock::new(Mutex::default);

/// The bytes of a Sandbox, and why its spec cannot be read if it cannot.
pub(super) struct PackedSandbox {
    sandbox: Packed<Sandbox>,
    unreadable: Option<Box<str>>,
    pub(super) traits: Traits,
}

/// Conditions of a Pod that matter.
const CONDITIONS: [&str; 2] = ["PodScheduled", "Ready"];

// === impl Packed ===

impl<K: Serialize + DeserializeOwned + Resource> Packed<K> {
    fn of(object: &K, packer: &Packer) -> Self {
        // Maps with string keys and plain values cannot fail to be written.
        let bytes = serde_json::to_vec(object).unwrap_or_default();
        let packed = packer.lock().pack(&bytes);
        let held = packed.map_or_else(|| Held::Plain(bytes.into()), Held::Packed);
        Self { held, controller: Owner::controller(object.meta()), kind: PhantomData }
    }

    pub(super) fn controller(&self) -> Option<&Owner> {
        self.controller.as_ref()
    }

    #[cfg(test)]
    fn size(&self) -> usize {
        match &self.held {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed(packed) => packed.size(),
        }
    }

    /// None only if the bytes were damaged in memory.
    pub(super) fn open(&self) -> Option<K> {
        match &self.held {
            Held::Plain(bytes) => serde_json::from_slice(bytes).ok(),
            Held::Packed(packed) => serde_json::from_slice(&packed.open()).ok(),
        }
    }
}

// === impl Owner ===

impl Owner {
    fn controller(metadata: &ObjectMeta) -> Option<Self> {
        let owners = metadata.owner_references.iter().flatten();
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
        let is_sandbox = owner.kind == "Sandbox" && owner.api_version.split('/').next() == Some(crd::GROUP);
        Some(Self { uid: owner.uid.as_str().into(), name: owner.name.as_str().into(), is_sandbox })
    }
}

// === impl PackedSandbox ===

impl PackedSandbox {
    pub(super) fn of(read: &LenientSandbox) -> Self {
        let Sandbox { metadata, spec, status } = &read.sandbox;
        let mut metadata = metadata_of(metadata);
        // No decision looks at others, and kubectl keeps a whole copy of the object in one of them.
        keep(&mut metadata.annotations, |key| key == annotation::POD_NAME);
        keep(&mut metadata.labels, is_reserved_label);
        let sandbox = Sandbox { metadata, spec: spec.clone(), status: status.clone() };
        let unreadable = read.unreadable.as_ref().map(|unreadable| unreadable.why.as_str().into());
        Self { sandbox: Packed::of(&sandbox, &SANDBOXES), unreadable, traits: Traits::of(&read.sandbox) }
    }

    /// The Sandbox, and why its spec cannot be read if it cannot.
    pub(super) fn open(&self) -> Option<(Sandbox, Option<String>)> {
        Some((self.sandbox.open()?, self.unreadable.as_ref().map(ToString::to_string)))
    }
}

pub(super) fn pod(pod: &Pod) -> Packed<Pod> {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref().map(|status| {
        let conditions = status.conditions.iter().flatten();
        let conditions = conditions.filter(|condition| CONDITIONS.contains(&condition.type_.as_str()));
        PodStatus {
            phase: status.phase.clone(),
            pod_ips: status.pod_ips.clone(),
            conditions: Some(conditions.cloned().collect()),
            ..PodStatus::default()
        }
    });
    let kept = Pod {
        metadata: metadata_of(&pod.metadata),
        spec: spec.map(|spec| PodSpec { node_name: spec.node_name.clone(), ..PodSpec::default() }),
        status,
    };
    Packed::of(&kept, &PODS)
}

pub(super) fn service(service: &Service) -> Packed<Service> {
    let spec = service.spec.as_ref().map(|spec| ServiceSpec {
        cluster_ip: spec.cluster_ip.clone(),
        selector: spec.selector.clone(),
        ports: spec.ports.clone(),
        ..ServiceSpec::default()
    });
    let mut metadata = metadata_of(&service.metadata);
    metadata.annotations = None;
    Packed::of(&Service { metadata, spec, ..Service::default() }, &SERVICES)
}

pub(super) fn claim(claim: &PersistentVolumeClaim) -> Packed<PersistentVolumeClaim> {
    let mut metadata = metadata_of(&claim.metadata);
    metadata.annotations = None;
    Packed::of(&PersistentVolumeClaim { metadata, ..PersistentVolumeClaim::default() }, &CLAIMS)
}

/// What is looked at of an object's metadata.
fn metadata_of(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        generation: metadata.generation,
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        owner_references: metadata.owner_references.clone(),
        deletion_timestamp: metadata.deletion_timestamp.clone(),
        ..ObjectMeta::default()
    }
}

fn keep(pairs: &mut Option<std::collections::BTreeMap<String, String>>, matters: impl Fn(&str) -> bool) {
    if let Some(pairs) = pairs {
        pairs.retain(|key, _| matters(key));
    }
    if pairs.as_ref().is_some_and(std::collections::BTreeMap::is_empty) {
        *pairs = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// What a server sends beside what matters.
    fn metadata(name: &str) -> Value {
        let owner = json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "name": "full-17", "uid": "0b0c3c43-8a9e-4f5e-9d43-5c8a1f6f1f11",
                           "controller": true, "blockOwnerDeletion": true});
        json!({
            "name": name, "namespace": "default", "uid": "6b7c3c43-8a9e-4f5e-9d43-5c8a1f6f1f11", "resourceVersion": "123456",
            "generation": 2, "creationTimestamp": "2026-01-02T03:04:05Z", "ownerReferences": [owner],
            "labels": {"agents.x-k8s.io/sandbox-name-hash": "374de8f5"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(4000)},
            "managedFields": [{"manager": "m".repeat(3000), "operation": "Update", "time": "2026-01-02T03:04:05Z"}]
        })
    }

    fn condition(kind: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": "False", "reason": reason, "message": message, "observedGeneration": 2,
               "lastTransitionTime": "2026-01-02T03:04:05Z"})
    }

    fn suspended() -> Value {
        json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": metadata("full-17"),
            "spec": {
                "podTemplate": {"spec": {"containers": [{"name": "main", "image": "agent-sandbox/host", "command": ["sleep", "infinity"]}],
                                         "runtimeClassName": "runc", "terminationGracePeriodSeconds": 2}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                          "resources": {"requests": {"storage": "1Mi"}}}}],
                "service": true, "operatingMode": "Suspended", "shutdownPolicy": "Retain"
            },
            "status": {
                "conditions": [condition("Suspended", "PodTerminated", "Pod has been terminated. Sandbox is suspended"),
                               condition("Ready", "SandboxSuspended", "Sandbox is suspended")],
                "selector": "agents.x-k8s.io/sandbox-name-hash=374de8f5", "service": "full-17",
                "serviceFQDN": "full-17.default.svc.cluster.local"
            }
        })
    }

    /// Of the 12 KiB that a suspended Sandbox with a claim and a Service may take in the whole process.
    #[test]
    fn a_suspended_sandbox_with_claim_and_service_takes_little() {
        let spec = json!({"clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"], "sessionAffinity": "None",
                          "selector": {"agents.x-k8s.io/sandbox-name-hash": "374de8f5"}, "type": "ClusterIP",
                          "ports": [{"name": "http", "port": 8080, "targetPort": 8080, "protocol": "TCP"}]});
        let object = |name: &str| json!({"metadata": metadata(name), "spec": spec});
        let sandbox = |name: &str| {
            let mut sandbox = suspended();
            sandbox["metadata"] = metadata(name);
            PackedSandbox::of(&parse(sandbox)).sandbox.size()
        };
        let service = |name: &str| service(&parse(object(name))).size();
        let claim = |name: &str| {
            claim(&parse(json!({"metadata": metadata(&format!("data-{name}")), "spec": {}}))).size()
        };
        let first = (sandbox("full-16"), service("full-16"), claim("full-16"));
        let next = (sandbox("full-17"), service("full-17"), claim("full-17"));
        assert!(first.0 < 1500 && first.1 < 700 && first.2 < 500, "{first:?}");
        assert!(next.0 < 150 && next.1 < 150 && next.2 < 150, "{next:?}");
    }

    #[test]
    fn what_decisions_look_at_is_kept() {
        let mut document = suspended();
        document["metadata"]["annotations"]["agents.x-k8s.io/pod-name"] = json!("p");
        document["metadata"]["labels"]["mine"] = json!("1");
        let (sandbox, unreadable) = PackedSandbox::of(&parse(document.clone())).open().unwrap();
        assert_eq!(unreadable, None);
        let whole: Sandbox = parse(document);
        assert_eq!((&sandbox.spec, &sandbox.status), (&whole.spec, &whole.status));
        assert_eq!(json!(sandbox.metadata.annotations), json!({"agents.x-k8s.io/pod-name": "p"}));
        assert_eq!(json!(sandbox.metadata.labels), json!({"agents.x-k8s.io/sandbox-name-hash": "374de8f5"}));
        assert_eq!(sandbox.metadata.managed_fields, None);
        let since = "2026-01-02T03:04:05Z";
        let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}, {"type": "Other", "status": "True"}]);
        let whole = parse(
            json!({"metadata": metadata("p"), "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": conditions}}),
        );
        let kept = pod(&whole).open().unwrap();
        assert_eq!(lifecycle::sandbox::PodView::of(&kept), lifecycle::sandbox::PodView::of(&whole));
    }
}
