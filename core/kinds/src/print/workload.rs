//! The rows of deployments, replica sets and jobs.

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{Column, LabelSelector, human_duration};

use super::{AGE, NAME, age, name, selector, shown, wide};
use crate::value::{items, number, text};

const CONTAINERS: Column = wide("Containers", "string", "Names of the containers.");
const IMAGES: Column = wide("Images", "string", "Images of the containers.");
const SELECTOR: Column = wide("Selector", "string", "Labels of the pods.");

pub(super) const DEPLOYMENT: &[Column] = &[
    NAME,
    shown("Ready", "string", "Pods that are ready, of those wanted."),
    shown("Up-to-date", "string", "Pods of the newest template."),
    shown("Available", "string", "Pods that have been ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const REPLICA_SET: &[Column] = &[
    NAME,
    shown("Desired", "integer", "Pods wanted."),
    shown("Current", "integer", "Pods that exist."),
    shown("Ready", "integer", "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const JOB: &[Column] = &[
    NAME,
    shown("Status", "string", "How the job is doing."),
    shown("Completions", "string", "Pods that succeeded, of those wanted."),
    shown("Duration", "string", "Time from start to end."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn deployment(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let selected = LabelSelector::from_value(deployment.pointer("/spec/selector"));
    let selected = selected.map_or_else(|_| "<invalid>".to_owned(), |s| s.to_string());
    let (ready, wanted) = (number(deployment, "/status/readyReplicas"), number(deployment, "/spec/replicas"));
    vec![
        name(deployment),
        json!(format!("{ready}/{wanted}")),
        json!(number(deployment, "/status/updatedReplicas")),
        json!(number(deployment, "/status/availableReplicas")),
        age(deployment, now),
        json!(containers(deployment, "/name")),
        json!(containers(deployment, "/image")),
        json!(selected),
    ]
}

pub(super) fn replica_set(set: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(set),
        json!(number(set, "/spec/replicas")),
        json!(number(set, "/status/replicas")),
        json!(number(set, "/status/readyReplicas")),
        age(set, now),
        json!(containers(set, "/name")),
        json!(containers(set, "/image")),
        json!(selector(set.pointer("/spec/selector"))),
    ]
}

pub(super) fn job(job: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(job),
        json!(job_status(job)),
        json!(completions(job)),
        json!(duration(job, now)),
        age(job, now),
        json!(containers(job, "/name")),
        json!(containers(job, "/image")),
        json!(selector(job.pointer("/spec/selector"))),
    ]
}

fn job_status(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        items(job, "/status/conditions").find(|c| text(c, "/type") == kind).map(|c| text(c, "/status"))
            == Some("True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if !text(job, "/metadata/deletionTimestamp").is_empty() {
        "Terminating"
    } else {
        let rest = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
        rest.into_iter().find(|kind| holds(kind)).unwrap_or("Running")
    }
}

fn completions(job: &Value) -> String {
    let succeeded = number(job, "/status/succeeded");
    let parallelism = number(job, "/spec/parallelism");
    match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let time = |pointer: &str| wire::time::parse(text(job, pointer));
    let Some(start) = time("/status/startTime") else { return String::new() };
    let end = time("/status/completionTime").unwrap_or(now);
    human_duration(end.as_second() - start.as_second())
}

fn containers(object: &Value, field: &str) -> String {
    let all: Vec<&str> = items(object, "/spec/template/spec/containers").map(|c| text(c, field)).collect();
    all.join(",")
}
