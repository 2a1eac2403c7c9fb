//! The headless Service: three wishes (unset keeps, true ensures, false removes) against what is there.

use super::children::{foreign, is_adoptable, not_adoptable, owner_reference, tracking_label};
use super::view::Owner;
use super::{ServiceView, Snapshot, Step, Subject, ports};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube_core::ObjectMeta;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What there is of the Service, and what to do.
#[derive(Default)]
pub(super) struct Look {
    /// Whether the Sandbox has a Service. None leaves the status as it is.
    pub(super) exists: Option<bool>,
    /// Whether Ready depends on it.
    pub(super) required: bool,
    pub(super) steps: Vec<Step>,
    pub(super) error: Option<String>,
}

// === impl Look ===

impl Look {
    /// Nothing is done about the Service this time.
    pub(super) fn untouched(snapshot: &Snapshot) -> Self {
        Self { required: snapshot.sandbox.spec.service == Some(true), ..Self::default() }
    }
}

pub(super) fn look(snapshot: &Snapshot) -> Look {
    let mut look = see(snapshot);
    // After a failed create or delete it is not known whether it is there.
    if snapshot.failed(Subject::Service) {
        look.exists = look.exists.filter(|exists| *exists);
    }
    look
}

fn see(snapshot: &Snapshot) -> Look {
    let wish = snapshot.sandbox.spec.service;
    let Some(service) = snapshot.service.as_deref() else {
        let create = (wish == Some(true)).then(|| Step::CreateService(Box::new(create(snapshot))));
        let required = wish == Some(true);
        return Look { exists: Some(false), required, steps: create.into_iter().collect(), error: None };
    };
    let owner = service.meta.owner(snapshot.uid());
    match (owner, wish) {
        (Owner::Us, Some(false)) => {
            let delete = (!service.meta.deleting).then(|| Step::DeleteService(service.meta.target()));
            Look { exists: Some(false), steps: delete.into_iter().collect(), ..Look::default() }
        }
        (Owner::Us, _) if service.meta.deleting => {
            Look { exists: Some(false), required: wish == Some(true), ..Look::default() }
        }
        (Owner::Us, _) => {
            let patch = drift(snapshot, service, wish == Some(true));
            let patch = patch.map(|patch| Step::PatchService(service.meta.target(), patch));
            Look { exists: Some(true), required: true, steps: patch.into_iter().collect(), error: None }
        }
        (_, Some(false)) | (Owner::Nobody, None) => Look { exists: Some(false), ..Look::default() },
        (Owner::Other(kind, name, uid), _) => {
            refuse(snapshot, foreign(snapshot, "service", &service.meta.name, (kind, name, uid)))
        }
        (Owner::Nobody, Some(true)) => adopt(snapshot, service),
    }
}

fn refuse(snapshot: &Snapshot, error: String) -> Look {
    let required = snapshot.sandbox.spec.service == Some(true);
    Look { exists: None, required, steps: Vec::new(), error: Some(error) }
}

fn adopt(snapshot: &Snapshot, service: &ServiceView) -> Look {
    let name = &service.meta.name;
    if !is_adoptable(snapshot, &service.meta.labels) {
        return refuse(snapshot, not_adoptable("service", name));
    }
    if !matches!(service.cluster_ip.as_str(), "None" | "") {
        let ip = &service.cluster_ip;
        let error = format!(
            "cannot adopt service \"{name}\": ClusterIP is \"{ip}\" (expected \"None\", field is immutable)"
        );
        return refuse(snapshot, error);
    }
    if service.meta.deleting {
        return Look { exists: Some(false), required: true, ..Look::default() };
    }
    let mut owners = service.meta.owners.clone();
    owners.push(owner_reference(snapshot));
    let mut patch = drift(snapshot, service, true).unwrap_or_else(|| json!({}));
    if !patch["metadata"].is_object() {
        patch["metadata"] = json!({});
    }
    patch["metadata"]["ownerReferences"] = json!(owners);
    let steps = vec![Step::PatchService(service.meta.target(), patch)];
    Look { exists: Some(false), required: true, steps, error: None }
}

/// The merge patch that mends label and selector, and the ports where they are ours to keep.
fn drift(snapshot: &Snapshot, service: &ServiceView, with_ports: bool) -> Option<Value> {
    let (key, own) = tracking_label(snapshot);
    let mut patch = json!({});
    if service.meta.labels.get(&key) != Some(&own) {
        patch["metadata"] = json!({ "labels": { (&key): &own } });
    }
    let mut spec = Map::new();
    if service.selector != BTreeMap::from([(key.clone(), own.clone())]) {
        let mut selector: Map<String, Value> =
            service.selector.keys().map(|stale| (stale.clone(), Value::Null)).collect();
        selector.insert(key, Value::from(own));
        spec.insert("selector".to_owned(), Value::Object(selector));
    }
    let ports = ports::of(&snapshot.sandbox.spec.pod_template.spec);
    if with_ports && !ports::same(&ports, &service.ports) {
        spec.insert("ports".to_owned(), json!(ports));
    }
    if !spec.is_empty() {
        patch["spec"] = Value::Object(spec);
    }
    patch.as_object().is_some_and(|patch| !patch.is_empty()).then_some(patch)
}

fn create(snapshot: &Snapshot) -> Service {
    let tracking = BTreeMap::from([tracking_label(snapshot)]);
    let ports: Vec<ServicePort> = ports::of(&snapshot.sandbox.spec.pod_template.spec);
    Service {
        metadata: ObjectMeta {
            name: Some(snapshot.name().to_owned()),
            namespace: snapshot.sandbox.metadata.namespace.clone(),
            labels: Some(tracking.clone()),
            owner_references: Some(vec![owner_reference(snapshot)]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(tracking),
            ports: Some(ports).filter(|ports| !ports.is_empty()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
