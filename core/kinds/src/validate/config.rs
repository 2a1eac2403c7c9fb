//! Secrets, config maps, and other small kinds.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, IMMUTABLE, each, immutable, label, labels, one_of, pod, required};
use crate::prepare::equivalent;
use crate::value::{entries, flag, number, text};

/// Most bytes of a secret's or config map's values together.
const DATA_MAX: usize = 1024 * 1024;
/// Highest priority that a user may define.
const PRIORITY_MAX: i64 = 1_000_000_000;

/// A secret.
pub(super) fn secret(secret: &Value, errors: &mut Errors) {
    let path = Path::root("data");
    let mut size = 0;
    for (key, value) in entries(secret, "/data") {
        each(errors, &path.key(key), key, names::config_key(key));
        size += decoded_len(value.as_str().unwrap_or_default());
    }
    if size > DATA_MAX {
        errors.push(FieldError::too_long(path, DATA_MAX));
    }
    let has = |key: &str| secret.get("data").is_some_and(|data| data.get(key).is_some());
    let mut need = |key: &str| {
        if !has(key) {
            errors.push(FieldError::required(path.key(key), ""));
        }
    };
    match text(secret, "/type") {
        "kubernetes.io/dockercfg" => need(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => need(".dockerconfigjson"),
        "kubernetes.io/ssh-auth" if text(secret, "/data/ssh-privatekey").is_empty() => {
            errors.push(FieldError::required(path.key("ssh-privatekey"), ""));
        }
        "kubernetes.io/tls" => {
            need("tls.crt");
            need("tls.key");
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            need("username");
            need("password");
        }
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            let annotations = secret.pointer("/metadata/annotations");
            if annotations.and_then(|a| a.get(name)).and_then(Value::as_str).unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("metadata.annotations[{name}]"), ""));
            }
        }
        _ => {}
    }
}

/// A secret keeps its type, and all of its data if it says so.
pub(super) fn secret_change(new: &Value, old: &Value, errors: &mut Errors) {
    immutable(new, old, &["/type"], errors);
    immutable_data(new, old, &["data"], errors);
}

/// Objects with `immutable: true` keep that and their data.
pub(super) fn immutable_data(new: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    const WHY: &str = "field is immutable when `immutable` is set";
    if !flag(old, "/immutable") {
        return;
    }
    if !flag(new, "/immutable") {
        errors.push(FieldError::forbidden("immutable", WHY));
    }
    for field in fields {
        let (a, b) = (new.get(*field).unwrap_or(&Value::Null), old.get(*field).unwrap_or(&Value::Null));
        if !equivalent(a, b) {
            errors.push(FieldError::forbidden(*field, WHY));
        }
    }
}

/// A config map.
pub(super) fn config_map(map: &Value, errors: &mut Errors) {
    let (data, binary) = (Path::root("data"), Path::root("binaryData"));
    let mut size = 0;
    for (key, value) in entries(map, "/data") {
        each(errors, &data.key(key), key, names::config_key(key));
        if map.get("binaryData").is_some_and(|other| other.get(key).is_some()) {
            let why = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(data.key(key), key.as_str(), why));
        }
        size += value.as_str().unwrap_or_default().len();
    }
    for (key, value) in entries(map, "/binaryData") {
        each(errors, &binary.key(key), key, names::config_key(key));
        size += decoded_len(value.as_str().unwrap_or_default());
    }
    if size > DATA_MAX {
        errors.push(FieldError::too_long("[]", DATA_MAX));
    }
}

/// A runtime class.
pub(super) fn runtime(class: &Value, errors: &mut Errors) {
    let path = Path::root("handler");
    required(errors, &path, text(class, "/handler"));
    label(errors, &path, text(class, "/handler"));
    let scheduling = Path::root("scheduling");
    labels::labels(errors, &scheduling.child("nodeSelector"), class, "/scheduling/nodeSelector");
    if let Some(own) = class.get("scheduling") {
        pod::tolerations(own, &scheduling.child("tolerations"), errors);
    }
}

/// A priority class.
pub(super) fn priority(class: &Value, errors: &mut Errors) {
    let (name, value) = (text(class, "/metadata/name"), number(class, "/value"));
    let known = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    if name.starts_with("system-") {
        if !known.contains(&(name, value)) {
            let why = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a \
                 known system priority class"
            );
            errors.push(FieldError::forbidden("metadata.name", why));
        }
    } else if value > PRIORITY_MAX {
        let why = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        errors.push(FieldError::forbidden("value", why));
    }
    let policies = ["PreemptLowerPriority", "Never"];
    one_of(errors, &Path::root("preemptionPolicy"), text(class, "/preemptionPolicy"), &policies);
}

/// A priority class keeps its value and policy.
pub(super) fn priority_change(new: &Value, old: &Value, errors: &mut Errors) {
    if number(new, "/value") != number(old, "/value") {
        errors.push(FieldError::forbidden("value", "may not be changed in an update."));
    }
    let policy = text(new, "/preemptionPolicy");
    if policy != text(old, "/preemptionPolicy") {
        errors.push(FieldError::invalid("preemptionPolicy", policy, IMMUTABLE));
    }
}

/// A lease.
pub(super) fn lease(lease: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let value = |name: &str| lease.pointer("/spec").and_then(|s| s.get(name)).and_then(Value::as_i64);
    if let Some(seconds) = value("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(
            path.child("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(count) = value("leaseTransitions").filter(|count| *count < 0) {
        errors.push(FieldError::invalid(path.child("leaseTransitions"), count, super::NEGATIVE));
    }
}

/// Bytes that a base64 text stands for.
fn decoded_len(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}
