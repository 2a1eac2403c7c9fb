//! Requests and limits, limit ranges, quotas.

use serde_json::Value;
use wire::{FieldError, Path, Quantity, names};

use super::{Errors, NEGATIVE, each};
use crate::value::{entries, is_empty, items, text};

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Requests and limits of a container or pod.
pub(super) fn requirements(resources: &Value, path: &Path<'_>, errors: &mut Errors) {
    huge_pages(resources, path, errors);
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

/// Huge pages alone say nothing about a container's size.
fn huge_pages(resources: &Value, path: &Path<'_>, errors: &mut Errors) {
    let names = || entries(resources, "/limits").chain(entries(resources, "/requests")).map(|(name, _)| name);
    if names().any(|name| name.starts_with("hugepages-")) && !names().any(|n| n == "cpu" || n == "memory") {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
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
        if text(limit, "/type") == "Pod" {
            for name in ["default", "defaultRequest"] {
                if limit.get(name).is_some_and(|list| !is_empty(list)) {
                    errors.push(FieldError::forbidden(
                        at.child(name),
                        "may not be specified when `type` is 'Pod'",
                    ));
                }
            }
        } else {
            ordered_defaults(limit, &at, errors);
        }
        ordered(limit, ("min", "min"), ("max", "max"), ("min", "min"), &at, errors);
    }
}

/// Each pair, and the field and value that Kubernetes names when they are the wrong way round.
fn ordered_defaults(limit: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (min, max) = (("min", "min"), ("max", "max"));
    let (request, default) = (("defaultRequest", "default request"), ("default", "default"));
    ordered(limit, min, request, ("defaultRequest", "defaultRequest"), path, errors);
    ordered(limit, request, max, ("defaultRequest", "defaultRequest"), path, errors);
    ordered(limit, request, ("default", "default limit"), ("defaultRequest", "defaultRequest"), path, errors);
    ordered(limit, min, default, ("default", "min"), path, errors);
    ordered(limit, default, max, ("default", "max"), path, errors);
}

/// `low` and `high` are a list and its words; `named` is the field of the error and the list of its value.
fn ordered(
    limit: &Value,
    low: (&str, &str),
    high: (&str, &str),
    named: (&str, &str),
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let amount = |list: &str, name: &str| {
        limit.get(list).and_then(|l| l.get(name)).and_then(|v| Quantity::from_value(v).ok())
    };
    let at = path.child(named.0);
    for (resource, _) in entries(limit, &format!("/{}", low.0)) {
        let (Some(a), Some(b)) = (amount(low.0, resource), amount(high.0, resource)) else { continue };
        if a > b {
            let why = format!("{} value {a} is greater than {} value {b}", low.1, high.1);
            let shown = amount(named.1, resource).unwrap_or(a);
            errors.push(FieldError::invalid(at.key(resource), shown.to_string(), why));
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
