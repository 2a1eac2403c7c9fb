//! Which set is that of the template, and the set that is made for it.

use super::conditions::{self, PROGRESSING};
use super::work::is_nothing;
use crate::ownership::controller;
use crate::pod::owner_reference;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// Tells the pods of one template from those of another.
const HASH: &str = "pod-template-hash";
/// What a hash is written with: no vowels, so that no words come out.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether a set has the Deployment's template.
pub(super) fn is_of(set: &ReplicaSet, spec: &DeploymentSpec) -> bool {
    let template = set.spec.template.as_ref();
    template.is_some_and(|template| plain(template) == plain(&spec.template))
}

/// Whether a set that was in the way of a new one is the new one: made by an earlier attempt whose answer was lost.
pub fn fits(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let owners = set.metadata.owner_references.as_deref().unwrap_or_default();
    let ours = controller(owners).map(|owner| owner.uid.as_str()) == deployment.metadata.uid.as_deref();
    ours && is_of(set, &deployment.spec)
}

/// The status patch that says that the set could not be made; none without a deadline for progress, or if it says so already.
pub fn generic_failure(deployment: &Deployment, set: &str, why: &str, now: Timestamp) -> Option<Value> {
    deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)?;
    let old = deployment.status.clone().unwrap_or_default();
    let mut new = old.clone();
    let message = format!("Failed to create new replica set \"{set}\": {why}");
    conditions::set(&mut new, conditions::new(PROGRESSING, "False", "ReplicaSetCreateError", message, now));
    (old.conditions != new.conditions).then(|| json!({"conditions": new.conditions}))
}

/// The set for a Deployment's template, of size 0.
pub(super) fn set_for(deployment: &Deployment, spec: &DeploymentSpec) -> ReplicaSet {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let meta = &deployment.metadata;
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", meta.name.as_deref().unwrap_or_default())),
            namespace: meta.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![owner_reference("apps/v1", "Deployment", meta)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}

/// A template without its hash and without what says nothing.
fn plain(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    prune(&mut value);
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| !is_nothing(value));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

/// FNV-1a of the template and of how often its names collided.
fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut bytes = plain(template).to_string().into_bytes();
    if let Some(collisions) = collisions {
        bytes.extend(collisions.to_le_bytes());
    }
    let sum =
        bytes.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let digits = sum.to_string();
    digits.bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}
