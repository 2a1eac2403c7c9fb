//! Equality as Kubernetes sees it: nothing, null, and an empty list, map or text are the same.

use serde_json::Value;

use crate::value::is_empty;

/// Whether two values mean the same.
pub fn equivalent(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let within = |from: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>| {
                from.iter().all(|(name, value)| match other.get(name) {
                    Some(theirs) => equivalent(value, theirs),
                    None => is_empty(value),
                })
            };
            within(x, y) && y.iter().all(|(name, value)| x.contains_key(name) || is_empty(value))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equivalent(x, y))
        }
        _ => a == b || (is_empty(a) && is_empty(b)),
    }
}

/// [`equivalent`] of what is at a pointer, where it may be missing.
pub(super) fn equivalent_at(a: &Value, b: &Value, pointer: &str) -> bool {
    let (a, b) = (a.pointer(pointer).unwrap_or(&Value::Null), b.pointer(pointer).unwrap_or(&Value::Null));
    equivalent(a, b)
}

/// Whether two objects differ in a field that is not named.
pub(super) fn differs_outside(a: &Value, b: &Value, ignored: &[&str]) -> bool {
    let names = |value: &Value| -> Vec<String> {
        value.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let mut all = names(a);
    all.extend(names(b));
    all.iter().filter(|name| !ignored.contains(&name.as_str())).any(|name| {
        let (a, b) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
        !equivalent(a, b)
    })
}
