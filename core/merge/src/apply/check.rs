//! What an applied configuration has to be: typed, with every list item told apart.

use schema::{Kind, ListType, Schema};
use serde_json::Value;

use crate::fields::show_step;
use crate::typed::{is_atomic_map, item_step};

/// Checks a configuration before it is applied. The text of an error is Kubernetes', to be put behind
/// `failed to create typed patch object (<namespace>/<name>; <apiVersion>, Kind=<kind>): ` in an internal error.
pub fn check(schema: &Schema, applied: &Value) -> Result<(), String> {
    let mut errors = Vec::new();
    node(schema, applied, &mut String::new(), &mut errors);
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn node(schema: &Schema, value: &Value, path: &mut String, errors: &mut Vec<String>) {
    let length = path.len();
    match (value, schema.kind()) {
        (Value::Object(fields), Kind::Object | Kind::Any) => {
            for (name, child) in fields {
                show_step(path, &format!("f:{name}"));
                match schema.child(name) {
                    Some(inner) if !is_atomic_map(Some(schema)) => node(inner, child, path, errors),
                    Some(_) => {}
                    None if schema.preserves_unknown() || schema.accepts_any_key() => {}
                    None => errors.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(length);
            }
        }
        (Value::Array(items), Kind::Array) if *schema.list_type() != ListType::Atomic => {
            list(schema, items, path, errors);
        }
        (Value::Array(_), Kind::Array | Kind::Any) | (Value::Null, _) => {}
        (_, Kind::Array) => errors.push(format!("{path}: expected list, got {value}")),
        (_, Kind::Object) => errors.push(format!("{path}: expected map, got {value}")),
        (_, Kind::String) if !value.is_string() => {
            errors.push(format!("{path}: expected string, got &value.valueUnstructured{{Value:{value}}}"));
        }
        (_, Kind::Integer | Kind::Number) if !value.is_number() => {
            errors.push(format!("{path}: expected numeric (int or float), got {}", go_type(value)));
        }
        (_, Kind::Boolean) if !value.is_boolean() => {
            errors.push(format!("{path}: expected boolean, got {}", go_type(value)));
        }
        _ => {}
    }
}

/// The type that Go has a JSON value in.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn list(schema: &Schema, items: &[Value], path: &mut String, errors: &mut Vec<String>) {
    let length = path.len();
    let mut seen: Vec<String> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if let Some(problem) = unkeyed(schema, item) {
            errors.push(format!("{path}: element {index}: {problem}"));
            continue;
        }
        let step = item_step(Some(schema), item);
        if seen.contains(&step) {
            let mut shown = String::new();
            show_step(&mut shown, &step);
            errors.push(format!("{path}: duplicate entries for key {shown}"));
        }
        show_step(path, &step);
        if let Some(inner) = schema.items() {
            node(inner, item, path, errors);
        }
        path.truncate(length);
        seen.push(step);
    }
}

/// Why an item of an associative list cannot be told from others.
fn unkeyed(schema: &Schema, item: &Value) -> Option<String> {
    let ListType::Map(keys) = schema.list_type() else { return None };
    if !item.is_object() {
        return Some("associative list with keys may not have non-map elements".to_owned());
    }
    let default = |key: &str| schema.items()?.child(key)?.default_value();
    let missing = keys.iter().find(|key| item.get(&***key).is_none() && default(key).is_none())?;
    let missing = wire::quote(missing);
    Some(format!(
        "associative list with keys has an element that omits key field {missing} (and doesn't have default value)"
    ))
}
