//! One version of a CustomResourceDefinition: deprecation, subresources, columns, selectable fields.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, field::ErrorKind};

use super::super::{Errors, required};
use crate::value::{flag, items, text};

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE: usize = 8;
const MAX_WARNING: usize = 256;

/// What a client of the version is told.
pub(super) fn deprecation(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    let Some(told) = version.get("deprecationWarning").and_then(Value::as_str) else { return };
    let at = path.child("deprecationWarning");
    if !flag(version, "/deprecated") {
        errors.push(FieldError::invalid(at, told, "can only be set for deprecated versions"));
        return;
    }
    if told.len() > MAX_WARNING {
        errors.push(FieldError::invalid(at, told, "must be <= 256 characters long"));
    }
    if told.is_empty() {
        errors.push(FieldError::invalid(at, told, "must not be an empty string"));
    }
    if let Some((index, _)) = told.char_indices().find(|(_, letter)| letter.is_control()) {
        let why = format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        );
        errors.push(FieldError::invalid(at, told, why));
    }
}

/// The paths of the scale subresource.
pub(super) fn scale(scale: &Value, path: &Path<'_>, errors: &mut Errors) {
    let scale_path = path.child("scale");
    for (name, below, words) in [
        ("specReplicasPath", &[".spec."][..], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status"),
    ] {
        let (at, value) = (scale_path.child(name), text(scale, &format!("/{name}")));
        if value.is_empty() {
            if name != "labelSelectorPath" {
                required(errors, &at, value);
            }
        } else if !simple(value, &at, errors) && !below.iter().any(|below| value.starts_with(below)) {
            errors.push(FieldError::invalid(at, value, words));
        }
    }
}

/// The printer columns.
pub(super) fn columns(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, column) in items(version, "/additionalPrinterColumns").enumerate() {
        let at = path.index(index);
        required(errors, &at.child("name"), text(column, "/name"));
        let kind = text(column, "/type");
        if kind.is_empty() {
            let why = format!("must be one of {}", TYPES.join(","));
            errors.push(FieldError::required(at.child("type"), why));
        } else if !TYPES.contains(&kind) {
            let why = format!("must be one of {}", TYPES.join(","));
            errors.push(FieldError::invalid(at.child("type"), kind, why));
        }
        let format = text(column, "/format");
        if !format.is_empty() && !FORMATS.contains(&format) {
            let why = format!("must be one of {}", FORMATS.join(","));
            errors.push(FieldError::invalid(at.child("format"), format, why));
        }
        // Fact: Kubernetes names the field in capitals here.
        let (at, json) = (at.child("JSONPath"), text(column, "/jsonPath"));
        required(errors, &at, json);
        if !json.is_empty() {
            simple(json, &at, errors);
        }
    }
}

/// The fields that selectors may name: scalars of the schema, outside of the metadata.
pub(super) fn selectable(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    let root = version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null);
    let mut seen = BTreeSet::new();
    for (index, field) in items(version, "/selectableFields").enumerate() {
        let item = path.index(index);
        let (at, json) = (item.child("jsonPath"), text(field, "/jsonPath"));
        if json.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        let found = match below(root, json) {
            Ok(found) => found,
            Err(why) => {
                errors.push(FieldError::invalid(at, json, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if json.trim_start_matches('.').split('.').next() == Some("metadata") {
            errors.push(FieldError::invalid(at, json, "must not point to fields in metadata"));
        }
        if !matches!(text(found, "/type"), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                       formats are allowed.";
            errors.push(FieldError::invalid(at, json, why));
        }
        if !seen.insert(json) {
            errors.push(FieldError::duplicate(at, json));
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.push(FieldError {
            kind: ErrorKind::TooMany,
            path: path.to_string(),
            value: Some(Value::from(seen.len())),
            detail: format!("must have at most {MAX_SELECTABLE} items"),
        });
    }
}

/// The schema at a path of plain names.
fn below<'s>(root: &'s Value, json: &str) -> Result<&'s Value, String> {
    let names = json.strip_prefix('.').ok_or_else(|| format!("expected '.' but got {:?}", &json[..1]))?;
    let mut at = root;
    for name in names.split('.') {
        if name.is_empty() || name.contains(['[', ']', '\'', '"']) {
            return Err(format!("unexpected {}", wire::quote(name)));
        }
        at = at
            .get("properties")
            .and_then(|properties| properties.get(name))
            .or_else(|| at.get("additionalProperties").filter(|values| values.is_object()))
            .ok_or_else(|| format!("does not refer to a valid field: {}", wire::quote(name)))?;
    }
    Ok(at)
}

/// Whether a path is refused because it does not even look like one.
fn simple(json: &str, at: &Path<'_>, errors: &mut Errors) -> bool {
    let wrong = !json.starts_with('.');
    if wrong {
        errors.push(FieldError::invalid(at, json, "must be a simple json path starting with ."));
    }
    wrong
}
