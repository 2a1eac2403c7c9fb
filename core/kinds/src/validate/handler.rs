//! Probes and lifecycle hooks.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::container::Role;
use super::{Errors, nonnegative, one_of, port, required};
use crate::value::{items, missing, number, text};

const KINDS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// Probes and hooks of a container that may have them.
pub(super) fn probes(container: &Value, grace: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    let lifecycle = path.child("lifecycle");
    for name in ["postStart", "preStop"] {
        if let Some(hook) = container.pointer("/lifecycle").and_then(|l| l.get(name)) {
            handler(hook, grace, &lifecycle.child(name), errors);
        }
    }
    for name in PROBES {
        if let Some(own) = container.get(name) {
            probe(own, name, grace, &path.child(name), errors);
        }
    }
}

/// Containers that may have neither.
pub(super) fn none(container: &Value, role: Role, path: &Path<'_>, errors: &mut Errors) {
    let why = match role {
        Role::Ephemeral => "cannot be set for an Ephemeral Container",
        _ => "may not be set for init containers without restartPolicy=Always",
    };
    for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if container.get(name).is_some() {
            errors.push(FieldError::forbidden(path.child(name), why));
        }
    }
}

fn probe(probe: &Value, name: &str, grace: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    handler(probe, grace, path, errors);
    let counts =
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    nonnegative(errors, probe, path, &counts);
    let at = path.child("terminationGracePeriodSeconds");
    if let Some(seconds) = probe.get("terminationGracePeriodSeconds").and_then(Value::as_i64) {
        if seconds <= 0 {
            errors.push(FieldError::invalid(at, seconds, "must be greater than 0"));
        }
        if name == "readinessProbe" {
            errors.push(FieldError::invalid(at, seconds, "must not be set for readinessProbes"));
        }
    }
    let threshold = number(probe, "/successThreshold");
    if name != "readinessProbe" && threshold != 1 {
        errors.push(FieldError::invalid(path.child("successThreshold"), threshold, "must be 1"));
    }
}

fn handler(handler: &Value, grace: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in KINDS {
        let Some(action) = handler.get(kind) else { continue };
        let at = path.child(kind);
        if found {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        match kind {
            "exec" if missing(action, "/command") => {
                errors.push(FieldError::required(at.child("command"), ""));
            }
            "httpGet" => http_get(action, &at, errors),
            "tcpSocket" | "grpc" => port(errors, &at.child("port"), action.get("port")),
            "sleep" => sleep(number(action, "/seconds"), grace, &at, errors),
            _ => {}
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http_get(action: &Value, path: &Path<'_>, errors: &mut Errors) {
    required(errors, &path.child("path"), text(action, "/path"));
    port(errors, &path.child("port"), action.get("port"));
    one_of(errors, &path.child("scheme"), text(action, "/scheme"), &["HTTP", "HTTPS"]);
    for header in items(action, "/httpHeaders") {
        let name = text(header, "/name");
        super::each(errors, &path.child("httpHeaders"), name, names::header_name(name));
    }
}

fn sleep(seconds: i64, grace: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    let Some(grace) = grace else { return };
    if !(0..=grace).contains(&seconds) {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(path, seconds, why));
    }
}
