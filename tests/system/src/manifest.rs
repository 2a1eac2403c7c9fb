//! Manifests, with what every test's objects have in common.

use serde_json::{Value, json};

/// The image that needs no registry.
pub const IMAGE: &str = "agent-sandbox/host";

/// A container that runs a shell script.
pub fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": IMAGE, "command": ["sh", "-c", script]})
}

/// A container that does nothing, and ends at once when asked to.
pub fn idle(name: &str) -> Value {
    container(name, "trap 'exit 0' TERM; while :; do sleep 0.1; done")
}

/// `base` with the fields of `more` in place of its own.
#[must_use]
pub fn with(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// A Pod, under runc unless its spec says otherwise.
pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": defaulted(spec)})
}

/// A Sandbox whose Pod has this spec, under runc unless it says otherwise.
pub fn sandbox(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": name},
        "spec": {"podTemplate": {"spec": defaulted(spec)}},
    })
}

fn defaulted(spec: Value) -> Value {
    with(json!({"runtimeClassName": "runc", "terminationGracePeriodSeconds": 2}), spec)
}
