//! Services.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wire::{FieldError, Path, names};

use super::{Errors, each, label, labels, one_of, port, required, subdomain};
use crate::value::{items, missing, number, text};

const AFFINITIES: [&str; 2] = ["ClientIP", "None"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// Longest time in seconds that a client stays with one endpoint: a day.
const AFFINITY_MAX: i64 = 86_400;

/// A service.
pub(super) fn service(service: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let kind = text(spec, "/type");
    let headless = is_headless(spec);
    if items(spec, "/ports").len() == 0 && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(path.child("clusterIPs").index(0), "None", why));
        }
        "ExternalName" => external_name(spec, &path, errors),
        _ => {}
    }
    ports(spec, &path.child("ports"), errors);
    labels::labels(errors, &path.child("selector"), spec, "/selector");
    affinity(spec, &path, errors);
    addresses(spec, &path, errors);
    one_of(errors, &path.child("type"), kind, &TYPES);
    unique_ports(spec, &path.child("ports"), errors);
    families(spec, &path, errors);
}

/// What may change: not the address.
pub(super) fn change(new: &Value, old: &Value, errors: &mut Errors) {
    let external = |service: &Value| text(service, "/spec/type") == "ExternalName";
    if external(new) || external(old) {
        return;
    }
    let (now, before) = (text(new, "/spec/clusterIPs/0"), text(old, "/spec/clusterIPs/0"));
    if !before.is_empty() && now != before {
        let all = new.pointer("/spec/clusterIPs").cloned().unwrap_or_default();
        let why =
            if now.is_empty() { "primary clusterIP can not be unset" } else { "may not change once set" };
        errors.push(FieldError::invalid("spec.clusterIPs[0]", all, why));
    }
}

fn families(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (name, valid) in [
        ("internalTrafficPolicy", &["Cluster", "Local"][..]),
        ("externalTrafficPolicy", &["Cluster", "Local"]),
        ("ipFamilyPolicy", &["PreferDualStack", "RequireDualStack", "SingleStack"]),
    ] {
        if let Some(value) = spec.get(name).and_then(Value::as_str) {
            one_of(errors, &path.child(name), value, valid);
        }
    }
    let list = path.child("ipFamilies");
    for (index, family) in items(spec, "/ipFamilies").filter_map(Value::as_str).enumerate() {
        one_of(errors, &list.index(index), family, &["IPv4", "IPv6"]);
    }
}

fn is_headless(spec: &Value) -> bool {
    text(spec, "/clusterIPs/0") == "None" || text(spec, "/clusterIP") == "None"
}

fn external_name(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !missing(spec, &format!("/{name}")) {
            errors.push(FieldError::forbidden(path.child(name), "may not be set for ExternalName services"));
        }
    }
    let name = text(spec, "/externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    required(errors, &path.child("externalName"), name);
    subdomain(errors, &path.child("externalName"), name);
}

fn ports(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let several = items(spec, "/ports").len() > 1;
    let mut seen = BTreeSet::new();
    for (index, own) in items(spec, "/ports").enumerate() {
        let at = path.index(index);
        let name = text(own, "/name");
        if several {
            required(errors, &at.child("name"), name);
        }
        label(errors, &at.child("name"), name);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(at.child("name"), name));
        }
        let exposed = number(own, "/port");
        let problems = names::port_number(exposed);
        errors.extend(problems.into_iter().map(|p| FieldError::invalid(at.child("port"), exposed, p)));
        one_of(errors, &at.child("protocol"), text(own, "/protocol"), &PROTOCOLS);
        port(errors, &at.child("targetPort"), own.get("targetPort"));
        if let Some(protocol) = own.get("appProtocol").and_then(Value::as_str) {
            each(errors, &at.child("appProtocol"), protocol, names::qualified_name(protocol));
        }
    }
}

fn affinity(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let kind = text(spec, "/sessionAffinity");
    one_of(errors, &path.child("sessionAffinity"), kind, &AFFINITIES);
    let config = path.child("sessionAffinityConfig");
    if kind == "ClientIP" {
        let seconds = number(spec, "/sessionAffinityConfig/clientIP/timeoutSeconds");
        if !(1..=AFFINITY_MAX).contains(&seconds) {
            let client = config.child("clientIP");
            let why = format!("must be greater than 0 and less than {AFFINITY_MAX}");
            errors.push(FieldError::invalid(client.child("timeoutSeconds"), seconds, why));
        }
    } else if kind == "None" && spec.get("sessionAffinityConfig").is_some() {
        errors.push(FieldError::forbidden(config, "must not be set when session affinity is None"));
    }
}

fn addresses(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    const WHY: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    for (list, may_be_none) in [("clusterIPs", true), ("externalIPs", false)] {
        let at = path.child(list);
        for (index, address) in items(spec, &format!("/{list}")).filter_map(Value::as_str).enumerate() {
            let allowed = may_be_none && (address == "None" && index == 0 || address.is_empty());
            if !allowed && address.parse::<std::net::IpAddr>().is_err() {
                errors.push(FieldError::invalid(at.index(index), address, WHY));
            }
        }
    }
    let (one, first) = (text(spec, "/clusterIP"), text(spec, "/clusterIPs/0"));
    if !one.is_empty() && !first.is_empty() && one != first {
        let all = spec.get("clusterIPs").cloned().unwrap_or_default();
        let why = "first value must match `clusterIP`";
        errors.push(FieldError::invalid(path.child("clusterIPs"), all, why));
    }
}

/// No two ports are the same, and only some types have ports on nodes.
fn unique_ports(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (mut own, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in items(spec, "/ports").enumerate() {
        let at = path.index(index);
        let (protocol, node) = (text(port, "/protocol"), number(port, "/nodePort"));
        if node != 0 && text(spec, "/type") == "ClusterIP" {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(at.child("nodePort"), why));
        }
        if node != 0 && !nodes.insert((protocol, node)) {
            errors.push(FieldError::duplicate(at.child("nodePort"), node));
        }
        let number = number(port, "/port");
        if !own.insert((protocol, number)) {
            errors.push(FieldError::duplicate(at, json!({"protocol": protocol, "port": number})));
        }
    }
}
