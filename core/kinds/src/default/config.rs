//! Defaults of secrets, namespaces, nodes, limit ranges and quotas.

use serde_json::{Map, Value, json};

use super::quantity;
use crate::value::{items_mut, object, set_default, text};

/// A secret. `stringData` is only for writing: it ends up in `data`, over what is there.
pub(super) fn secret(secret: &mut Value) {
    set_default(secret, "type", "Opaque");
    let Some(Value::Object(texts)) = crate::value::remove(secret, "stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let data = object(secret, "data");
    for (key, text) in texts {
        data.insert(key, Value::from(base64(text.as_str().unwrap_or_default().as_bytes())));
    }
}

/// Standard base64 with padding, the JSON form of bytes.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4_usize {
            let digit = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or(0);
            out.push(if place <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    out
}

/// A namespace carries its name as a label, and is active.
pub(super) fn namespace(namespace: &mut Value) {
    let name = text(namespace, "/metadata/name").to_owned();
    if !name.is_empty() {
        let metadata = crate::value::field(namespace, "metadata");
        object(metadata, "labels").insert("kubernetes.io/metadata.name".to_owned(), Value::from(name));
    }
    object(namespace, "status");
    if let Some(status) = namespace.get_mut("status") {
        set_default(status, "phase", "Active");
    }
}

/// What a node has, it can give away, unless it says otherwise.
const NODE_INFO: [&str; 10] = [
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
];

pub(super) fn node(node: &mut Value) {
    quantity::resource_list(node, "/status/capacity");
    quantity::resource_list(node, "/status/allocatable");
    // Structs that Go writes whether or not anybody has set them.
    object(node, "spec");
    let status = object(node, "status");
    status.entry("daemonEndpoints").or_insert_with(|| json!({"kubeletEndpoint": {"Port": 0}}));
    let info = status.entry("nodeInfo").or_insert_with(|| json!({}));
    for name in NODE_INFO {
        crate::value::set_default(info, name, "");
    }
    let Some(status) = node.get_mut("status") else { return };
    if let (None, Some(capacity)) = (status.get("allocatable"), status.get("capacity").cloned()) {
        crate::value::set(status, "allocatable", capacity);
    }
}

/// The limits of containers follow from each other.
pub(super) fn limit_range(range: &mut Value) {
    for limit in items_mut(range, "/spec/limits") {
        for name in ["/max", "/min", "/default", "/defaultRequest", "/maxLimitRequestRatio"] {
            quantity::resource_list(limit, name);
        }
        if text(limit, "/type") == "Container" {
            copy_missing(limit, "max", "default");
            copy_missing(limit, "default", "defaultRequest");
            copy_missing(limit, "min", "defaultRequest");
        }
    }
}

/// A resource quota.
pub(super) fn quota(quota: &mut Value) {
    for name in ["/spec/hard", "/status/hard", "/status/used"] {
        quantity::resource_list(quota, name);
    }
}

fn copy_missing(limit: &mut Value, from: &str, to: &str) {
    let from: Map<String, Value> = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
    if from.is_empty() {
        return;
    }
    let to = object(limit, to);
    for (name, amount) in from {
        to.entry(name).or_insert(amount);
    }
}
