//! Defaults of pods and pod templates.

use serde_json::{Value, json};
use wire::Quantity;

use super::{container, quantity, volume};
use crate::value::{flag, items, items_mut, object, set, set_default, text};

const CONTAINERS: [&str; 3] = ["/initContainers", "/containers", "/ephemeralContainers"];

/// A pod.
pub(super) fn pod(pod: &mut Value) {
    object(pod, "spec");
    let Some(spec) = pod.get_mut("spec") else { return };
    for pointer in ["/containers", "/initContainers"] {
        for container in items_mut(spec, pointer).filter(|c| c.is_object()) {
            object(container, "resources");
            if let Some(resources) = container.get_mut("resources") {
                quantity::requests_from_limits(resources);
            }
        }
    }
    pod_level_requests(spec);
    set_default(spec, "enableServiceLinks", true);
    if flag(spec, "/hostNetwork") {
        host_ports(spec);
    }
    pod_spec(spec);
}

/// A pod with limits of its own requests what its containers do together, or as much as its limits.
fn pod_level_requests(spec: &mut Value) {
    if crate::value::missing(spec, "/resources/limits") {
        return;
    }
    for name in ["cpu", "memory"] {
        let of = |holder: &Value, list: &str| {
            let amount = holder.pointer("/resources").and_then(|r| r.get(list)).and_then(|l| l.get(name));
            amount.and_then(|amount| Quantity::from_value(amount).ok())
        };
        let together = items(spec, "/containers").filter_map(|c| of(c, "requests")).reduce(Quantity::plus);
        let own = together.or_else(|| of(spec, "limits"));
        if let (None, Some(amount)) = (of(spec, "requests"), own) {
            let resources = crate::value::field(spec, "resources");
            object(resources, "requests").insert(name.to_owned(), Value::from(amount.to_string()));
        }
    }
}

/// The pod template of a workload, at `/spec/template`.
pub(super) fn template(workload: &mut Value) {
    object(object_mut(workload, "spec"), "template");
    if let Some(template) = workload.pointer_mut("/spec/template") {
        object(template, "spec");
    }
    if let Some(spec) = workload.pointer_mut("/spec/template/spec") {
        pod_spec(spec);
    }
}

/// The part of a pod that templates have too.
fn pod_spec(spec: &mut Value) {
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "schedulerName", "default-scheduler");
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        set(spec, "terminationGracePeriodSeconds", 1);
    }
    account_alias(spec);
    quantity::resource_list(spec, "/overhead");
    quantity::resource_list(spec, "/resources/limits");
    quantity::resource_list(spec, "/resources/requests");
    for volume in items_mut(spec, "/volumes") {
        volume::volume(volume);
    }
    for pointer in CONTAINERS {
        for container in items_mut(spec, pointer) {
            container::container(container);
        }
    }
}

/// `serviceAccount` is an old name of `serviceAccountName`; both are written back.
fn account_alias(spec: &mut Value) {
    let name = match text(spec, "/serviceAccountName") {
        "" => text(spec, "/serviceAccount"),
        name => name,
    };
    if !name.is_empty() {
        let name = name.to_owned();
        set(spec, "serviceAccountName", name.clone());
        set(spec, "serviceAccount", name);
    }
}

fn host_ports(spec: &mut Value) {
    for pointer in ["/containers", "/initContainers"] {
        for container in items_mut(spec, pointer) {
            for port in items_mut(container, "/ports") {
                let number = crate::value::number(port, "/containerPort");
                crate::value::set_default_number(port, "hostPort", number);
            }
        }
    }
}

/// The object at a field, made if needed, as a value.
fn object_mut<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    object(value, name);
    crate::value::field(value, name)
}
