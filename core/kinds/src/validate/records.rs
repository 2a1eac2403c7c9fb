//! Events, endpoints and nodes: what others record.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, each};
use crate::value::{items, text};

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// An event, in the form of either group: it is about something in its own namespace (cluster-scoped things: `default`).
pub(super) fn event(event: &Value, errors: &mut Errors) {
    let core = event.get("apiVersion").and_then(Value::as_str) == Some("v1");
    let about = if core { "/involvedObject/namespace" } else { "/regarding/namespace" };
    let (own, named) = (text(event, "/metadata/namespace"), text(event, about));
    let fits = if named.is_empty() { matches!(own, "" | "default" | "kube-system") } else { named == own };
    if !fits {
        let why = "does not match event.namespace";
        errors.push(FieldError::invalid("involvedObject.namespace", named, why));
    }
    let reporter = if core { "reportingComponent" } else { "reportingController" };
    // Who gives the exact time is a new client, and says all of it.
    let timed = event.get("eventTime").is_some_and(|time| !time.is_null());
    let needed = [reporter, "reportingInstance", "action", "reason"];
    for name in needed.into_iter().filter(|_| timed || !core) {
        if event.get(name).and_then(Value::as_str).unwrap_or_default().is_empty() {
            errors.push(FieldError::required(name, ""));
        }
    }
    let kind = text(event, "/type");
    if !core && !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
    }
}

/// Endpoints.
pub(super) fn endpoints(endpoints: &Value, errors: &mut Errors) {
    let root = Path::root("subsets");
    for (index, subset) in items(endpoints, "/subsets").enumerate() {
        let subset_path = root.index(index);
        for list in ["addresses", "notReadyAddresses"] {
            let list_path = subset_path.child(list);
            for (index, address) in items(subset, &format!("/{list}")).enumerate() {
                let ip = text(address, "/ip");
                if ip.parse::<std::net::IpAddr>().is_err() {
                    let at = list_path.index(index);
                    errors.push(FieldError::invalid(at.child("ip"), ip, NO_ADDRESS));
                    errors.push(FieldError::invalid(at.child("ip"), ip, "must be a valid IP address"));
                }
            }
        }
    }
}

/// A node's taints. Kubernetes says `metadata` where they are in the spec.
pub(super) fn node(node: &Value, errors: &mut Errors) {
    let root = Path::root("metadata");
    let root = root.child("taints");
    for (index, taint) in items(node, "/spec/taints").enumerate() {
        let at = root.index(index);
        let key = text(taint, "/key");
        each(errors, &at.child("key"), key, names::qualified_name(key));
        let effect = text(taint, "/effect");
        if effect.is_empty() {
            errors.push(FieldError::required(at.child("effect"), ""));
        } else if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let valid = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.push(FieldError::not_supported(at.child("effect"), effect, &valid));
        }
    }
}
