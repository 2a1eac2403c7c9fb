//! What Kubernetes 1.36 refuses, with its paths and words (`pkg/apis/*/validation`).
//!
//! Run on objects that have their defaults, after the schema has checked types and required fields. Custom kinds
//! have their rules in their schema; only their metadata is checked here.

use serde_json::Value;
use wire::{FieldError, Path, names};

use crate::custom::Custom;
use crate::prepare::equivalent;
use crate::table::{Body, Kind};
use crate::value::is_empty;

mod config;
mod container;
mod crd;
mod downward;
mod handler;
mod labels;
mod meta;
mod network;
mod pod;
mod pod_update;
mod rbac;
mod records;
mod resources;
mod security;
mod service;
mod storage;
mod volume;
mod workload;

#[cfg(test)]
mod tests;

/// What is wrong with an object.
type Errors = Vec<FieldError>;

const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";

/// Checks an object that is to be created; its name has been generated.
pub fn validate_create(kind: &Kind, new: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    meta::create(kind, new, &mut errors);
    body(kind, new, &mut errors);
    if matches!(kind.body, Body::CustomResourceDefinition) {
        crd::approval(new, None, &mut errors);
    }
    if matches!(kind.body, Body::Pod)
        && new.pointer("/spec/ephemeralContainers").is_some_and(|c| !is_empty(c))
    {
        errors.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
    }
    errors
}

/// Checks an object that is to replace another, through the main resource or a subresource.
pub fn validate_update(kind: &Kind, subresource: Option<&str>, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    meta::update(new, old, &mut errors);
    match subresource {
        None => {
            body(kind, new, &mut errors);
            change(kind, new, old, &mut errors);
        }
        Some("status") if matches!(kind.body, Body::Pod) => pod_update::status(new, old, &mut errors),
        Some("ephemeralcontainers") => body(kind, new, &mut errors),
        Some(_) => {}
    }
    errors
}

fn body(kind: &Kind, new: &Value, errors: &mut Errors) {
    match kind.body {
        Body::Pod => pod::pod(new, errors),
        Body::Service => service::service(new, errors),
        Body::Secret => config::secret(new, errors),
        Body::ConfigMap => config::config_map(new, errors),
        Body::PriorityClass => config::priority(new, errors),
        Body::Lease => config::lease(new, errors),
        Body::RuntimeClass => config::runtime(new, errors),
        Body::LimitRange => resources::limit_range(new, errors),
        Body::ResourceQuota => resources::quota(new, errors),
        Body::PersistentVolumeClaim => storage::claim(new, errors),
        Body::PersistentVolume => storage::volume(new, errors),
        Body::StorageClass => storage::class(new, errors),
        Body::NetworkPolicy => network::policy(new, errors),
        Body::EndpointSlice => network::slice(new, errors),
        Body::Deployment => workload::deployment(new, errors),
        Body::ReplicaSet => workload::replica_set(new, errors),
        Body::Job => workload::job(new, errors),
        Body::Role => rbac::role(new, true, errors),
        Body::ClusterRole => rbac::role(new, false, errors),
        Body::RoleBinding => rbac::binding(new, true, errors),
        Body::ClusterRoleBinding => rbac::binding(new, false, errors),
        Body::CustomResourceDefinition => crd::crd(new, errors),
        Body::Endpoints => records::endpoints(new, errors),
        Body::Event => records::event(new, errors),
        Body::Node => records::node(new, errors),
        Body::Custom(ref custom) => replicas(custom, new, errors),
        Body::Namespace | Body::Review | Body::ServiceAccount => {}
    }
}

/// The number that a custom kind scales by.
fn replicas(custom: &Custom, new: &Value, errors: &mut Errors) {
    let Some(scale) = &custom.scale else { return };
    let value = new.pointer(&scale.spec_replicas.replace('.', "/")).and_then(Value::as_i64);
    if let Some(value) = value.filter(|value| *value < 0) {
        let why = "should be a non-negative integer";
        errors.push(FieldError::invalid(scale.spec_replicas.as_str(), value, why));
    }
}

