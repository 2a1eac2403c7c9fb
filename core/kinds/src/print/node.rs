//! The row of a node.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::Column;

use super::{AGE, NAME, age, name, or, shown, wide};
use crate::value::{entries, flag, items, text};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    shown("Status", "string", "Whether the node is ready and takes pods."),
    shown("Roles", "string", "Roles that the node's labels name."),
    AGE,
    shown("Version", "string", "Version of the node agent."),
    wide("Internal-IP", "string", "Address within the cluster."),
    wide("External-IP", "string", "Address outside of the cluster."),
    wide("OS-Image", "string", "Operating system."),
    wide("Kernel-Version", "string", "Kernel."),
    wide("Container-Runtime", "string", "What runs the containers."),
];

pub(super) fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let roles = roles(node);
    let mut kernel = or(node, "/status/nodeInfo/kernelVersion", "<unknown>").to_owned();
    let architecture = text(node, "/status/nodeInfo/architecture");
    if !architecture.is_empty() {
        kernel = format!("{kernel} ({architecture})");
    }
    vec![
        name(node),
        json!(status(node)),
        json!(if roles.is_empty() { "<none>" } else { &roles }),
        age(node, now),
        json!(text(node, "/status/nodeInfo/kubeletVersion")),
        json!(address(node, "InternalIP")),
        json!(address(node, "ExternalIP")),
        json!(or(node, "/status/nodeInfo/osImage", "<unknown>")),
        json!(kernel),
        json!(or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>")),
    ]
}

fn status(node: &Value) -> String {
    let ready = items(node, "/status/conditions").rfind(|c| text(c, "/type") == "Ready");
    let word = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let suffix = if flag(node, "/spec/unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{word}{suffix}")
}

fn roles(node: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in entries(node, "/metadata/labels") {
        let value = value.as_str().unwrap_or_default();
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => roles.insert(role),
            None if key == "kubernetes.io/role" => roles.insert(value),
            None => false,
        };
    }
    roles.remove("");
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address<'v>(node: &'v Value, kind: &str) -> &'v str {
    let found = items(node, "/status/addresses").find(|a| text(a, "/type") == kind);
    found.map_or("<none>", |a| text(a, "/address"))
}
