//! What the status says: a pure function of what is there and what was refused.

use super::{PodView, Snapshot, pods, service};
use crd::conditions::{FINISHED, POD_SCHEDULED, READY, SUSPENDED, reason};
use crd::names::selector;
use crd::v1beta1::{Sandbox, SandboxStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What the message of an error begins with.
pub(super) const ERROR_SEEN: &str = "Error seen: ";
/// Longest message and longest reason that the schema of a condition allows, in characters; counted in bytes here.
const MESSAGE_LIMIT: usize = 32_768;
const REASON_LIMIT: usize = 1024;

/// What a condition says, before it is known since when.
struct Says {
    status: &'static str,
    reason: String,
    message: String,
}

/// The status of a Sandbox that has not expired.
pub(super) fn compute(
    snapshot: &Snapshot,
    pods: &pods::Look,
    service: &service::Look,
    errors: &[String],
    now: Timestamp,
) -> SandboxStatus {
    let mut status = snapshot.sandbox.status.clone().unwrap_or_default();
    if let Some(exists) = service.exists {
        let name = snapshot.name();
        let namespace = snapshot.sandbox.metadata.namespace.as_deref().unwrap_or_default();
        status.service = exists.then(|| name.to_owned());
        status.service_fqdn = exists.then(|| format!("{name}.{namespace}.svc.{}", snapshot.cluster_domain));
    }
    if pods.pod.is_some() {
        status.selector = Some(selector(snapshot.name()));
    }
    let owned = pods.pod.as_deref().filter(|_| pods.owned);
    status.pod_ips = owned.map(|pod| pod.ips.clone()).unwrap_or_default();
    status.node_name = owned.and_then(|pod| pod.node.clone());

    let finished = finished(snapshot, pods.pod.as_deref());
    let ready = ready(snapshot, pods, service, finished.as_ref(), errors);
    let generation = snapshot.sandbox.metadata.generation;
    set(&mut status, SUSPENDED, Some(suspended(snapshot, pods)), generation, now);
    set(&mut status, POD_SCHEDULED, scheduled(pods), generation, now);
    set(&mut status, READY, Some(ready), generation, now);
    set(&mut status, FINISHED, finished.filter(|_| pods.owned), generation, now);
    status
}

/// The reason of the Ready condition as stored.
pub(super) fn ready_reason(sandbox: &Sandbox) -> Option<&str> {
    Some(sandbox.status.as_ref()?.condition(READY)?.reason.as_str())
}

/// The status of a Sandbox that has expired: `rest` is what stays beside Ready.
pub(super) fn expired(snapshot: &Snapshot, mut rest: SandboxStatus, now: Timestamp) -> SandboxStatus {
    let says = says("False", reason::SANDBOX_EXPIRED, "Sandbox has expired");
    let generation = snapshot.sandbox.metadata.generation;
    set(&mut rest, POD_SCHEDULED, None, generation, now);
    set(&mut rest, READY, Some(says), generation, now);
    rest
}

fn says(status: &'static str, reason: &str, message: impl Into<String>) -> Says {
    Says { status, reason: reason.to_owned(), message: message.into() }
}

fn suspended(snapshot: &Snapshot, pods: &pods::Look) -> Says {
    if !snapshot.sandbox.spec.is_suspended() {
        return says("False", reason::NOT_SUSPENDED, "Sandbox is not suspended");
    }
    match &pods.pod {
        None if pods.error.is_some() => {
            let message = "Pod state is unknown. Sandbox suspension cannot be confirmed";
            says("Unknown", reason::POD_STATE_UNKNOWN, message)
        }
        None => says("True", reason::POD_TERMINATED, "Pod has been terminated. Sandbox is suspended"),
        Some(_) if !pods.owned => {
            let message = "Refused to delete pod because it is not owned by this sandbox";
            says("False", reason::POD_NOT_OWNED, message)
        }
        Some(_) => says("False", reason::POD_TERMINATING, "Pod is terminating. Sandbox is suspending"),
    }
}

/// Mirrors the Pod's own condition.
fn scheduled(pods: &pods::Look) -> Option<Says> {
    let Some(pod) = &pods.pod else {
        let message = "Pod state is unknown. Pod scheduling cannot be determined";
        return pods.error.as_ref().map(|_| says("Unknown", reason::POD_SCHEDULING_UNKNOWN, message));
    };
    if !pods.owned {
        return None;
    }
    let Some(scheduled) = &pod.scheduled else {
        let message = "Pod has not reported a PodScheduled condition yet";
        return Some(says("Unknown", reason::POD_SCHEDULING_UNKNOWN, message));
    };
    let status = match scheduled.status.as_str() {
        "True" => "True",
        "False" => "False",
        _ => "Unknown",
    };
    let fallback = if status == "True" { reason::POD_SCHEDULED } else { reason::POD_SCHEDULING_UNKNOWN };
    // A Pod's reason is any text, one of ours is not: a write with it would be refused for ever.
    let reason = if is_reason(&scheduled.reason) { &scheduled.reason } else { fallback };
    Some(says(status, reason, scheduled.message.clone()))
}

/// Whether the Pod ended by itself. One that ends because it is suspended did not, unless it was known to have ended before.
fn finished(snapshot: &Snapshot, pod: Option<&PodView>) -> Option<Says> {
    let pod = pod.filter(|pod| pod.has_ended())?;
    let known = snapshot.sandbox.status.as_ref().is_some_and(|status| status.condition(FINISHED).is_some());
    // A resume may come while the Pod still terminates.
    let deleted = snapshot.memory.deleted.as_ref() == Some(&pod.meta.version.uid);
    if (deleted || snapshot.sandbox.spec.is_suspended()) && !known {
        return None;
    }
    Some(match pod.phase.as_str() {
        "Succeeded" => says("True", reason::POD_SUCCEEDED, "Pod completed successfully"),
        _ => says("True", reason::POD_FAILED, "Pod failed"),
    })
}

fn ready(
    snapshot: &Snapshot,
    pods: &pods::Look,
    service: &service::Look,
    finished: Option<&Says>,
    errors: &[String],
) -> Says {
    if let Some(message) = &pods.multiple {
        return says("False", reason::MULTIPLE_PODS, message.clone());
    }
    if !errors.is_empty() {
        return says("False", reason::RECONCILER_ERROR, format!("{ERROR_SEEN}{}", errors.join("\n")));
    }
    if snapshot.sandbox.spec.is_suspended() {
        let message = if pods.pod.is_some() { "Sandbox is suspending" } else { "Sandbox is suspended" };
        return says("False", reason::SANDBOX_SUSPENDED, message);
    }
    if let Some(finished) = finished {
        return says("False", &finished.reason, finished.message.clone());
    }
    let (pod_ready, mut message) = pod_part(pods);
    let exists = service.exists.unwrap_or(false);
    if service.required {
        message.push_str(if exists { "; Service Exists" } else { "; Service does not exist" });
    }
    match pod_ready && (exists || !service.required) {
        true => says("True", reason::DEPENDENCIES_READY, message),
        false => says("False", reason::DEPENDENCIES_NOT_READY, message),
    }
}

/// Whether the Pod serves, in words.
fn pod_part(pods: &pods::Look) -> (bool, String) {
    let Some(pod) = &pods.pod else { return (false, "Pod does not exist".to_owned()) };
    if pod.phase != "Running" || pod.meta.deleting || !pods.owned {
        let phase = if pod.phase.is_empty() { "Pending" } else { &pod.phase };
        return (false, format!("Pod exists with phase: {phase}"));
    }
    match (pod.ready, pod.ips.is_empty()) {
        (false, _) => (false, "Pod is Running but not Ready".to_owned()),
        (true, true) => (false, "Pod is Ready but has no podIPs yet".to_owned()),
        (true, false) => (true, "Pod is Ready".to_owned()),
    }
}

/// Sets or removes a condition. Since when it holds changes only with its status, as everywhere in Kubernetes.
fn set(status: &mut SandboxStatus, kind: &str, says: Option<Says>, generation: Option<i64>, now: Timestamp) {
    let place = status.conditions.iter().position(|condition| condition.type_ == kind);
    let Some(says) = says else {
        status.conditions.retain(|condition| condition.type_ != kind);
        return;
    };
    let before = place.map(|place| &status.conditions[place]).filter(|before| before.status == says.status);
    let since = before.map(|before| before.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_owned(),
        status: says.status.to_owned(),
        reason: says.reason,
        message: cut(says.message),
        observed_generation: generation,
        last_transition_time: since
            .unwrap_or_else(|| Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
    };
    match place {
        Some(place) => status.conditions[place] = condition,
        None => status.conditions.push(condition),
    }
}

fn is_reason(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= REASON_LIMIT
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().last().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b',' | b':'))
}

/// As much of a message as a condition can hold.
fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
    message
}
