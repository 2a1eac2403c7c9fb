//! Deployments, replica sets and jobs.

use serde_json::Value;
use wire::{FieldError, IntOrString, LabelSelector, Path};

use super::{Errors, immutable, labels, nonnegative, pod};
use crate::prepare::equivalent;
use crate::value::{entries, items, number, text};

/// Most pods of an indexed job that run at a time.
const INDEXED_PARALLELISM: i64 = 100_000;

/// A deployment.
pub(super) fn deployment(deployment: &Value, errors: &mut Errors) {
    replicated(deployment, errors);
    let path = Path::root("spec");
    let spec = deployment.get("spec").unwrap_or(&Value::Null);
    strategy(spec, &path.child("strategy"), errors);
    nonnegative(errors, spec, &path, &["revisionHistoryLimit", "progressDeadlineSeconds"]);
    let deadline = number(spec, "/progressDeadlineSeconds");
    if spec.get("progressDeadlineSeconds").is_some() && deadline <= number(spec, "/minReadySeconds") {
        let why = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(path.child("progressDeadlineSeconds"), deadline, why));
    }
}

/// A replica set.
pub(super) fn replica_set(set: &Value, errors: &mut Errors) {
    replicated(set, errors);
}

/// What both have.
fn replicated(object: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = object.get("spec").unwrap_or(&Value::Null);
    nonnegative(errors, spec, &path, &["replicas", "minReadySeconds"]);
    let selector = spec.get("selector");
    let at = path.child("selector");
    match selector {
        None => errors.push(FieldError::required(at, "")),
        Some(own) => {
            labels::selector(errors, &at, selector);
            if entries(own, "/matchLabels").count() + items(own, "/matchExpressions").len() == 0 {
                let why = "empty selector is invalid for deployment";
                errors.push(FieldError::invalid(at, own.clone(), why));
            }
        }
    }
    match LabelSelector::from_value(selector) {
        Err(_) => {
            let given = selector.cloned().unwrap_or_default();
            errors.push(FieldError::invalid(at, given, "invalid label selector"));
        }
        Ok(parsed) => matches_template(&parsed, object, errors),
    }
    pod::template(object, errors);
    let policy = text(spec, "/template/spec/restartPolicy");
    if policy != "Always" && !policy.is_empty() {
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if spec.pointer("/template/spec/activeDeadlineSeconds").is_some() {
        let why = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden("spec.template.spec.activeDeadlineSeconds", why));
    }
}

fn matches_template(selector: &LabelSelector, object: &Value, errors: &mut Errors) {
    let template = object.pointer("/spec/template").unwrap_or(&Value::Null);
    if !selector.is_empty() && !selector.matches_object(template) {
        let labels = template.pointer("/metadata/labels").cloned().unwrap_or_default();
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels, why));
    }
}

fn strategy(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let own = spec.get("strategy").unwrap_or(&Value::Null);
    let rolling = path.child("rollingUpdate");
    match text(own, "/type") {
        "Recreate" if own.get("rollingUpdate").is_some() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(rolling, why));
        }
        "Recreate" => {}
        "RollingUpdate" => rolling_update(own, &rolling, errors),
        _ => {
            let valid = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(path, own.clone(), &valid));
        }
    }
}

fn rolling_update(strategy: &Value, path: &Path<'_>, errors: &mut Errors) {
    let rolling = strategy.get("rollingUpdate").unwrap_or(&Value::Null);
    let amount = |name: &str| rolling.get(name).and_then(IntOrString::from_value);
    let percent = |value: &IntOrString| value.scaled(100, true);
    for name in ["maxUnavailable", "maxSurge"] {
        let Some(value) = amount(name) else { continue };
        let at = path.child(name);
        match (&value, percent(&value)) {
            (IntOrString::String(text), None) => {
                let why = wire::names::pattern(
                    "a valid percent string must be a numeric string followed by an ending '%'",
                    "[0-9]+%",
                    &["1%", "93%"],
                );
                errors.push(FieldError::invalid(at, text.as_str(), why));
            }
            (IntOrString::String(text), Some(share)) if name == "maxUnavailable" && share > 100 => {
                errors.push(FieldError::invalid(at, text.as_str(), "must not be greater than 100%"));
            }
            (IntOrString::Int(count), _) if *count < 0 => {
                errors.push(FieldError::invalid(at, *count, super::NEGATIVE));
            }
            _ => {}
        }
    }
    let zero = |name: &str| amount(name).is_none_or(|value| percent(&value) == Some(0));
    if zero("maxUnavailable") && zero("maxSurge") {
        let given = rolling.get("maxUnavailable").cloned().unwrap_or_default();
        let why = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(path.child("maxUnavailable"), given, why));
    }
}

/// A job.
pub(super) fn job(job: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = job.get("spec").unwrap_or(&Value::Null);
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    nonnegative(errors, spec, &path, &counts);
    let mode = text(spec, "/completionMode");
    if !["NonIndexed", "Indexed"].contains(&mode) {
        let valid = ["NonIndexed", "Indexed"];
        errors.push(FieldError::not_supported(path.child("completionMode"), mode, &valid));
    }
    if mode == "Indexed" && spec.get("completions").is_none() {
        errors.push(FieldError::required(path.child("completions"), "when completion mode is Indexed"));
    }
    let parallelism = number(spec, "/parallelism");
    if mode == "Indexed" && parallelism > INDEXED_PARALLELISM {
        let why =
            format!("must be less than or equal to {INDEXED_PARALLELISM} when completion mode is Indexed");
        errors.push(FieldError::invalid(path.child("parallelism"), parallelism, why));
    }
    pod::template(job, errors);
    let policy = text(spec, "/template/spec/restartPolicy");
    let at = "spec.template.spec.restartPolicy";
    if policy == "Always" || policy.is_empty() {
        errors.push(FieldError::required(at, "valid values: \"OnFailure\", \"Never\""));
    } else if !["OnFailure", "Never"].contains(&policy) {
        errors.push(FieldError::not_supported(at, policy, &["OnFailure", "Never"]));
    }
    let selector = spec.get("selector");
    if selector.is_none() {
        errors.push(FieldError::required(path.child("selector"), ""));
    }
    labels::selector(errors, &path.child("selector"), selector);
    if let Ok(parsed) = LabelSelector::from_value(selector) {
        matches_template(&parsed, job, errors);
    }
}

/// A job keeps what it runs; the pods' scheduling may change while it is suspended and has not started.
pub(super) fn job_change(new: &Value, old: &Value, errors: &mut Errors) {
    let fixed = [
        "/spec/selector",
        "/spec/completionMode",
        "/spec/podFailurePolicy",
        "/spec/backoffLimitPerIndex",
        "/spec/managedBy",
        "/spec/successPolicy",
    ];
    immutable(new, old, &fixed, errors);
    if text(new, "/spec/completionMode") != "Indexed" {
        immutable(new, old, &["/spec/completions"], errors);
    }
    let template = |job: &Value| {
        let mut copy = job.pointer("/spec/template").cloned().unwrap_or_default();
        let suspended =
            crate::value::flag(old, "/spec/suspend") && old.pointer("/status/startTime").is_none();
        if let Some(spec) = copy.get_mut("spec").filter(|_| suspended) {
            for name in ["affinity", "nodeSelector", "tolerations", "schedulingGates"] {
                crate::value::remove(spec, name);
            }
        }
        copy
    };
    if !equivalent(&template(new), &template(old)) {
        let given = new.pointer("/spec/template").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("spec.template", given, super::IMMUTABLE));
    }
}
