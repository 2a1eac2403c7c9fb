//! Security contexts of pods and containers.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, one_of, required};
use crate::value::{flag, items, text};

const SECCOMP: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const PROC_MOUNTS: [&str; 2] = ["Default", "Unmasked"];

/// The security context of a pod.
pub(super) fn pod(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    identities(context, path, errors);
    seccomp(context, &path.child("seccompProfile"), errors);
    let groups = path.child("supplementalGroups");
    for (index, group) in items(context, "/supplementalGroups").filter_map(Value::as_i64).enumerate() {
        identity(group, &groups.index(index), errors);
    }
    if flag(spec, "/shareProcessNamespace") && flag(spec, "/hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(path.child("shareProcessNamespace"), true, why));
    }
}

/// The security context of a container.
pub(super) fn container(container: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(context) = container.get("securityContext") else { return };
    identities(context, path, errors);
    seccomp(context, &path.child("seccompProfile"), errors);
    if let Some(mount) = context.get("procMount").and_then(Value::as_str) {
        one_of(errors, &path.child("procMount"), mount, &PROC_MOUNTS);
    }
    if context.get("allowPrivilegeEscalation").and_then(Value::as_bool) != Some(false) {
        return;
    }
    let mut refuse = |what: &str| {
        let why = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
        errors.push(FieldError::invalid(path, context.clone(), why));
    };
    if flag(context, "/privileged") {
        refuse("`privileged` to true");
    }
    if items(context, "/capabilities/add").any(|capability| capability == "CAP_SYS_ADMIN") {
        refuse("`capabilities.Add` CAP_SYS_ADMIN");
    }
}

fn seccomp(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(profile) = context.get("seccompProfile") else { return };
    let kind = text(profile, "/type");
    one_of(errors, &path.child("type"), kind, &SECCOMP);
    let file = path.child("localhostProfile");
    if kind == "Localhost" {
        let name = text(profile, "/localhostProfile");
        if name.is_empty() {
            let why = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(file, why));
        }
    } else if profile.get("localhostProfile").is_some() {
        let why = "can only be set when seccomp type is Localhost";
        errors.push(FieldError::invalid(file, text(profile, "/localhostProfile"), why));
    }
}

/// User and group numbers.
fn identities(context: &Value, path: &Path<'_>, errors: &mut Errors) {
    for name in ["runAsUser", "runAsGroup", "fsGroup"] {
        if let Some(id) = context.get(name).and_then(Value::as_i64) {
            identity(id, &path.child(name), errors);
        }
    }
}

fn identity(id: i64, path: &Path<'_>, errors: &mut Errors) {
    let max = i64::from(i32::MAX);
    if !(0..=max).contains(&id) {
        errors.push(FieldError::invalid(path, id, names::range(0, max)));
    }
}

/// Hosts to add to a container's table.
pub(super) fn host_aliases(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, alias) in items(spec, "/hostAliases").enumerate() {
        let at = path.index(index);
        let address = text(alias, "/ip");
        required(errors, &at.child("ip"), address);
        if !address.is_empty() && address.parse::<std::net::IpAddr>().is_err() {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(at.child("ip"), address, why));
        }
        let hosts = at.child("hostnames");
        for (index, host) in items(alias, "/hostnames").filter_map(Value::as_str).enumerate() {
            super::each(errors, &hosts.index(index), host, names::dns1123_subdomain(host));
        }
    }
}
