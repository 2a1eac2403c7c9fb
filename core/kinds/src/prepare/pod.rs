//! Preparing pods.

use serde_json::{Value, json};
use wire::Quantity;

use crate::value::{field, items, number, object, remove, set, set_default, text};

/// Seconds that a pod stays on a node that is not ready or unreachable.
const TOLERATION_SECONDS: i64 = 300;
/// Priorities of the two classes that always exist.
const SYSTEM_PRIORITIES: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// A new pod is pending; admission has its say.
pub(super) fn create(pod: &mut Value) {
    let class = qos_class(pod);
    set(pod, "status", json!({"phase": "Pending", "qosClass": class}));
    object(pod, "spec");
    let spec = field(pod, "spec");
    set_default(spec, "serviceAccountName", "default");
    let account = text(spec, "/serviceAccountName").to_owned();
    set(spec, "serviceAccount", account);
    priority(spec);
    tolerations(spec);
}

/// An update keeps what only admission sets.
pub(super) fn update(pod: &mut Value, old: &Value) {
    object(pod, "spec");
    let spec = field(pod, "spec");
    for name in ["priority", "preemptionPolicy", "serviceAccountName", "serviceAccount", "nodeName"] {
        if let (None, Some(value)) = (spec.get(name), old.pointer("/spec").and_then(|s| s.get(name))) {
            set(spec, name, value.clone());
        }
    }
    tolerations(spec);
}

/// A status update touches neither spec nor owners, and does not lose the quality class.
pub(super) fn update_status(pod: &mut Value, old: &Value) {
    super::keep(pod, old, "spec");
    let metadata = field(pod, "metadata");
    super::replace(metadata, "ownerReferences", old.pointer("/metadata/ownerReferences").cloned());
    remove(metadata, "deletionTimestamp");
    let class = text(old, "/status/qosClass").to_owned();
    object(pod, "status");
    let status = field(pod, "status");
    if !class.is_empty() {
        set_default(status, "qosClass", class);
    }
    addresses(status);
}

/// `podIP` and `podIPs`, `hostIP` and `hostIPs` say the same.
fn addresses(status: &mut Value) {
    for (one, many) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let first = status.get(many).and_then(|list| list.get(0)).map(|a| text(a, "/ip").to_owned());
        let single = status.get(one).and_then(Value::as_str).unwrap_or_default().to_owned();
        match first {
            Some(first) if single.is_empty() => set(status, one, first),
            None if !single.is_empty() => set(status, many, json!([{"ip": single}])),
            _ => {}
        }
    }
}

/// Through `ephemeralcontainers` nothing else changes.
pub(super) fn only_ephemeral(pod: &mut Value, old: &Value) {
    let containers = pod.pointer("/spec/ephemeralContainers").cloned();
    let metadata = pod.get("metadata").cloned();
    *pod = old.clone();
    super::replace(field(pod, "spec"), "ephemeralContainers", containers);
    for name in ["managedFields", "resourceVersion"] {
        let value = metadata.as_ref().and_then(|m| m.get(name)).cloned();
        super::replace(field(pod, "metadata"), name, value);
    }
}

fn priority(spec: &mut Value) {
    let class = text(spec, "/priorityClassName").to_owned();
    let known = SYSTEM_PRIORITIES.iter().find(|(name, _)| *name == class);
    match known {
        Some((_, priority)) => set(spec, "priority", *priority),
        None if class.is_empty() => set_default(spec, "priority", 0),
        None => {} // the API server looks the class up
    }
    set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
}

fn tolerations(spec: &mut Value) {
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covers = |t: &Value| {
            let same_key = matches!(text(t, "/key"), "") || text(t, "/key") == key;
            same_key && matches!(text(t, "/effect"), "" | "NoExecute")
        };
        let tolerated = items(spec, "/tolerations").any(covers);
        if tolerated {
            continue;
        }
        let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                                "tolerationSeconds": TOLERATION_SECONDS});
        match spec.get_mut("tolerations").and_then(Value::as_array_mut) {
            Some(list) => list.push(toleration),
            None => set(spec, "tolerations", json!([toleration])),
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`, from the requests and limits of cpu and memory.
pub fn qos_class(pod: &Value) -> &'static str {
    let containers = || items(pod, "/spec/containers").chain(items(pod, "/spec/initContainers"));
    let amount = |container: &Value, which: &str, resource: &str| {
        let value = container.pointer("/resources").and_then(|r| r.get(which)).and_then(|r| r.get(resource));
        value.and_then(|v| Quantity::from_value(v).ok()).filter(|q| q.sign() > 0)
    };
    let resources = ["cpu", "memory"];
    let any = containers()
        .any(|c| resources.iter().any(|r| amount(c, "requests", r).or(amount(c, "limits", r)).is_some()));
    if !any {
        return "BestEffort";
    }
    let guaranteed = containers().all(|c| {
        resources.iter().all(|r| {
            let limit = amount(c, "limits", r);
            limit.is_some() && amount(c, "requests", r).is_none_or(|request| Some(request) == limit)
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// Seconds until a pod that is being deleted is killed: what the request asks for, else what the pod says; none when
/// it is not on a node or has finished.
pub fn grace_period(pod: &Value, asked: Option<i64>) -> i64 {
    let unscheduled = text(pod, "/spec/nodeName").is_empty();
    if unscheduled || matches!(text(pod, "/status/phase"), "Failed" | "Succeeded") {
        return 0;
    }
    let period = asked.unwrap_or_else(|| number(pod, "/spec/terminationGracePeriodSeconds"));
    if period < 0 { 1 } else { period }
}
