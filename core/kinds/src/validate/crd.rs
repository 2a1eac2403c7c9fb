//! CustomResourceDefinitions: names, versions and columns. Their schemas are checked where they are compiled.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, each, one_of, required, subdomain};
use crate::value::{flag, items, text};

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];

/// A CustomResourceDefinition.
pub(super) fn crd(crd: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = crd.get("spec").unwrap_or(&Value::Null);
    let (group, plural) = (text(spec, "/group"), text(spec, "/names/plural"));
    let name = text(crd, "/metadata/name");
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
    required(errors, &path.child("group"), group);
    subdomain(errors, &path.child("group"), group);
    if !group.is_empty() && group.split('.').count() < 2 {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid(path.child("group"), group, why));
    }
    one_of(errors, &path.child("scope"), text(spec, "/scope"), &["Cluster", "Namespaced"]);
    crd_names(spec, &path.child("names"), errors);
    versions(spec, &path.child("versions"), errors);
    let conversion = path.child("conversion");
    let strategy = text(spec, "/conversion/strategy");
    one_of(errors, &conversion.child("strategy"), strategy, &["None", "Webhook"]);
}

fn crd_names(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for name in ["plural", "singular", "kind", "listKind"] {
        let value =
            spec.pointer("/names").and_then(|n| n.get(name)).and_then(Value::as_str).unwrap_or_default();
        let at = path.child(name);
        required(errors, &at, value);
        if value.is_empty() {
            continue;
        }
        let mixed_case = name == "kind" || name == "listKind";
        let problems =
            names::dns1035_label(&if mixed_case { value.to_lowercase() } else { value.to_owned() });
        if !problems.is_empty() {
            let problems = problems.join(",");
            let why = if mixed_case {
                format!("may have mixed case, but should otherwise match: {problems}")
            } else {
                problems
            };
            errors.push(FieldError::invalid(at, value, why));
        }
    }
    let short = path.child("shortNames");
    for (index, name) in items(spec, "/names/shortNames").filter_map(Value::as_str).enumerate() {
        each(errors, &short.index(index), name, names::dns1035_label(name));
    }
    let (kind, list) = (text(spec, "/names/kind"), text(spec, "/names/listKind"));
    if !kind.is_empty() && kind == list {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), list, why));
    }
}

fn versions(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, version) in items(spec, "/versions").enumerate() {
        let at = path.index(index);
        let name = text(version, "/name");
        each(errors, &at.child("name"), name, names::dns1035_label(name));
        if !seen.insert(name) {
            errors.push(FieldError::invalid(path, name, "must contain unique version names"));
        }
        let schema = at.child("schema");
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let why = "schemas are required";
            errors.push(FieldError::required(schema.child("openAPIV3Schema"), why));
        }
        columns(version, &at.child("additionalPrinterColumns"), errors);
    }
    let stored = items(spec, "/versions").filter(|v| flag(v, "/storage")).count();
    if stored != 1 {
        let given: Vec<Value> = items(spec, "/versions").map(|v| Value::from(text(v, "/name"))).collect();
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, given, why));
    }
}

fn columns(version: &Value, path: &Path<'_>, errors: &mut Errors) {
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
        required(errors, &at.child("jsonPath"), text(column, "/jsonPath"));
    }
}