/// Rules about what may change.
fn change(kind: &Kind, new: &Value, old: &Value, errors: &mut Errors) {
    match kind.body {
        Body::Pod => pod_update::pod(new, old, errors),
        Body::Service => service::change(new, old, errors),
        Body::Secret => config::secret_change(new, old, errors),
        Body::ConfigMap => config::immutable_data(new, old, &["data", "binaryData"], errors),
        Body::PersistentVolumeClaim => storage::claim_change(new, old, errors),
        Body::PersistentVolume => storage::volume_change(new, old, errors),
        Body::StorageClass => {
            immutable(
                new,
                old,
                &["/parameters", "/provisioner", "/reclaimPolicy", "/volumeBindingMode"],
                errors,
            );
        }
        Body::RuntimeClass => immutable(new, old, &["/handler"], errors),
        Body::PriorityClass => config::priority_change(new, old, errors),
        Body::Deployment | Body::ReplicaSet => immutable(new, old, &["/spec/selector"], errors),
        Body::Job => workload::job_change(new, old, errors),
        Body::RoleBinding | Body::ClusterRoleBinding => rbac::binding_change(new, old, errors),
        Body::EndpointSlice => immutable(new, old, &["/addressType"], errors),
        Body::CustomResourceDefinition => {
            crd::change(new, old, errors);
            crd::approval(new, Some(old), errors);
        }
        _ => {}
    }
}

/// Fields, as JSON pointers, that may not change.
fn immutable(new: &Value, old: &Value, pointers: &[&str], errors: &mut Errors) {
    for pointer in pointers {
        let (a, b) =
            (new.pointer(pointer).unwrap_or(&Value::Null), old.pointer(pointer).unwrap_or(&Value::Null));
        if !equivalent(a, b) {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            errors.push(FieldError::invalid(path, a.clone(), IMMUTABLE));
        }
    }
}

/// One error for each problem with a value.
fn each(errors: &mut Errors, path: &Path<'_>, value: &str, problems: Vec<String>) {
    errors.extend(problems.into_iter().map(|problem| FieldError::invalid(path, value, problem)));
}

/// A DNS label, if there is one.
fn label(errors: &mut Errors, path: &Path<'_>, value: &str) {
    if !value.is_empty() {
        each(errors, path, value, names::dns1123_label(value));
    }
}

/// A DNS subdomain, if there is one.
fn subdomain(errors: &mut Errors, path: &Path<'_>, value: &str) {
    if !value.is_empty() {
        each(errors, path, value, names::dns1123_subdomain(value));
    }
}

/// A text that must be there.
fn required(errors: &mut Errors, path: &Path<'_>, value: &str) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
}

/// A text that must be one of a few, in the order in which Kubernetes lists them.
fn one_of(errors: &mut Errors, path: &Path<'_>, value: &str, valid: &[&str]) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !valid.contains(&value) {
        errors.push(FieldError::not_supported(path, value, valid));
    }
}

/// Numbers below an object that may not be negative, if they are there.
fn nonnegative(errors: &mut Errors, object: &Value, path: &Path<'_>, names: &[&str]) {
    for name in names {
        if let Some(number) = object.get(name).and_then(Value::as_i64).filter(|n| *n < 0) {
            errors.push(FieldError::invalid(path.child(name), number, NEGATIVE));
        }
    }
}

/// A port: a number or the name of one.
fn port(errors: &mut Errors, path: &Path<'_>, value: Option<&Value>) {
    match value {
        Some(Value::String(name)) => each(errors, path, name, names::port_name(name)),
        other => {
            let number = other.and_then(Value::as_i64).unwrap_or(0);
            let problems = names::port_number(number);
            errors.extend(problems.into_iter().map(|problem| FieldError::invalid(path, number, problem)));
        }
    }
}
