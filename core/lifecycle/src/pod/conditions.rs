//! The conditions that the node agent owns, with the kubelet's reasons and messages.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::spec::Spec;
use super::status::whole_seconds;

const READY_TO_START: &str = "PodReadyToStartContainers";
const INITIALIZED: &str = "Initialized";
const READY: &str = "Ready";
const CONTAINERS_READY: &str = "ContainersReady";
const SCHEDULED: &str = "PodScheduled";
const OWNED: [&str; 5] = [READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED];

/// What the conditions are made from.
pub(super) struct Source<'a> {
    pub(super) spec: &'a Spec,
    pub(super) written: &'a PodStatus,
    pub(super) statuses: &'a [ContainerStatus],
    pub(super) phase: &'a str,
    pub(super) networked: bool,
    pub(super) initialised: bool,
}

/// One condition without its times.
struct Finding {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

/// All conditions: those of others as they were, then ours in the kubelet's order.
pub(super) fn of(source: &Source<'_>, now: Timestamp) -> Vec<PodCondition> {
    let old = source.written.conditions.as_deref().unwrap_or_default();
    let foreign = old.iter().filter(|condition| !OWNED.contains(&condition.type_.as_str())).cloned();
    let containers = containers_ready(source);
    let ours = [
        Finding::plain(READY_TO_START, source.networked),
        initialised(source),
        ready(source, &containers),
        containers,
        Finding::plain(SCHEDULED, true),
    ];
    foreign.chain(ours.into_iter().map(|finding| finding.dated(source, old, now))).collect()
}

/// Whether the `Ready` condition of this status is true.
pub(super) fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

// === impl Finding ===

impl Finding {
    fn plain(kind: &'static str, holds: bool) -> Self {
        Self { kind, holds, reason: None, message: None }
    }

    fn because(kind: &'static str, holds: bool, reason: &'static str, message: Option<String>) -> Self {
        Self { kind, holds, reason: Some(reason), message }
    }

    fn dated(self, source: &Source<'_>, old: &[PodCondition], now: Timestamp) -> PodCondition {
        let status = if self.holds { "True" } else { "False" };
        let before = old.iter().find(|condition| condition.type_ == self.kind && condition.status == status);
        let since = before.and_then(|condition| condition.last_transition_time.clone());
        PodCondition {
            last_probe_time: None,
            last_transition_time: Some(since.unwrap_or_else(|| Time(whole_seconds(now)))),
            message: self.message,
            observed_generation: source.spec.generation,
            reason: self.reason.map(str::to_owned),
            status: status.to_owned(),
            type_: self.kind.to_owned(),
        }
    }
}

fn containers_ready(source: &Source<'_>) -> Finding {
    match source.phase {
        "Succeeded" => return Finding::because(CONTAINERS_READY, false, "PodCompleted", None),
        "Failed" => return Finding::because(CONTAINERS_READY, false, "PodFailed", None),
        _ => {}
    }
    let sidecars = source.spec.init.iter().filter(|container| container.sidecar);
    let names = sidecars.chain(&source.spec.containers).map(|container| container.name.as_str());
    let ready = |name: &str| source.statuses.iter().any(|status| status.name == name && status.ready);
    let unready: Vec<_> = names.filter(|name| !ready(name)).collect();
    if unready.is_empty() {
        return Finding::plain(CONTAINERS_READY, true);
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Finding::because(CONTAINERS_READY, false, "ContainersNotReady", Some(message))
}

fn ready(source: &Source<'_>, containers: &Finding) -> Finding {
    if !containers.holds {
        return Finding {
            kind: READY,
            holds: false,
            reason: containers.reason,
            message: containers.message.clone(),
        };
    }
    let conditions = source.written.conditions.as_deref().unwrap_or_default();
    let mut missing = Vec::new();
    for gate in &source.spec.gates {
        match conditions.iter().find(|condition| condition.type_ == *gate) {
            None => missing
                .push(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
            Some(found) if found.status != "True" => missing.push(format!(
                "the status of pod readiness gate {gate:?} is not \"True\", but {}",
                found.status
            )),
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Finding::plain(READY, true);
    }
    Finding::because(READY, false, "ReadinessGatesNotReady", Some(missing.join(", ")))
}

fn initialised(source: &Source<'_>) -> Finding {
    if source.phase == "Succeeded" {
        return Finding::because(INITIALIZED, true, "PodCompleted", None);
    }
    let complete = |name: &str, sidecar: bool| {
        let status = source.statuses.iter().find(|status| status.name == name);
        status.is_some_and(|status| if sidecar { status.started == Some(true) } else { status.ready })
    };
    let rest = source.spec.init.iter().filter(|init| !complete(&init.name, init.sidecar));
    let rest: Vec<_> = rest.map(|init| init.name.as_str()).collect();
    if source.initialised || rest.is_empty() {
        return Finding::plain(INITIALIZED, true);
    }
    let message = format!("containers with incomplete status: [{}]", rest.join(" "));
    Finding::because(INITIALIZED, false, "ContainersNotInitialized", Some(message))
}
