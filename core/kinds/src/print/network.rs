//! The rows of services, endpoints, endpoint slices and network policies.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::Column;

use super::{AGE, NAME, age, labels, name, or, selector, shown, wide};
use crate::value::{items, number, text};

pub(super) const SERVICE: &[Column] = &[
    NAME,
    shown("Type", "string", "How the service is reached."),
    shown("Cluster-IP", "string", "Address within the cluster."),
    shown("External-IP", "string", "Addresses from outside."),
    shown("Port(s)", "string", "Ports and protocols."),
    AGE,
    wide("Selector", "string", "Labels of the pods behind the service."),
];
pub(super) const ENDPOINTS: &[Column] =
    &[NAME, shown("Endpoints", "string", "Addresses and ports behind the service."), AGE];
pub(super) const SLICE: &[Column] = &[
    NAME,
    shown("AddressType", "string", "Family of the addresses."),
    shown("Ports", "string", "Ports of every endpoint."),
    shown("Endpoints", "string", "Addresses behind the service."),
    AGE,
];
pub(super) const POLICY: &[Column] =
    &[NAME, shown("Pod-Selector", "string", "Labels of the pods that the policy is about."), AGE];

/// Lists are cut after this many entries.
const SHOWN: usize = 3;

pub(super) fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(service, "/spec/ports").map(port).collect();
    vec![
        name(service),
        json!(text(service, "/spec/type")),
        json!(or(service, "/spec/clusterIPs/0", "<none>")),
        json!(external(service)),
        json!(if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }),
        age(service, now),
        json!(labels(service.pointer("/spec/selector"))),
    ]
}

fn port(port: &Value) -> String {
    let (own, node, protocol) = (number(port, "/port"), number(port, "/nodePort"), text(port, "/protocol"));
    if node > 0 { format!("{own}:{node}/{protocol}") } else { format!("{own}/{protocol}") }
}

fn external(service: &Value) -> String {
    let mut addresses: Vec<&str> = items(service, "/spec/externalIPs").filter_map(Value::as_str).collect();
    let empty = match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" => "<none>",
        "LoadBalancer" => {
            let balancers: BTreeSet<&str> = items(service, "/status/loadBalancer/ingress")
                .map(|i| or(i, "/ip", text(i, "/hostname")))
                .filter(|address| !address.is_empty())
                .collect();
            addresses = balancers.into_iter().chain(addresses).collect();
            "<pending>"
        }
        "ExternalName" => return text(service, "/spec/externalName").to_owned(),
        _ => return "<unknown>".to_owned(),
    };
    if addresses.is_empty() { empty.to_owned() } else { addresses.join(",") }
}

pub(super) fn endpoints(endpoints: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in items(endpoints, "/subsets") {
        let addresses = || items(subset, "/addresses").map(|a| text(a, "/ip"));
        if items(subset, "/ports").len() == 0 {
            all.extend(addresses().map(str::to_owned));
        }
        for port in items(subset, "/ports") {
            let port = number(port, "/port");
            let join =
                |ip: &str| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            all.extend(addresses().map(join));
        }
    }
    let none = items(endpoints, "/subsets").len() == 0;
    let text = if none { "<none>".to_owned() } else { cut(&all) };
    vec![name(endpoints), json!(text), age(endpoints, now)]
}

pub(super) fn slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let port =
        |p: &Value| match (p.get("port").and_then(Value::as_i64), p.get("name").and_then(Value::as_str)) {
            (Some(port), _) => port.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        };
    let ports: Vec<String> = items(slice, "/ports").map(port).collect();
    let addresses: Vec<String> = items(slice, "/endpoints")
        .flat_map(|e| items(e, "/addresses").filter_map(Value::as_str).map(str::to_owned))
        .collect();
    let unset = |list: &[String]| match cut(list) {
        empty if empty.is_empty() => "<unset>".to_owned(),
        text => text,
    };
    vec![
        name(slice),
        json!(text(slice, "/addressType")),
        json!(unset(&ports)),
        json!(unset(&addresses)),
        age(slice, now),
    ]
}

pub(super) fn policy(policy: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(policy), json!(selector(policy.pointer("/spec/podSelector"))), age(policy, now)]
}

/// The first three, and how many more there are.
fn cut(list: &[String]) -> String {
    match list.get(..SHOWN) {
        Some(first) if list.len() > SHOWN => format!("{} + {} more...", first.join(","), list.len() - SHOWN),
        _ => list.join(","),
    }
}
