//! The rows of the smaller kinds.

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::Column;

use super::{AGE, NAME, age, name, or, shown, since, wide};
use crate::value::{entries, flag, items, number, text};

pub(super) const NAMESPACE: &[Column] =
    &[NAME, shown("Status", "string", "Whether the namespace is in use."), AGE];
pub(super) const SECRET: &[Column] = &[
    NAME,
    shown("Type", "string", "What the data is for."),
    shown("Data", "string", "Number of entries."),
    AGE,
];
pub(super) const CONFIG_MAP: &[Column] = &[NAME, shown("Data", "string", "Number of entries."), AGE];
pub(super) const LEASE: &[Column] = &[NAME, shown("Holder", "string", "Who holds the lease."), AGE];
pub(super) const QUOTA: &[Column] = &[
    NAME,
    shown("Request", "string", "Used and allowed, of what is not a limit."),
    shown("Limit", "string", "Used and allowed, of limits."),
    AGE,
];
pub(super) const PRIORITY: &[Column] = &[
    NAME,
    shown("Value", "integer", "Priority of pods of the class."),
    shown("Global-Default", "boolean", "Whether pods without a class are of this one."),
    AGE,
    shown("PreemptionPolicy", "string", "Whether pods of the class push out others."),
];
pub(super) const RUNTIME: &[Column] =
    &[NAME, shown("Handler", "string", "Runtime that pods of the class use."), AGE];
pub(super) const BINDING: &[Column] = &[
    NAME,
    shown("Role", "string", "Role that is granted."),
    AGE,
    wide("Users", "string", "Users who have it."),
    wide("Groups", "string", "Groups that have it."),
    wide("ServiceAccounts", "string", "Service accounts that have it."),
];
pub(super) const EVENT: &[Column] = &[
    shown("Last Seen", "string", "Time since it last happened."),
    shown("Type", "string", "Whether it is normal or a warning."),
    shown("Reason", "string", "What happened, for programs."),
    shown("Object", "string", "What it happened to."),
    wide("Subobject", "string", "Part of the object."),
    wide("Source", "string", "Who says so."),
    shown("Message", "string", "What happened, for people."),
    wide("First Seen", "string", "Time since it first happened."),
    wide("Count", "string", "How often it happened."),
    Column::fixed("Name", "string", "name", 1, "Name of the object, unique in its namespace."),
];

pub(super) fn namespace(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(namespace), json!(text(namespace, "/status/phase")), age(namespace, now)]
}

pub(super) fn secret(secret: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(secret),
        json!(text(secret, "/type")),
        json!(entries(secret, "/data").count()),
        age(secret, now),
    ]
}

pub(super) fn config_map(map: &Value, now: Timestamp) -> Vec<Value> {
    let count = entries(map, "/data").count() + entries(map, "/binaryData").count();
    vec![name(map), json!(count), age(map, now)]
}

pub(super) fn lease(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(lease), json!(text(lease, "/spec/holderIdentity")), age(lease, now)]
}

pub(super) fn quota(quota: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in entries(quota, "/status/hard") {
        let used = quota.pointer("/status/used").and_then(|u| u.get(resource)).and_then(Value::as_str);
        let line = format!("{resource}: {}/{}", used.unwrap_or("0"), hard.as_str().unwrap_or("0"));
        if resource.starts_with("limits.") { limits.push(line) } else { requests.push(line) }
    }
    vec![name(quota), json!(requests.join(", ")), json!(limits.join(", ")), age(quota, now)]
}

pub(super) fn priority(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(class),
        json!(number(class, "/value")),
        json!(flag(class, "/globalDefault")),
        age(class, now),
        json!(text(class, "/preemptionPolicy")),
    ]
}

pub(super) fn runtime(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(class), json!(text(class, "/handler")), age(class, now)]
}

pub(super) fn binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let of_kind = items(binding, "/subjects").filter(|s| text(s, "/kind") == kind);
        let shown = of_kind.map(|s| match (kind, text(s, "/namespace")) {
            ("ServiceAccount", namespace) if !namespace.is_empty() => {
                format!("{namespace}/{}", text(s, "/name"))
            }
            _ => text(s, "/name").to_owned(),
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    vec![
        name(binding),
        json!(format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"))),
        age(binding, now),
        json!(subjects("User")),
        json!(subjects("Group")),
        json!(subjects("ServiceAccount")),
    ]
}

/// Events in either form.
pub(super) fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let mut event = event.clone();
    crate::event::to_group(&mut event, "");
    let event = &event;
    let first = match text(event, "/firstTimestamp") {
        "" => since(event, "/eventTime", now),
        _ => since(event, "/firstTimestamp", now),
    };
    let (last, count) = match event.pointer("/series") {
        Some(series) => (since(series, "/lastObservedTime", now), number(series, "/count")),
        None if text(event, "/lastTimestamp").is_empty() => (first.clone(), number(event, "/count").max(1)),
        None => (since(event, "/lastTimestamp", now), number(event, "/count").max(1)),
    };
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    let object = match text(event, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        json!(last),
        json!(text(event, "/type")),
        json!(text(event, "/reason")),
        json!(object),
        json!(text(event, "/involvedObject/fieldPath")),
        json!(source(event)),
        json!(text(event, "/message").trim()),
        json!(first),
        json!(count),
        name(event),
    ]
}

fn source(event: &Value) -> String {
    let component = or(event, "/source/component", text(event, "/reportingComponent"));
    match or(event, "/source/host", text(event, "/reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}
