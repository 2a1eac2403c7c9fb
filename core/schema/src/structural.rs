//! What a CRD's schema has to be before it is compiled: structural.
//!
//! Every node says its type, constraints come beside the structure and not in place of it, associative lists name
//! keys that are always there, and defaults are valid themselves. Messages are those of apiextensions-apiserver.

use serde_json::{Map, Value};
use wire::FieldError;

use crate::{Schema, default, validate};

mod extensions;

/// Keywords that may not stand inside `allOf`, `anyOf`, `oneOf` or `not`.
const STRUCTURE: &[&str] = &["type", "default", "additionalProperties", "nullable", "title", "description"];

/// Checks the `openAPIV3Schema` of a CRD version. `path` is where it stands, such as
/// `spec.versions[0].schema.openAPIV3Schema`.
pub fn check_structural(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match schema["type"].as_str() {
        Some("object") => {}
        None | Some("") => {
            errors.push(FieldError::required(format!("{path}.type"), "must not be empty at the root"));
        }
        Some(other) => {
            errors.push(FieldError::invalid(format!("{path}.type"), other, "must be object at the root"));
        }
    }
    extensions::root(schema, path, &mut errors);
    node(schema, path, &mut errors);
    extensions::rules(schema, path, None, &mut errors);
    errors
}

fn node(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(fields) = schema.as_object() else {
        errors.push(FieldError::invalid(path, schema.clone(), "must be an object"));
        return;
    };
    for keyword in ["$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id"] {
        if fields.contains_key(keyword) {
            errors.push(FieldError::forbidden(
                format!("{path}.{keyword}"),
                format!("{keyword} is not supported"),
            ));
        }
    }
    if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(format!("{path}.uniqueItems"), detail));
    }
    children(fields, path, errors);
    list(fields, path, errors);
    extensions::node(fields, path, errors);
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let branches = fields.get(keyword).and_then(Value::as_array).into_iter().flatten();
        for (index, branch) in branches.enumerate().filter(|_| !is_int_or_string(fields)) {
            constraint(branch, &format!("{path}.{keyword}[{index}]"), errors);
        }
    }
    if let Some(branch) = fields.get("not") {
        constraint(branch, &format!("{path}.not"), errors);
    }
    if let Some(value) = fields.get("default") {
        check_default(schema, value, &format!("{path}.default"), errors);
    }
}

fn children(fields: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    for (name, child) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.properties[{name}]");
        typed(child, &path, "must not be empty for specified object fields", errors);
        node(child, &path, errors);
    }
    if let Some(child) = fields.get("additionalProperties").filter(|child| child.is_object()) {
        if fields
            .get("properties")
            .and_then(Value::as_object)
            .is_some_and(|properties| !properties.is_empty())
        {
            let detail = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(format!("{path}.additionalProperties"), detail));
        }
        let path = format!("{path}.additionalProperties");
        typed(child, &path, "must not be empty for specified object fields", errors);
        node(child, &path, errors);
    }
    match fields.get("items") {
        Some(child) => {
            let path = format!("{path}.items");
            typed(child, &path, "must not be empty for specified array items", errors);
            node(child, &path, errors);
        }
        None if fields.get("type").is_some_and(|kind| kind == "array") => {
            errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
        }
        None => {}
    }
}

/// A node has a type, unless it says that it takes anything or a number or text.
fn typed(schema: &Value, path: &str, detail: &str, errors: &mut Vec<FieldError>) {
    let flag = |key: &str| schema[key].as_bool().unwrap_or_default();
    let free = flag("x-kubernetes-preserve-unknown-fields") || flag("x-kubernetes-int-or-string");
    if schema["type"].as_str().is_none_or(str::is_empty) && !free {
        errors.push(FieldError::required(format!("{path}.type"), detail));
    }
}

fn is_int_or_string(fields: &Map<String, Value>) -> bool {
    fields.get("x-kubernetes-int-or-string").and_then(Value::as_bool).unwrap_or_default()
}

/// What an associative list promises about its keys.
fn list(fields: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    let kind = fields.get("x-kubernetes-list-type").and_then(Value::as_str).unwrap_or_default();
    let keys = fields.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let at = format!("{path}.x-kubernetes-list-map-keys");
    if !matches!(kind, "" | "atomic" | "set" | "map") {
        let supported = ["atomic", "set", "map"];
        errors.push(FieldError::not_supported(format!("{path}.x-kubernetes-list-type"), kind, &supported));
    }
    let keys = match (kind, keys) {
        ("map", None) => {
            errors.push(FieldError::required(at, "must not be empty if x-kubernetes-list-type is map"));
            return;
        }
        ("map", Some(keys)) => keys,
        (_, Some(_)) => {
            errors.push(FieldError::forbidden(at, "must not be set if x-kubernetes-list-type is not map"));
            return;
        }
        _ => return,
    };
    let items = fields.get("items").unwrap_or(&Value::Null);
    for key in keys.iter().filter_map(Value::as_str) {
        let property = &items["properties"][key];
        if property.is_null() {
            let detail = "entries must all be names of item properties";
            errors.push(FieldError::invalid(at.as_str(), key, detail));
        } else if property["default"].is_null() && !requires(items, key) {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(format!("{path}.items.properties[{key}].default"), detail));
        }
    }
}

fn requires(items: &Value, key: &str) -> bool {
    items["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key))
}

/// Inside a branch there are constraints only.
fn constraint(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for keyword in STRUCTURE.iter().filter(|keyword| !schema[**keyword].is_null()) {
        let detail = "must be empty to be structural";
        errors.push(FieldError::forbidden(format!("{path}.{keyword}"), detail));
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        constraint(child, &format!("{path}.properties[{name}]"), errors);
    }
    for keyword in ["items", "not"] {
        if schema[keyword].is_object() {
            constraint(&schema[keyword], &format!("{path}.{keyword}"), errors);
        }
    }
}

/// A default is complete and valid under its own schema.
fn check_default(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    // A schema that does not compile is reported where it is compiled.
    let wrapped = serde_json::json!({"type": "object", "properties": {"default": schema}});
    let Ok(compiled) = Schema::compile(&wrapped) else { return };
    let mut object = serde_json::json!({"default": value});
    default(&compiled, &mut object);
    let parent = path.trim_end_matches("default");
    errors.extend(
        validate(&compiled, &object, None)
            .into_iter()
            .map(|error| FieldError { path: format!("{parent}{}", error.path), ..error }),
    );
}
