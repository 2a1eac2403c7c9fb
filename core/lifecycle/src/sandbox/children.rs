//! A Sandbox that has not expired: its claims, its Pod, its Service, and what its status says of them.

use super::{Snapshot, Step, Subject, claims, pods, service, status, write};
use crd::conditions::reason;
use crd::names::{hash, label};
use crd::v1beta1::API_VERSION;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::BTreeMap;

/// Longest name that a Service can have, in characters.
const SERVICE_NAME_LIMIT: usize = 63;

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Vec<Step> {
    let name_error = unusable_name(snapshot);
    let claims = match &name_error {
        None => claims::look(snapshot),
        Some(error) => claims::Look { steps: Vec::new(), error: Some(error.clone()) },
    };
    let mut pods = pods::look(snapshot, name_error.is_none());
    let service = match name_error.is_some() || pods.multiple.is_some() {
        true => service::Look::untouched(snapshot),
        false => service::look(snapshot),
    };
    let mut steps = Vec::new();
    for (subject, wanted) in [
        (Subject::Claims, claims.steps),
        (Subject::Pods, pods.steps.clone()),
        (Subject::Service, service.steps.clone()),
    ] {
        if !snapshot.failed(subject) {
            steps.extend(wanted);
        }
    }
    if !snapshot.failed(Subject::Sandbox) {
        steps.extend(pods.annotation.clone());
    }
    if !steps.is_empty() {
        return steps;
    }
    let mut errors: Vec<String> =
        claims.error.into_iter().chain(snapshot.refusals(Subject::Claims)).collect();
    let refused: Vec<String> =
        pods.error.take().into_iter().chain(snapshot.refusals(Subject::Pods)).collect();
    pods.error = (!refused.is_empty()).then(|| refused.join("\n"));
    errors.extend(refused);
    errors.extend(service.error.clone().into_iter().chain(snapshot.refusals(Subject::Service)));
    errors.extend(snapshot.refusals(Subject::Sandbox));
    let stuck = !errors.is_empty() && pods.multiple.is_none();
    let wanted = status::compute(snapshot, &pods, &service, &errors, now);
    if let Some(note) = &pods.multiple
        && status::ready_reason(&snapshot.sandbox) != Some(reason::MULTIPLE_PODS)
    {
        steps.push(Step::Warn { reason: reason::MULTIPLE_PODS, note: note.clone() });
    }
    if !snapshot.failed(Subject::Sandbox) {
        steps.extend(write::status(snapshot, wanted, now));
    }
    // What the plan itself objects to may be mended by somebody without an event that leads here.
    if stuck && snapshot.failures.is_empty() {
        steps.push(Step::Retry);
    }
    steps
}

/// Why no Service can ever carry the Sandbox's name, if one is wanted.
fn unusable_name(snapshot: &Snapshot) -> Option<String> {
    let name = snapshot.name();
    if snapshot.sandbox.spec.service != Some(true) {
        return None;
    }
    if name.len() > SERVICE_NAME_LIMIT {
        return Some(format!(
            "sandbox name \"{name}\" has {} characters, but with service: true the Service takes that name and allows at \
             most {SERVICE_NAME_LIMIT}; use a shorter name or leave service unset",
            name.len()
        ));
    }
    name.contains('.').then(|| {
        format!(
            "sandbox name \"{name}\" contains a dot, but with service: true the Service takes that name and allows none; \
             use a name without dots or leave service unset"
        )
    })
}

/// The label that ties a child to its Sandbox.
pub(super) fn tracking_label(snapshot: &Snapshot) -> (String, String) {
    (label::SANDBOX_NAME_HASH.to_owned(), hash(snapshot.name()))
}

/// The reference that makes the Sandbox the controller of a child.
pub(super) fn owner_reference(snapshot: &Snapshot) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "Sandbox".to_owned(),
        name: snapshot.name().to_owned(),
        uid: snapshot.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether an object that nobody controls may be taken over.
pub(super) fn is_adoptable(snapshot: &Snapshot, labels: &BTreeMap<String, String>) -> bool {
    let (key, own) = tracking_label(snapshot);
    labels.get(label::ADOPTABLE).is_some_and(|value| value == "true") || labels.get(&key) == Some(&own)
}

/// The error for an object that nobody controls and that may not be taken over.
pub(super) fn not_adoptable(kind: &str, name: &str) -> String {
    format!(
        "cannot adopt unowned {kind} \"{name}\": missing required pool authorization label (\"{}\") or sandbox tracking \
         label (\"{}\")",
        label::ADOPTABLE,
        label::SANDBOX_NAME_HASH
    )
}

/// The error for an object that somebody else controls.
pub(super) fn foreign(snapshot: &Snapshot, kind: &str, name: &str, owner: (&str, &str, &str)) -> String {
    let (owner_kind, owner_name, uid) = owner;
    format!(
        "{kind} \"{name}\" is owned by {owner_kind}/{owner_name} (UID: {uid}), not by sandbox \"{}\"",
        snapshot.name()
    )
}
