//! Small questions to an object's metadata, on JSON.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// `metadata.<field>` as text; empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The name, empty when absent.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "name")
}

/// The uid, empty when absent.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// Whether deletion has begun.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The metadata, made if it is missing or something else.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    object["metadata"].as_object_mut().expect("an object was just put there")
}

/// Sets or removes a field of the metadata.
pub(crate) fn set(object: &mut Value, field: &str, value: impl Into<Option<Value>>) {
    match value.into() {
        Some(value) => metadata(object).insert(field.to_owned(), value),
        None => metadata(object).remove(field),
    };
}

/// Now, as `metav1.Time` prints it.
pub(crate) fn time(at: Timestamp) -> Value {
    wire::time::seconds(at).into()
}

/// Copies a field of the metadata from one object to another; absent stays absent.
pub(crate) fn carry(from: &Value, to: &mut Value, field: &str) {
    set(to, field, from["metadata"].get(field).cloned());
}

/// Adds one to the generation, where there is one.
pub(crate) fn bump_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64().filter(|generation| *generation > 0) {
        set(object, "generation", Value::from(generation + 1));
    }
}

/// Whether two objects say the same, apart from the times and resourceVersion that the server writes.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    a.len() == b.len()
        && a.iter().all(|(key, value)| match (key.as_str(), b.get(key)) {
            ("metadata", Some(other)) => same_metadata(value, other),
            (_, other) => other == Some(value),
        })
}

fn same_metadata(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let others = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key("resourceVersion"));
    others(a) == others(b)
        && a.iter().filter(|(key, _)| *key != "resourceVersion").all(|(key, value)| match b.get(key) {
            Some(other) if key == "managedFields" => same_managers(value, other),
            other => other == Some(value),
        })
}

fn same_managers(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_array(), b.as_array()) else { return a == b };
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        entry.as_object_mut().map(|entry| entry.remove("time"));
        entry
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| timeless(a) == timeless(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_server_times_and_revisions_are_ignored_when_comparing() {
        let entry = |time: &str| json!([{"manager": "a", "time": time, "fieldsV1": {"f:spec": {}}}]);
        let object = |rv: &str, time: &str, spec: i32| json!({"metadata": {"name": "x", "resourceVersion": rv, "managedFields": entry(time)}, "spec": spec});
        assert!(same(&object("1", "t1", 1), &object("2", "t2", 1)));
        assert!(!same(&object("1", "t1", 1), &object("1", "t1", 2)));
        let mut labelled = object("1", "t1", 1);
        set(&mut labelled, "labels", json!({"a": "b"}));
        assert!(!same(&object("1", "t1", 1), &labelled));
    }
}
