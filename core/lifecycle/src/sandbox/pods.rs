//! The Pod: which one is the Sandbox's, and whether to create, adopt, relabel, delete or leave it.

use super::children::{foreign, is_adoptable, not_adoptable, owner_reference};
use super::claims::template_name;
use super::metadata::{self, Wanted};
use super::view::Owner;
use super::{PodView, Snapshot, Step};
use crd::names::{annotation, volume_claim};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume};
use kube_core::ObjectMeta;
use serde_json::{Value, json};
use std::sync::Arc;

/// What there is of the Pod, and what to do.
#[derive(Default)]
pub(super) struct Look {
    /// The Pod in question, whoever owns it.
    pub(super) pod: Option<Arc<PodView>>,
    /// Whether the Sandbox controls it.
    pub(super) owned: bool,
    pub(super) steps: Vec<Step>,
    /// What to write into the Sandbox about its Pod's name.
    pub(super) annotation: Option<Step>,
    pub(super) error: Option<String>,
    /// Set when several Pods are controlled by the Sandbox: the message.
    pub(super) multiple: Option<String>,
}

pub(super) fn look(snapshot: &Snapshot, may_create: bool) -> Look {
    let owned: Vec<&Arc<PodView>> = snapshot.owned_pods().collect();
    if owned.len() > 1 {
        let message = format!(
            "multiple Pods ({}) are controlled by this Sandbox; refusing to choose or create a Pod",
            owned.len()
        );
        return Look { error: Some(message.clone()), multiple: Some(message), ..Look::default() };
    }
    if snapshot.unreadable.is_some() && !snapshot.sandbox.spec.is_suspended() {
        return Look {
            pod: owned.first().map(|pod| Arc::clone(pod)),
            owned: !owned.is_empty(),
            ..Look::default()
        };
    }
    let tracked = tracked_name(snapshot);
    let named = snapshot.pods.iter().find(|pod| pod.meta.name == tracked);
    // Ownership wins over a name; a Pod of the annotation's name that is gone leaves the Sandbox's own name.
    let fallback = || snapshot.pods.iter().find(|pod| pod.meta.name == snapshot.name());
    let pod = owned.first().copied().or(named).or_else(fallback).cloned();
    match (snapshot.sandbox.spec.is_suspended(), pod) {
        (true, Some(pod)) => suspend(snapshot, pod),
        (true, None) => Look { annotation: name_pod(snapshot, None), ..Look::default() },
        (false, Some(pod)) => keep(snapshot, pod),
        (false, None) => create(snapshot, may_create),
    }
}

/// Name of the Pod that the Sandbox is said to have.
pub(super) fn tracked_name(snapshot: &Snapshot) -> &str {
    snapshot
        .annotation(annotation::POD_NAME)
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| snapshot.name())
}

fn suspend(snapshot: &Snapshot, pod: Arc<PodView>) -> Look {
    let owned = pod.meta.is_controlled_by(snapshot.uid());
    let delete = (owned && !pod.meta.deleting).then(|| Step::DeletePod(pod.meta.target()));
    let annotation = if owned { None } else { name_pod(snapshot, None) };
    Look { pod: Some(pod), owned, steps: delete.into_iter().collect(), annotation, ..Look::default() }
}

fn keep(snapshot: &Snapshot, pod: Arc<PodView>) -> Look {
    let owner = pod.meta.owner(snapshot.uid());
    let name = pod.meta.name.clone();
    // A Pod that cannot be used is none of the Sandbox's: nothing of it is told but the reason.
    let refuse =
        |error: String| Look { annotation: name_pod(snapshot, None), error: Some(error), ..Look::default() };
    match owner {
        Owner::Other(kind, owner, uid) => refuse(foreign(snapshot, "pod", &name, (kind, owner, uid))),
        Owner::Nobody if !is_adoptable(snapshot, &pod.meta.labels) => refuse(not_adoptable("pod", &name)),
        // It will be gone soon: nothing is written to it, and it is not taken over.
        Owner::Nobody if pod.meta.deleting => Look { pod: Some(pod), ..Look::default() },
        Owner::Us if pod.meta.deleting => Look { pod: Some(pod), owned: true, ..Look::default() },
        Owner::Nobody => {
            let mut owners = pod.meta.owners.clone();
            owners.push(owner_reference(snapshot));
            let mut patch = metadata::patch(&Wanted::of(snapshot), &pod.meta).unwrap_or_else(|| json!({}));
            patch["metadata"]["ownerReferences"] = json!(owners);
            present(snapshot, pod, Some(patch))
        }
        Owner::Us => {
            let patch = metadata::patch(&Wanted::of(snapshot), &pod.meta);
            present(snapshot, pod, patch)
        }
    }
}

fn present(snapshot: &Snapshot, pod: Arc<PodView>, patch: Option<Value>) -> Look {
    let owned = pod.meta.is_controlled_by(snapshot.uid());
    let steps = patch.map(|patch| Step::PatchPod(pod.meta.target(), patch)).into_iter().collect();
    let annotation = name_pod(snapshot, Some(&pod.meta.name));
    Look { pod: Some(pod), owned, steps, annotation, ..Look::default() }
}

fn create(snapshot: &Snapshot, may_create: bool) -> Look {
    let steps = if may_create { vec![Step::CreatePod(Box::new(new_pod(snapshot)))] } else { Vec::new() };
    let annotation = name_pod(snapshot, Some(snapshot.name()));
    Look { steps, annotation, ..Look::default() }
}

/// Brings the `pod-name` annotation in line with the Pod's name, or takes it away. None if it is right, or absent while
/// the Pod is named like the Sandbox.
fn name_pod(snapshot: &Snapshot, pod: Option<&str>) -> Option<Step> {
    let written = snapshot.annotation(annotation::POD_NAME);
    let wanted = match pod {
        Some(pod) if written.is_none() && pod == snapshot.name() => return None,
        pod => pod,
    };
    if written == wanted {
        return None;
    }
    let patch = json!({ "metadata": { "annotations": { (annotation::POD_NAME): wanted } } });
    Some(Step::PatchSandbox(snapshot.target(), patch))
}

fn new_pod(snapshot: &Snapshot) -> Pod {
    let wanted = Wanted::of(snapshot);
    Pod {
        metadata: ObjectMeta {
            name: Some(snapshot.name().to_owned()),
            namespace: snapshot.sandbox.metadata.namespace.clone(),
            labels: Some(wanted.all_labels()),
            annotations: Some(wanted.all_annotations()).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![owner_reference(snapshot)]),
            ..ObjectMeta::default()
        },
        spec: Some(pod_spec(snapshot)),
        ..Pod::default()
    }
}

/// The template's spec, with one volume per volume claim template in place of any of the same name.
fn pod_spec(snapshot: &Snapshot) -> PodSpec {
    let mut spec = snapshot.sandbox.spec.pod_template.spec.clone();
    let templates = snapshot.sandbox.spec.volume_claim_templates.as_deref().unwrap_or_default();
    if templates.is_empty() {
        return spec;
    }
    let names: Vec<&str> = templates.iter().map(template_name).collect();
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| !names.contains(&volume.name.as_str()));
    volumes.extend(names.iter().map(|name| Volume {
        name: (*name).to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: volume_claim(name, snapshot.name()),
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    }));
    spec
}
