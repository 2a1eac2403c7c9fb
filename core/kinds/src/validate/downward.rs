//! What a container may learn of its own pod: fields and resources, through variables and volumes.

use serde_json::Value;
use wire::{FieldError, Path, Quantity, names};

use super::Errors;
use crate::value::text;

/// Fields that a variable may show.
pub(super) const VARIABLE: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a file in a volume may show.
pub(super) const FILE: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Fields that exist, though a variable or file may not show each.
const KNOWN: &[&str] =
    &["metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName", "status.phase"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// A reference to a field of the pod.
pub(super) fn field(reference: &Value, valid: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let name = text(reference, "/fieldPath");
    let at = path.child("fieldPath");
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if let Some((map, key)) = name.strip_suffix("']").and_then(|n| n.split_once("['")) {
        match map {
            "metadata.annotations" => {
                super::each(errors, path, key, names::qualified_name(&key.to_lowercase()))
            }
            "metadata.labels" => super::each(errors, path, key, names::qualified_name(key)),
            _ => {
                let why =
                    format!("error converting fieldPath: field label does not support subscript: {name}");
                errors.push(FieldError::invalid(at, name, why));
            }
        }
    } else if !valid.contains(&name) {
        if KNOWN.contains(&name) || VARIABLE.contains(&name) {
            let mut sorted = valid.to_vec();
            sorted.sort_unstable();
            errors.push(FieldError::not_supported(at, name, &sorted));
        } else {
            let why = format!("error converting fieldPath: field label not supported: {name}");
            errors.push(FieldError::invalid(at, name, why));
        }
    }
}

/// A reference to a resource of a container; files must name the container.
pub(super) fn resource(reference: &Value, file: bool, path: &Path<'_>, errors: &mut Errors) {
    let name = text(reference, "/resource");
    let huge = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if file && text(reference, "/containerName").is_empty() {
        errors.push(FieldError::required(path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(FieldError::required(path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(FieldError::not_supported(path.child("resource"), name, RESOURCES));
    }
    divisor(reference, name, &path.child("divisor"), errors);
}

fn divisor(reference: &Value, name: &str, path: &Path<'_>, errors: &mut Errors) {
    let Some(Ok(divisor)) = reference.get("divisor").map(Quantity::from_value) else { return };
    let (what, valid): (_, &[&str]) = match name.split_once('.') {
        Some((_, "cpu")) => ("cpu", &["1m", "1"]),
        Some((_, "memory")) => ("memory", BYTES),
        Some((_, "ephemeral-storage")) => ("local ephemeral storage", BYTES),
        _ => return,
    };
    let shown = divisor.to_string();
    if !divisor.is_zero() && !valid.contains(&shown.as_str()) {
        let why =
            format!("only divisor's values {} are supported with the {what} resource", valid.join(", "));
        errors.push(FieldError::invalid(path, name, why));
    }
}
