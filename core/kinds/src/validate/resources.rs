//! Requests and limits, limit ranges, quotas.

use serde_json::Value;
use wire::{FieldError, Path, Quantity, names};

use super::{Errors, NEGATIVE, each};
use crate::value::{entries, items, text};

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Requests and limits of a container or pod.
pub(super) fn requirements(resources: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    for (name, amount) in entries(resources, "/limits") {
        resource_name(name, &limits.key(name), errors);
        quantity(name, amount, &limits.key(name), errors);
    }
    for (name, amount) in entries(resources, "/requests") {
        resource_name(name, &requests.key(name), errors);
        let Some(request) = quantity(name, amount, &requests.key(name), errors) else { continue };
        let limit = resources.pointer("/limits").and_then(|l| l.get(name));
        match limit.and_then(|limit| Quantity::from_value(limit).ok()) {
            Some(limit) if request != limit && !overcommits(name) => {
                let why = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(requests, request.to_string(), why));
            }
            Some(limit) if request > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(requests, request.to_string(), why));
            }
            None if !overcommits(name) => {
                errors
                    .push(FieldError::required(limits, "Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
    }
}

/// Only extended resources and huge pages cannot be promised twice.
fn overcommits(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    native && !name.starts_with("hugepages-")
}

fn resource_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    each(errors, path, name, names::qualified_name(name));
    if !name.contains('/') && !STANDARD.contains(&name) && !name.starts_with("hugepages-") {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    }
}

/// A quantity that is none is refused when it is decoded in Kubernetes; here it is refused with the same words.
fn quantity(name: &str, amount: &Value, path: &Path<'_>, errors: &mut Errors) -> Option<Quantity> {
    let parsed = match Quantity::from_value(amount) {
        Ok(parsed) => parsed,
        Err(why) => {
            errors.push(FieldError::invalid(path, amount.clone(), why.to_string()));
            return None;
        }
    };
    if parsed.sign() < 0 {
        errors.push(FieldError::invalid(path, parsed.to_string(), NEGATIVE));
    }
    let whole = !overcommits(name) || name == "pods" || name.starts_with("count/");
    if whole && !parsed.is_whole() {
        errors.push(FieldError::invalid(path, parsed.to_string(), "must be an integer"));
    }
    Some(parsed)
}

/// A limit range: lower bounds are not above upper ones.
pub(super) fn limit_range(range: &Value, errors: &mut Errors) {
    let spec = Path::root("spec");
    let limits = spec.child("limits");
    for (index, limit) in items(range, "/spec/limits").enumerate() {
        let at = limits.index(index);
        if text(limit, "/type").is_empty() {
            errors.push(FieldError::required(at.child("type"), ""));
        }
        for name in ["max", "min", "default", "defaultRequest"] {
            let path = at.child(name);
            for (resource, amount) in entries(limit, &format!("/{name}")) {
                quantity("", amount, &path.key(resource), errors);
            }
        }
        for (low, high) in
            [("min", "max"), ("min", "default"), ("defaultRequest", "default"), ("default", "max")]
        {
            ordered(limit, low, high, &at, errors);
        }
    }
}

fn ordered(limit: &Value, low: &str, high: &str, path: &Path<'_>, errors: &mut Errors) {
    let amount = |list: &str, name: &str| {
        limit.get(list).and_then(|l| l.get(name)).and_then(|v| Quantity::from_value(v).ok())
    };
    let at = path.child(low);
    for (resource, _) in entries(limit, &format!("/{low}")) {
        let (Some(a), Some(b)) = (amount(low, resource), amount(high, resource)) else { continue };
        if a > b {
            let words =
                |name: &str| if name == "defaultRequest" { "default request" } else { name }.to_owned();
            let why = format!("{} value {a} is greater than {} value {b}", words(low), words(high));
            errors.push(FieldError::invalid(at.key(resource), a.to_string(), why));
        }
    }
}

/// A quota.
pub(super) fn quota(quota: &Value, errors: &mut Errors) {
    let spec = Path::root("spec");
    let hard = spec.child("hard");
    for (resource, amount) in entries(quota, "/spec/hard") {
        each(errors, &hard.key(resource), resource, names::qualified_name(resource));
        quantity(if resource == "pods" { "pods" } else { "cpu" }, amount, &hard.key(resource), errors);
    }
}
