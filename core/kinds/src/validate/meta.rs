//! Metadata, of every kind.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, IMMUTABLE, each, labels, nonnegative};
use crate::table::{Body, Kind};
use crate::value::{entries, flag, items, text};

/// Most bytes of all annotations together.
const ANNOTATIONS_MAX: usize = 256 * 1024;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Fields that never change, once set.
const FIXED: [&str; 6] =
    ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Metadata of a new object.
pub(super) fn create(kind: &Kind, object: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    let prefix = text(object, "/metadata/generateName");
    if !prefix.is_empty() {
        let problems = name_problems(kind, &masked(prefix));
        each(errors, &path.child("generateName"), prefix, problems);
    }
    match text(object, "/metadata/name") {
        "" => errors.push(FieldError::required(path.child("name"), "name or generateName is required")),
        name => each(errors, &path.child("name"), name, name_problems(kind, name)),
    }
    let namespace = text(object, "/metadata/namespace");
    let at = path.child("namespace");
    match (kind.namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(at, "")),
        (true, false) => each(errors, &at, namespace, names::dns1123_label(namespace)),
        (false, false) => errors.push(FieldError::forbidden(at, "not allowed on this type")),
        (false, true) => {}
    }
    common(object, errors);
    finalizers(kind, object, errors);
}

/// Metadata of an update. What must not change is checked for every kind, and again by each kind's own rules, as Kubernetes does:
/// each error is told twice.
pub(super) fn update(new: &Value, old: &Value, errors: &mut Errors) {
    let mut found = Errors::new();
    kept(new, old, &mut found);
    errors.extend(found.iter().cloned());
    errors.extend(found);
    common(new, errors);
}

fn kept(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    if !text(old, "/metadata/deletionTimestamp").is_empty() {
        no_new_finalizers(new, old, errors);
    }
    let generation =
        |object: &Value| object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    if generation(new) < generation(old) {
        errors.push(FieldError::invalid(
            path.child("generation"),
            generation(new),
            "must not be decremented",
        ));
    }
    for name in FIXED {
        let value = |object: &Value| object.pointer("/metadata").and_then(|m| m.get(name)).cloned();
        let (a, b) = (value(new).unwrap_or_default(), value(old).unwrap_or_default());
        if a != b {
            errors.push(FieldError::invalid(path.child(name), a, IMMUTABLE));
        }
    }
}

/// A prefix may end in a dash, as something will be appended: Kubernetes checks it with the last two characters
/// replaced by a letter.
fn masked(prefix: &str) -> String {
    let mut chars = prefix.chars();
    match chars.next_back() {
        Some('-') if chars.next_back().is_some() => format!("{}a", chars.as_str()),
        _ => prefix.to_owned(),
    }
}

/// Whether a name fits the kind.
fn name_problems(kind: &Kind, name: &str) -> Vec<String> {
    match kind.body {
        Body::Namespace | Body::Service => names::dns1123_label(name),
        Body::Role | Body::ClusterRole | Body::RoleBinding | Body::ClusterRoleBinding => {
            names::path_segment(name)
        }
        _ => names::dns1123_subdomain(name),
    }
}

fn common(object: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    if let Some(metadata) = object.get("metadata") {
        nonnegative(errors, metadata, &path, &["generation"]);
    }
    labels::labels(errors, &path.child("labels"), object, "/metadata/labels");
    annotations(object, errors);
    owners(object, errors);
}

fn annotations(object: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    let path = path.child("annotations");
    let mut size = 0;
    for (key, value) in entries(object, "/metadata/annotations") {
        each(errors, &path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
}

fn owners(object: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    let path = path.child("ownerReferences");
    let mut controller: Option<String> = None;
    for owner in items(object, "/metadata/ownerReferences") {
        let version = text(owner, "/apiVersion");
        if version.is_empty() {
            errors.push(FieldError::invalid(path.child("apiVersion"), version, "version must not be empty"));
        }
        for name in ["kind", "name", "uid"] {
            if owner.get(name).and_then(Value::as_str).unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(path.child(name), "", "must not be empty"));
            }
        }
        if version == "v1" && text(owner, "/kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), why));
        }
        if flag(owner, "/controller") {
            let own = format!("{}/{}", text(owner, "/kind"), text(owner, "/name"));
            if let Some(first) = &controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                     and {own}"
                );
                let all = object.pointer("/metadata/ownerReferences").cloned().unwrap_or_default();
                errors.push(FieldError::invalid(path, all, why));
            }
            controller.get_or_insert(own);
        }
    }
}

fn finalizers(kind: &Kind, object: &Value, errors: &mut Errors) {
    let path = Path::root("metadata");
    let path = path.child("finalizers");
    let all: Vec<&str> = items(object, "/metadata/finalizers").filter_map(Value::as_str).collect();
    for name in &all {
        each(errors, &path, name, names::qualified_name(name));
    }
    let standard = ["kubernetes", ORPHAN, FOREGROUND];
    let loose = |name: &&str| !name.contains('/') && !standard.contains(name);
    for (index, name) in all.iter().enumerate().filter(|(_, name)| loose(name) && kind.custom().is_none()) {
        let why = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path.index(index), *name, why));
    }
    if all.contains(&ORPHAN) && all.contains(&FOREGROUND) {
        let why = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, all, why));
    }
}

fn no_new_finalizers(new: &Value, old: &Value, errors: &mut Errors) {
    let list = |object| items(object, "/metadata/finalizers").filter_map(Value::as_str).collect::<Vec<_>>();
    let before = list(old);
    let mut extra: Vec<&str> = list(new).into_iter().filter(|name| !before.contains(name)).collect();
    extra.sort_unstable();
    if !extra.is_empty() {
        let shown: Vec<String> = extra.iter().map(|name| wire::quote(name)).collect();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            shown.join(", ")
        );
        errors.push(FieldError::forbidden("metadata.finalizers", why));
    }
}
