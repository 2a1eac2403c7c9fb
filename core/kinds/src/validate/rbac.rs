//! Roles and role bindings.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, each, required, subdomain};
use crate::prepare::equivalent;
use crate::value::{items, missing, text};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A role of either scope.
pub(super) fn role(role: &Value, namespaced: bool, errors: &mut Errors) {
    let rules = Path::root("rules");
    for (index, rule) in items(role, "/rules").enumerate() {
        let at = rules.index(index);
        if missing(rule, "/verbs") {
            errors.push(FieldError::required(at.child("verbs"), "verbs must contain at least one value"));
        }
        if !missing(rule, "/nonResourceURLs") {
            urls(rule, namespaced, &at.child("nonResourceURLs"), errors);
            continue;
        }
        for (name, why) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if missing(rule, &format!("/{name}")) {
                errors.push(FieldError::required(at.child(name), why));
            }
        }
    }
}

fn urls(rule: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    let given = || rule.get("nonResourceURLs").cloned().unwrap_or_default();
    if namespaced {
        let why = "namespaced rules cannot apply to non-resource URLs";
        errors.push(FieldError::invalid(path, given(), why));
    }
    if ["/apiGroups", "/resources", "/resourceNames"].iter().any(|name| !missing(rule, name)) {
        let why = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(FieldError::invalid(path, given(), why));
    }
}

/// A role binding of either scope.
pub(super) fn binding(binding: &Value, namespaced: bool, errors: &mut Errors) {
    let role = Path::root("roleRef");
    if text(binding, "/roleRef/apiGroup") != GROUP {
        let given = text(binding, "/roleRef/apiGroup");
        errors.push(FieldError::not_supported(role.child("apiGroup"), given, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(binding, "/roleRef/kind");
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(role.child("kind"), kind, kinds));
    }
    let name = text(binding, "/roleRef/name");
    required(errors, &role.child("name"), name);
    each(errors, &role.child("name"), name, names::path_segment(name));
    let subjects = Path::root("subjects");
    for (index, own) in items(binding, "/subjects").enumerate() {
        subject(own, namespaced, &subjects.index(index), errors);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &Path<'_>, errors: &mut Errors) {
    let (kind, name, group) = (text(subject, "/kind"), text(subject, "/name"), text(subject, "/apiGroup"));
    required(errors, &path.child("name"), name);
    match kind {
        "ServiceAccount" => {
            subdomain(errors, &path.child("name"), name);
            if !group.is_empty() {
                errors.push(FieldError::not_supported(path.child("apiGroup"), group, &[""]));
            }
            if !namespaced {
                required(errors, &path.child("namespace"), text(subject, "/namespace"));
            }
        }
        "User" | "Group" if group != GROUP => {
            errors.push(FieldError::not_supported(path.child("apiGroup"), group, &[GROUP]));
        }
        "User" | "Group" => {}
        other => {
            let valid = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(path.child("kind"), other, &valid));
        }
    }
}

/// A binding keeps its role.
pub(super) fn binding_change(new: &Value, old: &Value, errors: &mut Errors) {
    let (a, b) = (new.get("roleRef").unwrap_or(&Value::Null), old.get("roleRef").unwrap_or(&Value::Null));
    if !equivalent(a, b) {
        errors.push(FieldError::invalid("roleRef", a.clone(), "cannot change roleRef"));
    }
}
