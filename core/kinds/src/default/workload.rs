//! Defaults of deployments, replica sets and jobs.

use serde_json::{Value, json};

use super::pod;
use crate::value::{field, missing, object, set, set_default, text};

/// A deployment.
pub(super) fn deployment(deployment: &mut Value) {
    pod::template(deployment);
    let spec = field(deployment, "spec");
    set_default(spec, "replicas", 1);
    object(spec, "strategy");
    let strategy = field(spec, "strategy");
    set_default(strategy, "type", "RollingUpdate");
    if text(strategy, "/type") == "RollingUpdate" {
        object(strategy, "rollingUpdate");
        let rolling = field(strategy, "rollingUpdate");
        set_default(rolling, "maxUnavailable", "25%");
        set_default(rolling, "maxSurge", "25%");
    }
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
}

/// A replica set.
pub(super) fn replica_set(set: &mut Value) {
    pod::template(set);
    set_default(field(set, "spec"), "replicas", 1);
}

/// A job.
pub(super) fn job(job: &mut Value) {
    pod::template(job);
    let labels = job.pointer("/spec/template/metadata/labels").cloned();
    let spec = field(job, "spec");
    let unset = |spec: &Value, name: &str| spec.get(name).is_none_or(Value::is_null);
    if unset(spec, "completions") && unset(spec, "parallelism") {
        set(spec, "completions", 1);
    }
    set_default(spec, "parallelism", 1);
    let limit = if unset(spec, "backoffLimitPerIndex") { 6 } else { i64::from(i32::MAX) };
    set_default(spec, "backoffLimit", limit);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    let replacement = if unset(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    set_default(spec, "podReplacementPolicy", replacement);
    set_default(spec, "manualSelector", false);
    if let Some(labels) = labels.filter(|_| missing(job, "/metadata/labels")) {
        let metadata = field(job, "metadata");
        if metadata.is_null() {
            *metadata = json!({});
        }
        set(metadata, "labels", labels);
    }
}
