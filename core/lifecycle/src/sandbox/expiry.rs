//! A Sandbox whose time has come: everything it runs goes, then it says so, and goes itself if that is its policy.
//!
//! Its volume claims stay until the Sandbox goes. All Pods it controls are looked at, not only the one it is known for.

use super::view::Owner;
use super::{Snapshot, Step, Subject, status, write};
use crd::conditions::POD_SCHEDULED;
use crd::v1beta1::{SandboxStatus, ShutdownPolicy};
use jiff::Timestamp;

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Vec<Step> {
    let pods = snapshot.owned_pods().filter(|pod| !pod.meta.deleting);
    let pods: Vec<Step> = pods.map(|pod| Step::DeletePod(pod.meta.target())).collect();
    let service = snapshot
        .service
        .iter()
        .filter(|service| service.meta.owner(snapshot.uid()) == Owner::Us && !service.meta.deleting);
    let service: Vec<Step> = service.map(|service| Step::DeleteService(service.meta.target())).collect();
    let left = !pods.is_empty() || !service.is_empty();

    let mut steps = Vec::new();
    for (subject, wanted) in [(Subject::Pods, pods), (Subject::Service, service)] {
        if !snapshot.failed(subject) {
            steps.extend(wanted);
        }
    }
    if !steps.is_empty() {
        return steps;
    }
    let delete = snapshot.sandbox.spec.shutdown_policy == Some(ShutdownPolicy::Delete);
    let rest = if left || delete { before(snapshot) } else { record(snapshot) };
    let write = write::status(snapshot, status::expired(snapshot, rest, now), now);
    let goes = delete && !left && !snapshot.failed(Subject::Sandbox);
    match write {
        Some(write) if !snapshot.failed(Subject::Status) => vec![write],
        None if goes => vec![Step::DeleteSandbox(snapshot.target())],
        _ => Vec::new(),
    }
}

/// What the status said before.
fn before(snapshot: &Snapshot) -> SandboxStatus {
    snapshot.sandbox.status.clone().unwrap_or_default()
}

/// What stays of the status once everything is gone: the conditions.
fn record(snapshot: &Snapshot) -> SandboxStatus {
    let mut conditions = before(snapshot).conditions;
    conditions.retain(|condition| condition.type_ != POD_SCHEDULED);
    SandboxStatus { conditions, ..SandboxStatus::default() }
}
