//! The row of a pod: how ready it is, what its containers are doing, how often they were restarted.

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{Column, human_age};

use super::{AGE, NAME, age, name, or, shown, wide};
use crate::value::{flag, items, number, text};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    shown("Ready", "string", "Containers that are ready, of all."),
    shown("Status", "string", "What the containers are doing, in one word."),
    shown("Restarts", "string", "How often containers were restarted, and when last."),
    AGE,
    wide("IP", "string", "Address of the pod."),
    wide("Node", "string", "Node that the pod is on."),
    wide("Nominated Node", "string", "Node that is being freed for the pod."),
    wide("Readiness Gates", "string", "Extra readiness conditions that hold, of all."),
];

/// What the containers' states add up to.
struct Summary {
    reason: String,
    ready: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(pod);
    let sidecars = items(pod, "/spec/initContainers").filter(|c| is_sidecar(c)).count();
    let total = items(pod, "/spec/containers").len() + sidecars;
    let restarts = match summary.last_restart.filter(|_| summary.restarts != 0) {
        Some(time) => format!("{} ({} ago)", summary.restarts, human_age(Some(&time.to_string()), now)),
        None => summary.restarts.to_string(),
    };
    vec![
        name(pod),
        json!(format!("{}/{total}", summary.ready)),
        json!(status(pod, summary.reason)),
        json!(restarts),
        age(pod, now),
        json!(or(pod, "/status/podIPs/0/ip", "<none>")),
        json!(or(pod, "/spec/nodeName", "<none>")),
        json!(or(pod, "/status/nominatedNodeName", "<none>")),
        json!(gates(pod)),
    ]
}

/// Deletion overrides what the containers say.
fn status(pod: &Value, reason: String) -> String {
    let deleted = !text(pod, "/metadata/deletionTimestamp").is_empty();
    if deleted && text(pod, "/status/reason") == "NodeLost" {
        "Unknown".to_owned()
    } else if deleted && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        "Terminating".to_owned()
    } else {
        reason
    }
}

fn summarize(pod: &Value) -> Summary {
    let mut reason = or(pod, "/status/reason", text(pod, "/status/phase")).to_owned();
    let gated = |c: &Value| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated";
    if items(pod, "/status/conditions").any(gated) {
        "SchedulingGated".clone_into(&mut reason);
    }
    let mut summary = Summary { reason, ready: 0, restarts: 0, last_restart: None };
    let (initializing, sidecars) = summarize_init(pod, &mut summary);
    if !initializing || condition(pod, "Initialized") {
        (summary.restarts, summary.last_restart) = sidecars;
        summarize_main(pod, &mut summary);
    }
    summary
}

/// Init containers in order, up to the first that is not done. Answers whether there is one, and the restarts of
/// sidecars alone.
fn summarize_init(pod: &Value, summary: &mut Summary) -> (bool, (i64, Option<Timestamp>)) {
    let total = items(pod, "/spec/initContainers").len();
    let mut sidecars = (0, None);
    for (index, status) in items(pod, "/status/initContainerStatuses").enumerate() {
        let own = text(status, "/name");
        let sidecar = items(pod, "/spec/initContainers").any(|c| text(c, "/name") == own && is_sidecar(c));
        count_restarts(status, &mut summary.restarts, &mut summary.last_restart);
        if sidecar {
            count_restarts(status, &mut sidecars.0, &mut sidecars.1);
        }
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|t| number(t, "/exitCode") == 0) {
            continue;
        }
        if sidecar && flag(status, "/started") {
            summary.ready += usize::from(flag(status, "/ready"));
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        summary.reason = match terminated {
            Some(terminated) => format!("Init:{}", ended(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{total}"),
        };
        return (true, sidecars);
    }
    (false, sidecars)
}

fn summarize_main(pod: &Value, summary: &mut Summary) {
    let (mut running, mut error) = (false, None);
    for status in items(pod, "/status/containerStatuses").rev() {
        count_restarts(status, &mut summary.restarts, &mut summary.last_restart);
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.reason);
        } else if let Some(terminated) = status.pointer("/state/terminated") {
            summary.reason = ended(terminated);
            if number(terminated, "/exitCode") != 0 {
                error = Some(summary.reason.clone());
            }
        } else if flag(status, "/ready") && status.pointer("/state/running").is_some() {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" {
        if running && condition(pod, "Ready") {
            "Running".clone_into(&mut summary.reason);
        } else if let Some(error) = error {
            summary.reason = error;
        } else if running {
            "NotReady".clone_into(&mut summary.reason);
        }
    }
}

/// How a container ended, in one word.
fn ended(terminated: &Value) -> String {
    let reason = text(terminated, "/reason");
    match number(terminated, "/signal") {
        _ if !reason.is_empty() => reason.to_owned(),
        0 => format!("ExitCode:{}", number(terminated, "/exitCode")),
        signal => format!("Signal:{signal}"),
    }
}

fn count_restarts(status: &Value, restarts: &mut i64, last: &mut Option<Timestamp>) {
    *restarts += number(status, "/restartCount");
    let finished = wire::time::parse(text(status, "/lastState/terminated/finishedAt"));
    *last = (*last).max(finished);
}

fn gates(pod: &Value) -> String {
    let total = items(pod, "/spec/readinessGates").len();
    if total == 0 {
        return "<none>".to_owned();
    }
    let holding =
        items(pod, "/spec/readinessGates").filter(|g| condition(pod, text(g, "/conditionType"))).count();
    format!("{holding}/{total}")
}

fn condition(pod: &Value, kind: &str) -> bool {
    items(pod, "/status/conditions").any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
}

fn is_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}
