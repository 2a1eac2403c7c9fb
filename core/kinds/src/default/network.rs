//! Defaults of services, endpoints and network policies.

use serde_json::{Value, json};

use crate::value::{items_mut, missing, number, object, set, set_default, text};

/// Seconds that a client stays with one endpoint under `ClientIP` affinity: three hours.
const AFFINITY_SECONDS: i64 = 10_800;

/// A service. Addresses are given when it is prepared, not here.
pub(super) fn service(service: &mut Value) {
    object(service, "spec");
    let Some(spec) = service.get_mut("spec") else { return };
    set_default(spec, "sessionAffinity", "None");
    match text(spec, "/sessionAffinity") {
        "None" => {
            crate::value::remove(spec, "sessionAffinityConfig");
        }
        "ClientIP" if missing(spec, "/sessionAffinityConfig/clientIP/timeoutSeconds") => {
            set(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}));
        }
        _ => {}
    }
    set_default(spec, "type", "ClusterIP");
    for port in items_mut(spec, "/ports") {
        set_default(port, "protocol", "TCP");
        let own = number(port, "/port");
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(target) => target.as_i64() == Some(0) || target.as_str() == Some(""),
        };
        if unset {
            set(port, "targetPort", own);
        }
    }
    let kind = text(spec, "/type").to_owned();
    let external = matches!(kind.as_str(), "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !missing(spec, "/externalIPs"));
    if external {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "LoadBalancer" | "NodePort" | "ClusterIP") {
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
        for ingress in items_mut(service, "/status/loadBalancer/ingress") {
            if !text(ingress, "/ip").is_empty() {
                set_default(ingress, "ipMode", "VIP");
            }
        }
    }
}

/// Endpoints.
pub(super) fn endpoints(endpoints: &mut Value) {
    for subset in items_mut(endpoints, "/subsets") {
        for port in items_mut(subset, "/ports") {
            set_default(port, "protocol", "TCP");
        }
    }
}

/// An endpoint slice.
pub(super) fn endpoint_slice(slice: &mut Value) {
    for endpoint in items_mut(slice, "/endpoints") {
        object(endpoint, "conditions");
    }
    for port in items_mut(slice, "/ports") {
        set_default(port, "name", "");
        set_default(port, "protocol", "TCP");
    }
}

/// A network policy: one with egress rules concerns egress too.
pub(super) fn network_policy(policy: &mut Value) {
    object(policy, "spec");
    let Some(spec) = policy.get_mut("spec") else { return };
    if !spec.get("podSelector").is_some_and(Value::is_object) {
        set(spec, "podSelector", json!({}));
    }
    if missing(spec, "/policyTypes") {
        let egress = !missing(spec, "/egress");
        set(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    }
    for direction in ["/ingress", "/egress"] {
        for rule in items_mut(spec, direction) {
            for port in items_mut(rule, "/ports") {
                set_default(port, "protocol", "TCP");
            }
        }
    }
}
