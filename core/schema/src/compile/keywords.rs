//! Single keywords of a schema.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::node::{Limits, ListType, Strategy, Zero};

// === impl Limits ===

impl Limits {
    pub(super) fn is_empty(&self) -> bool {
        let numbers = [self.minimum, self.maximum, self.multiple_of];
        let sizes = [
            self.min_length,
            self.max_length,
            self.min_items,
            self.max_items,
            self.min_properties,
            self.max_properties,
        ];
        let branches = [&self.all_of, &self.any_of, &self.one_of];
        self.choices.is_none()
            && self.pattern.is_none()
            && self.not.is_none()
            && numbers.iter().all(Option::is_none)
            && sizes.iter().all(Option::is_none)
            && branches.iter().all(|branches| branches.is_empty())
    }
}

/// The component that a node of a published document stands for, directly or through `allOf`.
pub(super) fn reference(schema: &Map<String, Value>) -> Option<&str> {
    let direct = schema.get("$ref");
    let wrapped = || schema.get("allOf")?.get(0)?.get("$ref");
    direct.or_else(wrapped)?.as_str()?.strip_prefix("#/components/schemas/")
}

/// Whether a published default says more than "Go's zero value of a struct".
pub(super) fn is_real(default: &Value) -> bool {
    default.as_object().is_none_or(|fields| !fields.is_empty())
}

pub(super) fn texts(list: Option<&Value>) -> Arc<[Box<str>]> {
    let texts = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    texts.iter().filter_map(Value::as_str).map(Box::from).collect()
}

pub(super) fn list_type(schema: &Map<String, Value>) -> ListType {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(schema.get("x-kubernetes-list-map-keys")).to_vec().into()),
        _ => ListType::Atomic,
    }
}

pub(super) fn strategy(schema: &Value) -> Option<Box<Strategy>> {
    let words = schema.get("x-kubernetes-patch-strategy").and_then(Value::as_str).unwrap_or_default();
    let merge_key = schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str);
    if words.is_empty() && merge_key.is_none() {
        return None;
    }
    let has = |word: &str| words.split(',').any(|found| found == word);
    Some(Box::new(Strategy {
        merge: has("merge"),
        retain_keys: has("retainKeys"),
        replace: has("replace"),
        merge_key: merge_key.map(Box::from),
    }))
}

/// Published documents give the zero of every Go field that is always written as its default.
pub(super) fn zero(field: &Value, required: bool) -> Option<Zero> {
    let is_zero = |value: &Value| !is_real(value) || [json!(""), json!(0), json!(false)].contains(value);
    match field.get("default") {
        Some(value) if is_zero(value) => Some(Zero::Value),
        None if required => Some(Zero::Null),
        _ => None,
    }
}
