//! Reading and building JSON objects without noise. Missing things read as empty.

use serde_json::{Map, Value};

/// The text at a pointer, or empty.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a pointer, or 0.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The boolean at a pointer, or false.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The items of the list at a pointer.
pub(crate) fn items<'v>(value: &'v Value, pointer: &str) -> std::slice::Iter<'v, Value> {
    value.pointer(pointer).and_then(Value::as_array).map(|list| list.iter()).unwrap_or_default()
}

/// The items of the list at a pointer, to change.
pub(crate) fn items_mut<'v>(value: &'v mut Value, pointer: &str) -> std::slice::IterMut<'v, Value> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).map(|list| list.iter_mut()).unwrap_or_default()
}

/// The entries of the map at a pointer.
pub(crate) fn entries<'v>(
    value: &'v Value,
    pointer: &str,
) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// Whether there is nothing at a pointer: absent, null, or an empty text, list or map.
pub(crate) fn missing(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).is_none_or(is_empty)
}

/// Whether a value is null or an empty text, list or map.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The map at a field, made if it is not there. `value` must be an object or null.
pub(crate) fn object<'v>(value: &'v mut Value, name: &str) -> &'v mut Map<String, Value> {
    let slot = field(value, name);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// A field of an object, made as null if it is not there.
pub(crate) fn field<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map.entry(name.to_owned()).or_insert(Value::Null),
        _ => unreachable!("made an object above"),
    }
}

/// Sets a field that is absent, null or an empty text, as a default does. Does nothing if `value` is no object.
pub(crate) fn set_default(value: &mut Value, name: &str, default: impl Into<Value>) {
    let Some(map) = value.as_object_mut() else { return };
    let unset = map.get(name).is_none_or(|v| v.is_null() || v.as_str() == Some(""));
    if unset {
        map.insert(name.to_owned(), default.into());
    }
}

/// Sets a number that is absent or 0.
pub(crate) fn set_default_number(value: &mut Value, name: &str, default: i64) {
    if value.get(name).is_none_or(|v| v.is_null() || v.as_i64() == Some(0)) {
        set(value, name, default);
    }
}

/// Sets a field. Makes null an object; does nothing if `value` is anything else.
pub(crate) fn set(value: &mut Value, name: &str, new: impl Into<Value>) {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    if let Some(map) = value.as_object_mut() {
        map.insert(name.to_owned(), new.into());
    }
}

/// Removes a field.
pub(crate) fn remove(value: &mut Value, name: &str) -> Option<Value> {
    value.as_object_mut().and_then(|map| map.remove(name))
}

/// Removes nulls from maps at any depth: Kubernetes decodes them as unset.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
