//! Pods and pod templates.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::container::{self, Role};
use super::{Errors, each, label, labels, one_of, resources, security, subdomain, volume};
use crate::value::{items, missing, text};

/// A pod.
pub(super) fn pod(pod: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let Some(spec) = pod.get("spec") else {
        errors.push(FieldError::required(path.child("containers"), ""));
        return;
    };
    pod_spec(spec, &path, errors);
    for list in ["containers", "initContainers"] {
        let at = path.child(list);
        for (index, container) in items(spec, &format!("/{list}")).enumerate() {
            let image = text(container, "/image");
            if image.trim() != image {
                let why = "must not have leading or trailing whitespace";
                errors.push(FieldError::invalid(at.index(index).child("image"), image, why));
            }
        }
    }
}

/// The pod template of a workload, at `spec.template`.
pub(super) fn template(workload: &Value, errors: &mut Errors) {
    let root = Path::root("spec");
    let path = root.child("template");
    let Some(template) = workload.pointer("/spec/template") else { return };
    // Kubernetes leaves out `metadata` here.
    labels::labels(errors, &path.child("labels"), template, "/metadata/labels");
    if let Some(spec) = template.get("spec") {
        pod_spec(spec, &path.child("spec"), errors);
    }
}

/// The part of a pod that templates have too.
fn pod_spec(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let volumes = volume::volumes(spec, &path.child("volumes"), errors);
    containers(spec, path, &volumes, errors);
    one_of(
        errors,
        &path.child("restartPolicy"),
        text(spec, "/restartPolicy"),
        &["Always", "OnFailure", "Never"],
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(errors, &path.child("dnsPolicy"), text(spec, "/dnsPolicy"), &policies);
    dns_config(spec, path, errors);
    labels::labels(errors, &path.child("nodeSelector"), spec, "/nodeSelector");
    security::pod(spec, &path.child("securityContext"), errors);
    security::host_aliases(spec, &path.child("hostAliases"), errors);
    for (name, value) in [
        ("serviceAccountName", text(spec, "/serviceAccountName")),
        ("nodeName", text(spec, "/nodeName")),
        ("priorityClassName", text(spec, "/priorityClassName")),
        ("runtimeClassName", text(spec, "/runtimeClassName")),
    ] {
        subdomain(errors, &path.child(name), value);
    }
    label(errors, &path.child("hostname"), text(spec, "/hostname"));
    label(errors, &path.child("subdomain"), text(spec, "/subdomain"));
    if let Some(seconds) = spec.get("activeDeadlineSeconds").and_then(Value::as_i64) {
        let max = i64::from(i32::MAX);
        if !(1..=max).contains(&seconds) {
            let why = names::range(1, max);
            errors.push(FieldError::invalid(path.child("activeDeadlineSeconds"), seconds, why));
        }
    }
    tolerations(spec, &path.child("tolerations"), errors);
    spread(spec, &path.child("topologySpreadConstraints"), errors);
    gates(spec, &path.child("readinessGates"), errors);
    if let Some(policy) = spec.get("preemptionPolicy").and_then(Value::as_str) {
        let valid = ["PreemptLowerPriority", "Never"];
        one_of(errors, &path.child("preemptionPolicy"), policy, &valid);
    }
    let pod_level = path.child("resources");
    if let Some(own) = spec.get("resources") {
        resources::requirements(own, &pod_level, errors);
    }
}

fn containers(spec: &Value, path: &Path<'_>, volumes: &[(&str, &Value)], errors: &mut Errors) {
    let at = path.child("containers");
    if items(spec, "/containers").len() == 0 {
        errors.push(FieldError::required(at, ""));
    }
    let grace = spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    let mut seen = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for (list, role) in
        [("containers", Role::Main), ("initContainers", Role::Init), ("ephemeralContainers", Role::Ephemeral)]
    {
        let at = path.child(list);
        for (index, container) in items(spec, &format!("/{list}")).enumerate() {
            let at = at.index(index);
            container::container(container, role, volumes, grace, &at, errors);
            let name = text(container, "/name");
            if !seen.insert(name) && !name.is_empty() {
                errors.push(FieldError::duplicate(at.child("name"), name));
            }
            if role == Role::Main {
                container::host_ports(container, &mut ports, &at, errors);
            }
        }
    }
}

fn dns_config(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let config = path.child("dnsConfig");
    let servers = config.child("nameservers");
    if text(spec, "/dnsPolicy") == "None" {
        if missing(spec, "/dnsConfig") {
            let why = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(config, why));
        } else if missing(spec, "/dnsConfig/nameservers") {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(servers, why));
        }
    }
    for (index, server) in items(spec, "/dnsConfig/nameservers").filter_map(Value::as_str).enumerate() {
        if server.parse::<std::net::IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(servers.index(index), server, why));
        }
    }
    let options = config.child("options");
    for (index, option) in items(spec, "/dnsConfig/options").enumerate() {
        if text(option, "/name").is_empty() {
            errors.push(FieldError::required(options.index(index), "must not be empty"));
        }
    }
}

pub(super) fn tolerations(holder: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, toleration) in items(holder, "/tolerations").enumerate() {
        let at = path.index(index);
        let (key, operator) = (text(toleration, "/key"), text(toleration, "/operator"));
        let (value, effect) = (text(toleration, "/value"), text(toleration, "/effect"));
        if !key.is_empty() {
            each(errors, &at.child("key"), key, names::qualified_name(key));
        } else if operator != "Exists" {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(at.child("operator"), operator, why));
        }
        if toleration.get("tolerationSeconds").is_some() && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(at.child("effect"), effect, why));
        }
        match operator {
            "" | "Equal" => {
                let problems = names::label_value(value);
                if !problems.is_empty() {
                    errors.push(FieldError::invalid(at.child("operator"), value, problems.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(at.child("operator"), value, why));
            }
            "Exists" => {}
            other => {
                errors.push(FieldError::not_supported(at.child("operator"), other, &["Equal", "Exists"]))
            }
        }
        if !effect.is_empty() {
            let valid = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            one_of(errors, &at.child("effect"), effect, &valid);
        }
    }
}

fn spread(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, constraint) in items(spec, "/topologySpreadConstraints").enumerate() {
        let at = path.index(index);
        let skew = crate::value::number(constraint, "/maxSkew");
        if skew <= 0 {
            errors.push(FieldError::invalid(at.child("maxSkew"), skew, "must be greater than zero"));
        }
        if text(constraint, "/topologyKey").is_empty() {
            errors.push(FieldError::required(at.child("topologyKey"), "can not be empty"));
        }
        let action = text(constraint, "/whenUnsatisfiable");
        let valid = ["DoNotSchedule", "ScheduleAnyway"];
        if !valid.contains(&action) {
            errors.push(FieldError::not_supported(at.child("whenUnsatisfiable"), action, &valid));
        }
    }
}

fn gates(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, gate) in items(spec, "/readinessGates").enumerate() {
        let kind = text(gate, "/conditionType");
        each(errors, &path.index(index).child("conditionType"), kind, names::qualified_name(kind));
    }
}
