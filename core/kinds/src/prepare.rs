//! What a write may touch: fields that the server owns are put back, status and spec are kept apart, and
//! `metadata.generation` counts changes of the spec (the `PrepareFor*` halves of Kubernetes' registry strategies).
//!
//! Run after defaults and before validation. The API server has set name, namespace, uid and creationTimestamp of
//! new objects by then; a Job's selector is made from its uid. What Kubernetes adds in admission and what needs no
//! other object to decide is here too: tolerations and priority of pods, the default service account's name.

use serde_json::{Value, json};

use crate::table::{Body, Kind};
use crate::value::{field, remove, set};

mod pod;
mod same;
mod service;
mod workload;

#[cfg(test)]
mod tests;

pub use pod::{grace_period, qos_class};
pub use same::equivalent;

/// Metadata that clients cannot set when they create.
const SERVER_METADATA: [&str; 4] =
    ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"];
/// Metadata that an update which leaves it out keeps.
const KEPT_METADATA: [&str; 7] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
];

/// Prepares an object that is to be created.
pub fn prepare_create(kind: &Kind, new: &mut Value) {
    let metadata = field(new, "metadata");
    for name in SERVER_METADATA {
        remove(metadata, name);
    }
    // Where it counts nothing it stays what the client said.
    if counts_generations(kind) || matches!(kind.body, Body::PriorityClass) {
        set(field(new, "metadata"), "generation", 1);
    }
    match kind.body {
        Body::Pod => pod::create(new),
        Body::Service => service::create(new),
        Body::Namespace => {
            set(new, "status", json!({"phase": "Active"}));
            set(field(new, "spec"), "finalizers", json!(["kubernetes"]));
        }
        Body::PersistentVolumeClaim => set(new, "status", json!({"phase": "Pending"})),
        Body::PersistentVolume => {
            let since = new.pointer("/metadata/creationTimestamp").cloned();
            set(new, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": since}));
        }
        Body::Job => workload::create_job(new),
        Body::ReplicaSet => set(new, "status", json!({"replicas": 0})),
        Body::Deployment | Body::ResourceQuota => set(new, "status", json!({})),
        Body::CustomResourceDefinition => set(new, "status", json!({"storedVersions": stored_versions(new)})),
        Body::Custom(_) if kind.has_status() => {
            remove(new, "status");
        }
        _ => {}
    }
}

/// Prepares an object that is to replace `old`, through the main resource (`None`) or one of its subresources
/// (`status`, `finalize`, `ephemeralcontainers`).
pub fn prepare_update(kind: &Kind, subresource: Option<&str>, new: &mut Value, old: &Value) {
    match subresource {
        None => keep_status(kind, new, old),
        Some("status") => keep_all_but_status(kind, new, old),
        Some("finalize") => keep(new, old, "status"),
        Some("ephemeralcontainers") => pod::only_ephemeral(new, old),
        Some(_) => {}
    }
    keep_metadata(new, old);
    if subresource.is_none() {
        match kind.body {
            Body::Pod => pod::update(new, old),
            Body::Service => service::update(new, old),
            Body::CustomResourceDefinition => add_stored_version(new),
            _ => {}
        }
    }
    set_generation(kind, subresource, new, old);
}

/// Whether objects of the kind have a `metadata.generation`.
pub fn counts_generations(kind: &Kind) -> bool {
    matches!(
        kind.body,
        Body::Custom(_)
            | Body::CustomResourceDefinition
            | Body::Deployment
            | Body::EndpointSlice
            | Body::Job
            | Body::NetworkPolicy
            | Body::Pod
            | Body::ReplicaSet
    )
}

fn keep_metadata(new: &mut Value, old: &Value) {
    let metadata = field(new, "metadata");
    if !metadata.is_object() {
        *metadata = json!({});
    }
    remove(metadata, "selfLink");
    let Some(map) = metadata.as_object_mut() else { return };
    for name in KEPT_METADATA {
        let unset = map.get(name).is_none_or(|v| v.is_null() || v.as_str() == Some(""));
        if let Some(value) = old.pointer("/metadata").and_then(|m| m.get(name)).filter(|_| unset) {
            map.insert(name.to_owned(), value.clone());
        }
    }
}

/// The main resource does not write the status of kinds that have it apart.
fn keep_status(kind: &Kind, new: &mut Value, old: &Value) {
    match kind.body {
        Body::Namespace => {
            keep(new, old, "status");
            let finalizers = old.pointer("/spec/finalizers").cloned();
            set(field(new, "spec"), "finalizers", finalizers.unwrap_or_else(|| json!([])));
        }
        _ if kind.has_status() => keep(new, old, "status"),
        _ => {}
    }
}

fn keep_all_but_status(kind: &Kind, new: &mut Value, old: &Value) {
    match kind.body {
        // Custom kinds take nothing but the status (and whose fields it is).
        Body::Custom(_) | Body::CustomResourceDefinition => {
            let status = remove(new, "status");
            let managers = new.pointer("/metadata/managedFields").cloned();
            let version = new.pointer("/metadata/resourceVersion").cloned();
            *new = old.clone();
            remove(new, "status");
            if let Some(status) = status {
                set(new, "status", status);
            }
            let metadata = field(new, "metadata");
            for (name, value) in [("managedFields", managers), ("resourceVersion", version)] {
                remove(metadata, name);
                if let Some(value) = value {
                    set(metadata, name, value);
                }
            }
        }
        Body::Pod => pod::update_status(new, old),
        Body::Deployment | Body::ReplicaSet => {
            keep(new, old, "spec");
            let labels = old.pointer("/metadata/labels").cloned();
            replace(field(new, "metadata"), "labels", labels);
        }
        _ => keep(new, old, "spec"),
    }
}

fn set_generation(kind: &Kind, subresource: Option<&str>, new: &mut Value, old: &Value) {
    let before = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    if !counts_generations(kind) {
        replace(field(new, "metadata"), "generation", old.pointer("/metadata/generation").cloned());
        return;
    }
    let differs = |pointer: &str| !same::equivalent_at(new, old, pointer);
    let changed = match kind.body {
        _ if matches!(subresource, Some("status" | "binding")) => false,
        Body::Custom(_) => same::differs_outside(new, old, &["metadata", "apiVersion", "kind"]),
        Body::EndpointSlice => {
            same::differs_outside(new, old, &["metadata", "apiVersion", "kind"])
                || differs("/metadata/labels")
        }
        Body::Deployment => differs("/spec") || differs("/metadata/annotations"),
        _ => differs("/spec"),
    };
    set(field(new, "metadata"), "generation", if changed { before + 1 } else { before.max(1) });
}

fn keep(new: &mut Value, old: &Value, name: &str) {
    replace(new, name, old.get(name).cloned());
}

fn replace(value: &mut Value, name: &str, new: Option<Value>) {
    match new {
        Some(new) => set(value, name, new),
        None => {
            remove(value, name);
        }
    }
}

fn stored_versions(crd: &Value) -> Value {
    crate::value::items(crd, "/spec/versions")
        .filter(|v| crate::value::flag(v, "/storage"))
        .map(|v| Value::from(crate::value::text(v, "/name")))
        .collect()
}

fn add_stored_version(crd: &mut Value) {
    let wanted = stored_versions(crd);
    let status = crate::value::object(crd, "status");
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    let Some(list) = stored.as_array_mut() else { return };
    for version in wanted.as_array().into_iter().flatten() {
        if !list.contains(version) {
            list.push(version.clone());
        }
    }
}
