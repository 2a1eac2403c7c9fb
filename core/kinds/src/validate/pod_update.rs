//! What may change in a pod once it exists.

use serde_json::Value;
use wire::{FieldError, Path};

use super::{Errors, IMMUTABLE};
use crate::prepare::equivalent;
use crate::value::{items, number, remove, set, text};

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
to 1 if it was previously negative)";

/// An update of a pod through the main resource.
pub(super) fn pod(new: &Value, old: &Value, errors: &mut Errors) {
    for list in ["containers", "initContainers"] {
        let pointer = format!("/spec/{list}");
        if items(new, &pointer).len() != items(old, &pointer).len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(format!("spec.{list}"), why));
            return;
        }
    }
    if deadline(new, old, errors) {
        return;
    }
    tolerations(new, old, errors);
    let (Some(new), Some(old)) = (new.get("spec"), old.get("spec")) else { return };
    let masked = mask(new, old);
    if !equivalent(&masked, old) {
        let changes = differences("spec", old, &masked).join("\n");
        let why = format!("pod updates may not change fields other than {CHANGEABLE}\n{changes}");
        errors.push(FieldError::forbidden("spec", why));
    }
}

/// An update of a pod's status.
pub(super) fn status(new: &Value, old: &Value, errors: &mut Errors) {
    let class = text(new, "/status/qosClass");
    if class != text(old, "/status/qosClass") {
        errors.push(FieldError::invalid("status.qosClass", class, IMMUTABLE));
    }
    for list in ["containerStatuses", "initContainerStatuses"] {
        transitions(new, old, list, errors);
    }
}

/// Containers that have ended for good do not come back.
fn transitions(new: &Value, old: &Value, list: &str, errors: &mut Errors) {
    let policy = text(old, "/spec/restartPolicy");
    let status = Path::root("status");
    let path = status.child(list);
    if policy == "Always" || policy.is_empty() {
        return;
    }
    let pointer = format!("/status/{list}");
    for (index, before) in items(old, &pointer).enumerate() {
        let Some(ended) = before.pointer("/state/terminated") else { continue };
        let name = text(before, "/name");
        let own = items(old, "/spec/containers")
            .chain(items(old, "/spec/initContainers"))
            .find(|c| text(c, "/name") == name);
        let own_policy = own.map(|c| text(c, "/restartPolicy")).filter(|p| !p.is_empty()).unwrap_or(policy);
        let failed = number(ended, "/exitCode") != 0;
        if own_policy == "Always" || (own_policy == "OnFailure" && failed) {
            continue;
        }
        let after = items(new, &pointer).find(|s| text(s, "/name") == name);
        if after.is_some_and(|s| s.pointer("/state/terminated").is_none()) {
            let why = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(path.index(index).child("state"), why));
        }
    }
}

/// A deadline may be set, and come nearer. Answers whether that alone settles the matter.
fn deadline(new: &Value, old: &Value, errors: &mut Errors) -> bool {
    const PATH: &str = "spec.activeDeadlineSeconds";
    let seconds = |pod: &Value| pod.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64);
    match (seconds(new), seconds(old)) {
        (Some(now), Some(before)) if before < now => {
            errors.push(FieldError::invalid(PATH, now, "must be less than or equal to previous value"));
            true
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(PATH, Value::Null, why));
            false
        }
        _ => false,
    }
}

fn tolerations(new: &Value, old: &Value, errors: &mut Errors) {
    let without_seconds = |toleration: &Value| {
        let mut copy = toleration.clone();
        remove(&mut copy, "tolerationSeconds");
        copy
    };
    let kept = |before: &Value| {
        let before = without_seconds(before);
        items(new, "/spec/tolerations").any(|t| equivalent(&without_seconds(t), &before))
    };
    if !items(old, "/spec/tolerations").all(kept) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", why));
    }
}

/// The new spec with everything that may change put back.
fn mask(new: &Value, old: &Value) -> Value {
    let mut masked = new.clone();
    for list in ["/containers", "/initContainers"] {
        for (container, before) in crate::value::items_mut(&mut masked, list).zip(items(old, list)) {
            set(container, "image", text(before, "/image"));
        }
    }
    let mut names = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"];
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(new) == Some(1) {
        names.push("terminationGracePeriodSeconds");
    }
    for name in names {
        match old.get(name) {
            Some(value) => set(&mut masked, name, value.clone()),
            None => {
                remove(&mut masked, name);
            }
        }
    }
    masked
}

/// One line for each place where two values differ: `path: before -> after`.
pub(super) fn differences(path: &str, old: &Value, new: &Value) -> Vec<String> {
    if equivalent(old, new) {
        return Vec::new();
    }
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            let null = Value::Null;
            let side = |map: &'_ serde_json::Map<String, Value>, name: &str| map.get(name).cloned();
            let lines = names.into_iter().flat_map(|name| {
                let (a, b) = (side(a, name), side(b, name));
                differences(
                    &format!("{path}.{name}"),
                    a.as_ref().unwrap_or(&null),
                    b.as_ref().unwrap_or(&null),
                )
            });
            lines.collect()
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs.flat_map(|(index, (a, b))| differences(&format!("{path}[{index}]"), a, b)).collect()
        }
        _ => vec![format!("{path}: {old} -> {new}")],
    }
}
