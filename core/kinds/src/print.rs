//! Columns and rows of `kubectl get`, cell for cell as Kubernetes' own printers make them
//! (`pkg/printers/internalversion`, and the table converter of custom resources).
//!
//! Rows always have the cells of wide columns too; clients show those with a priority above 0 only when asked.

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::{Column, Row, human_age};

use crate::table::{Body, Kind};
use crate::value::text;

mod config;
mod custom;
mod network;
mod node;
mod pod;
mod storage;
mod workload;

#[cfg(test)]
mod tests;

/// A column that is always shown: heading, type, description.
const fn shown(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column::fixed(name, kind, "", 0, description)
}

/// A column of `-o wide`.
const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column::fixed(name, kind, "", 1, description)
}

const NAME: Column =
    Column::fixed("Name", "string", "name", 0, "Name of the object, unique in its namespace.");
const AGE: Column = shown("Age", "string", "Time since the object was created.");
const CREATED: Column = shown("Created At", "date", "When the object was created.");
const NAME_AND_AGE: &[Column] = &[NAME, AGE];
const NAME_AND_DATE: &[Column] = &[NAME, CREATED];

/// The columns of a kind.
pub fn columns(kind: &Kind) -> Vec<Column> {
    match &kind.body {
        Body::Custom(custom) => custom::columns(custom),
        body => fixed_columns(body).to_vec(),
    }
}

/// The row of an object, without the object: the caller sets `object` as `includeObject` asks.
pub fn row(kind: &Kind, object: &Value, now: Timestamp) -> Row {
    Row { cells: cells(kind, object, now), conditions: conditions(kind, object), object: Value::Null }
}

fn fixed_columns(body: &Body) -> &'static [Column] {
    match body {
        Body::Pod => pod::COLUMNS,
        Body::Service => network::SERVICE,
        Body::Endpoints => network::ENDPOINTS,
        Body::EndpointSlice => network::SLICE,
        Body::NetworkPolicy => network::POLICY,
        Body::Node => node::COLUMNS,
        Body::PersistentVolume => storage::VOLUME,
        Body::PersistentVolumeClaim => storage::CLAIM,
        Body::StorageClass => storage::CLASS,
        Body::Deployment => workload::DEPLOYMENT,
        Body::ReplicaSet => workload::REPLICA_SET,
        Body::Job => workload::JOB,
        Body::Namespace => config::NAMESPACE,
        Body::Secret => config::SECRET,
        Body::ConfigMap => config::CONFIG_MAP,
        Body::Event => config::EVENT,
        Body::Lease => config::LEASE,
        Body::ResourceQuota => config::QUOTA,
        Body::PriorityClass => config::PRIORITY,
        Body::RuntimeClass => config::RUNTIME,
        Body::ClusterRoleBinding | Body::RoleBinding => config::BINDING,
        Body::ServiceAccount => NAME_AND_AGE,
        Body::ClusterRole
        | Body::CustomResourceDefinition
        | Body::LimitRange
        | Body::Review
        | Body::Role
        | Body::Custom(_) => NAME_AND_DATE,
    }
}

fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    match &kind.body {
        Body::Pod => pod::cells(object, now),
        Body::Service => network::service(object, now),
        Body::Endpoints => network::endpoints(object, now),
        Body::EndpointSlice => network::slice(object, now),
        Body::NetworkPolicy => network::policy(object, now),
        Body::Node => node::cells(object, now),
        Body::PersistentVolume => storage::volume(object, now),
        Body::PersistentVolumeClaim => storage::claim(object, now),
        Body::StorageClass => storage::class(object, now),
        Body::Deployment => workload::deployment(object, now),
        Body::ReplicaSet => workload::replica_set(object, now),
        Body::Job => workload::job(object, now),
        Body::Namespace => config::namespace(object, now),
        Body::Secret => config::secret(object, now),
        Body::ConfigMap => config::config_map(object, now),
        Body::Event => config::event(object, now),
        Body::Lease => config::lease(object, now),
        Body::ResourceQuota => config::quota(object, now),
        Body::PriorityClass => config::priority(object, now),
        Body::RuntimeClass => config::runtime(object, now),
        Body::ClusterRoleBinding | Body::RoleBinding => config::binding(object, now),
        Body::ServiceAccount => vec![name(object), age(object, now)],
        Body::Custom(custom) => custom::cells(custom, object, now),
        _ => vec![name(object), json!(text(object, "/metadata/creationTimestamp"))],
    }
}

/// Finished pods are marked, so that clients may leave them out.
fn conditions(kind: &Kind, object: &Value) -> Vec<Value> {
    if !matches!(kind.body, Body::Pod) {
        return Vec::new();
    }
    let message = match text(object, "/status/phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return Vec::new(),
    };
    let reason = text(object, "/status/phase");
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn name(object: &Value) -> Value {
    json!(text(object, "/metadata/name"))
}

fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(object, "/metadata/creationTimestamp", now))
}

/// Time since the time at a pointer, or `<unknown>`.
fn since(object: &Value, pointer: &str, now: Timestamp) -> String {
    human_age(object.pointer(pointer).and_then(Value::as_str), now)
}

/// The text at a pointer, or another text if it is empty.
fn or<'v>(object: &'v Value, pointer: &str, other: &'v str) -> &'v str {
    match text(object, pointer) {
        "" => other,
        found => found,
    }
}

/// `key=value,...` of a map, sorted; `<none>` if it is empty.
fn labels(map: Option<&Value>) -> String {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> =
        entries.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// A label selector as printed: `<none>` if it selects everything or nothing.
fn selector(selector: Option<&Value>) -> String {
    match wire::LabelSelector::from_value(selector) {
        Err(_) => "<error>".to_owned(),
        Ok(selector) => match selector.to_string() {
            empty if empty.is_empty() => "<none>".to_owned(),
            printed => printed,
        },
    }
}
