//! A Sandbox that has not expired: its claims, its Pod, its Service, and what its status says of them.

use super::{Snapshot, Step, Subject, claims, names, pods, service, status, write};
use crd::conditions::reason;
use crd::names::{hash, label};
use crd::v1beta1::API_VERSION;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::BTreeMap;

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Vec<Step> {
    let hopeless = snapshot.unreadable.clone().or_else(|| names::unusable(snapshot));
    let makes = hopeless.is_none() && !names::service_decides(snapshot);
    let claims = match makes {
        true => claims::look(snapshot),
        false => claims::Look { steps: Vec::new(), error: hopeless.clone() },
    };
    let pods = pods::look(snapshot, makes);
    let service = match hopeless.is_some() || pods.multiple.is_some() {
        true => service::Look::untouched(snapshot),
        false => service::look(snapshot),
    };
    let steps = changes(snapshot, &claims, &pods, &service);
    if steps.is_empty() { tell(snapshot, claims, pods, &service, now) } else { steps }
}

/// What is to be changed about the children. A request about a subject that failed is not sent again in the same pass.
fn changes(
    snapshot: &Snapshot,
    claims: &claims::Look,
    pods: &pods::Look,
    service: &service::Look,
) -> Vec<Step> {
    let annotation: Vec<Step> = pods.annotation.iter().cloned().collect();
    let all = [
        (Subject::Claims, &claims.steps),
        (Subject::Pods, &pods.steps),
        (Subject::Service, &service.steps),
        (Subject::Sandbox, &annotation),
    ];
    let wanted = all.into_iter().filter(|(subject, _)| !snapshot.failed(*subject));
    wanted.flat_map(|(_, steps)| steps.clone()).collect()
}

/// The status, once there is nothing to change any more or it cannot be changed.
fn tell(
    snapshot: &Snapshot,
    claims: claims::Look,
    mut pods: pods::Look,
    service: &service::Look,
    now: Timestamp,
) -> Vec<Step> {
    pods.error = join(pods.error.into_iter().chain(snapshot.told(Subject::Pods, now)));
    let about_service = service.error.clone().into_iter().chain(snapshot.told(Subject::Service, now));
    let errors: Vec<String> = (claims.error.into_iter())
        .chain(snapshot.told(Subject::Claims, now))
        .chain(pods.error.clone())
        .chain(about_service)
        .chain(snapshot.told(Subject::Sandbox, now))
        .collect();
    // Several Pods are looked at again when one of them changes; anything else may be mended without news of it.
    let stuck = errors.iter().any(|error| pods.multiple.is_none() || pods.error.as_ref() != Some(error));
    let wanted = status::compute(snapshot, &pods, service, &errors, now);
    let mut steps = Vec::new();
    if !snapshot.failed(Subject::Status) {
        steps.extend(write::status(snapshot, wanted, now));
    }
    // Told once: after the write that changes the reason.
    if let (Some(note), [Step::PatchStatus(..)]) = (&pods.multiple, &steps[..])
        && status::ready_reason(&snapshot.sandbox) != Some(reason::MULTIPLE_PODS)
    {
        steps.push(Step::Warn { reason: reason::MULTIPLE_PODS, note: note.clone() });
    }
    if stuck && snapshot.failures.is_empty() {
        steps.push(Step::Retry);
    }
    steps
}

fn join(errors: impl Iterator<Item = String>) -> Option<String> {
    let errors: Vec<String> = errors.collect();
    (!errors.is_empty()).then(|| errors.join("\n"))
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
