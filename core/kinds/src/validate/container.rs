//! Containers: names, images, ports, environment, mounts, identities.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, downward, each, handler, label, one_of, required, resources, security, volume};
use crate::value::{items, missing, number, text};

const FILE_POLICIES: [&str; 2] = ["File", "FallbackToLogsOnError"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Which list a container is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Main,
    Init,
    Ephemeral,
}

/// One container. `volumes` are the pod's valid volumes, `grace` its termination grace period in seconds.
pub(super) fn container(
    container: &Value,
    role: Role,
    volumes: &[(&str, &Value)],
    grace: Option<i64>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    required(errors, &path.child("name"), text(container, "/name"));
    label(errors, &path.child("name"), text(container, "/name"));
    required(errors, &path.child("image"), text(container, "/image"));
    let policy = text(container, "/terminationMessagePolicy");
    one_of(errors, &path.child("terminationMessagePolicy"), policy, &FILE_POLICIES);
    ports(container, &path.child("ports"), errors);
    environment(container, &path.child("env"), errors);
    environment_sources(container, &path.child("envFrom"), errors);
    volume::mounts(container, volumes, &path.child("volumeMounts"), errors);
    one_of(errors, &path.child("imagePullPolicy"), text(container, "/imagePullPolicy"), &PULL_POLICIES);
    if let Some(own) = container.get("resources") {
        resources::requirements(own, &path.child("resources"), errors);
    }
    security::container(container, &path.child("securityContext"), errors);
    let sidecar = role == Role::Init && text(container, "/restartPolicy") == "Always";
    if role == Role::Main || sidecar {
        handler::probes(container, grace, path, errors);
    } else {
        handler::none(container, role, path, errors);
    }
    restart_policy(container, path, errors);
}

fn restart_policy(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let policy = container.get("restartPolicy").and_then(Value::as_str);
    let valid = ["Always", "Never", "OnFailure"];
    if let Some(policy) = policy.filter(|policy| !valid.contains(policy)) {
        errors.push(FieldError::not_supported(path.child("restartPolicy"), policy, &valid));
    }
}

fn ports(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, port) in items(container, "/ports").enumerate() {
        let at = path.index(index);
        let name = text(port, "/name");
        if !name.is_empty() {
            let problems = names::port_name(name);
            if problems.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(at.child("name"), name));
            }
            each(errors, &at.child("name"), name, problems);
        }
        match number(port, "/containerPort") {
            0 => errors.push(FieldError::required(at.child("containerPort"), "")),
            own => number_of_port(own, &at.child("containerPort"), errors),
        }
        match number(port, "/hostPort") {
            0 => {}
            host => number_of_port(host, &at.child("hostPort"), errors),
        }
        one_of(errors, &at.child("protocol"), text(port, "/protocol"), &PROTOCOLS);
    }
}

fn number_of_port(port: i64, path: &Path<'_>, errors: &mut Errors) {
    errors
        .extend(names::port_number(port).into_iter().map(|problem| FieldError::invalid(path, port, problem)));
}

/// Ports on the host are unique among a pod's containers.
pub(super) fn host_ports(
    container: &Value,
    seen: &mut BTreeSet<String>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    let ports = path.child("ports");
    for (index, port) in items(container, "/ports").enumerate() {
        let host = number(port, "/hostPort");
        if host == 0 {
            continue;
        }
        let key = format!("{}/{}/{host}", text(port, "/protocol"), text(port, "/hostIP"));
        if !seen.insert(key.clone()) {
            errors.push(FieldError::duplicate(ports.index(index).child("hostPort"), key));
        }
    }
}

fn environment(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, variable) in items(container, "/env").enumerate() {
        let at = path.index(index);
        match text(variable, "/name") {
            "" => errors.push(FieldError::required(at.child("name"), "")),
            name => each(errors, &at.child("name"), name, names::env_name(name)),
        }
        if let Some(source) = variable.get("valueFrom") {
            let filled = !text(variable, "/value").is_empty();
            variable_source(source, filled, &at.child("valueFrom"), errors);
        }
    }
}

fn variable_source(source: &Value, filled: bool, path: &Path<'_>, errors: &mut Errors) {
    let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let count = kinds.iter().filter(|kind| source.get(**kind).is_some()).count();
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let Some(reference) = source.get(kind) else { continue };
        let at = path.child(kind);
        let name = text(reference, "/name");
        each(errors, &at.child("name"), name, names::dns1123_subdomain(name));
        match text(reference, "/key") {
            "" => errors.push(FieldError::required(at.child("key"), "")),
            key => each(errors, &at.child("key"), key, names::config_key(key)),
        }
    }
    if let Some(field) = source.get("fieldRef") {
        downward::field(field, downward::VARIABLE, &path.child("fieldRef"), errors);
    }
    if let Some(resource) = source.get("resourceFieldRef") {
        downward::resource(resource, false, &path.child("resourceFieldRef"), errors);
    }
    let why = match count {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if filled => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(path, "", why));
}

fn environment_sources(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, source) in items(container, "/envFrom").enumerate() {
        let at = path.index(index);
        let prefix = text(source, "/prefix");
        if !prefix.is_empty() {
            each(errors, &at.child("prefix"), prefix, names::env_name(prefix));
        }
        for kind in ["configMapRef", "secretRef"] {
            if source.get(kind).is_some() && missing(source, &format!("/{kind}/name")) {
                errors.push(FieldError::required(at.child(kind).child("name"), ""));
            }
        }
        match ["configMapRef", "secretRef"].iter().filter(|kind| source.get(**kind).is_some()).count() {
            0 => {
                let why = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(path, "", why));
            }
            1 => {}
            _ => {
                let why = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid(path, "", why));
            }
        }
    }
}
