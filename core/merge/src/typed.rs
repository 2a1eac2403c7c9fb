//! Values walked along their schema: which fields a value has, how two values differ, merging, removing.
//!
//! The rules are those of Kubernetes' structured-merge-diff. Where the schema says nothing (fields that are kept
//! though unknown), objects are maps and lists are one value.

use schema::{ListType, Schema};
use serde_json::{Map, Value};

use crate::fields::{FieldSet, field_step, key_step, value_step};

mod merging;
mod removing;

pub(crate) use merging::merge;
pub(crate) use removing::{named, remove};

/// How one value became another.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

// === impl Comparison ===

impl Comparison {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

/// Whether an object is one value.
pub(crate) fn is_atomic_map(schema: Option<&Schema>) -> bool {
    schema.is_some_and(Schema::is_atomic_map)
}

/// How a list's items belong together.
pub(crate) fn list_type(schema: Option<&Schema>) -> &ListType {
    schema.map_or(&ListType::Atomic, Schema::list_type)
}

/// The step to a list's item: by its keys (absent ones at their defaults), or by its value.
pub(crate) fn item_step(schema: Option<&Schema>, item: &Value) -> String {
    let ListType::Map(names) = list_type(schema) else { return value_step(item) };
    let items = schema.and_then(Schema::items);
    let mut keys = Map::new();
    for name in names {
        let default = || items.and_then(|items| items.child(name)).and_then(Schema::default_value);
        if let Some(value) = item.get(&**name).or_else(default) {
            keys.insert(name.to_string(), value.clone());
        }
    }
    key_step(keys)
}

/// The fields that a value sets: leaves, entries of maps, items of lists.
pub(crate) fn field_set(schema: &Schema, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(Some(schema), value, &mut Vec::new(), &mut set);
    set
}

fn collect(schema: Option<&Schema>, value: &Value, path: &mut Vec<String>, set: &mut FieldSet) {
    match value {
        Value::Object(fields) if !is_atomic_map(schema) => {
            for (name, child) in fields {
                path.push(field_step(name));
                let inner = schema.and_then(|schema| schema.child(name));
                collect(inner, child, path, set);
                let declared = schema.is_some_and(|schema| schema.field(name).is_some());
                if !declared || child.as_object().is_some_and(Map::is_empty) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(items) if *list_type(schema) != ListType::Atomic => {
            let inner = schema.and_then(Schema::items);
            for item in items {
                path.push(item_step(schema, item));
                collect(inner, item, path, set);
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// What changed between two values.
pub(crate) fn compare(schema: &Schema, old: &Value, new: &Value) -> Comparison {
    let mut out = Comparison::default();
    differ(Some(schema), Some(old), Some(new), &mut Vec::new(), &mut out);
    out
}

fn differ(
    schema: Option<&Schema>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    out: &mut Comparison,
) {
    if old == new {
        return;
    }
    if let Some((old, new)) = both(old, new, Value::as_object)
        && !is_atomic_map(schema)
        && !(old.is_none_or(Map::is_empty) && new.is_none_or(Map::is_empty))
    {
        let empty = Map::new();
        let (old, new) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            path.push(field_step(name));
            let inner = schema.and_then(|schema| schema.child(name));
            differ(inner, old.get(name), new.get(name), path, out);
            path.pop();
        }
    } else if let Some((old, new)) = both(old, new, Value::as_array)
        && *list_type(schema) != ListType::Atomic
        && !(old.is_none_or(Vec::is_empty) && new.is_none_or(Vec::is_empty))
    {
        let (old, new) = (steps(schema, old), steps(schema, new));
        let find =
            |list: &[(String, &'_ Value)], step: &str| list.iter().position(|(other, _)| other == step);
        let inner = schema.and_then(Schema::items);
        for (step, before) in &old {
            path.push(step.clone());
            let after = find(&new, step).map(|at| new[at].1);
            differ(inner, Some(before), after, path, out);
            path.pop();
        }
        for (step, after) in new.iter().filter(|(step, _)| find(&old, step).is_none()) {
            path.push(step.clone());
            differ(inner, None, Some(after), path, out);
            path.pop();
        }
    } else if old.is_some() && new.is_some() {
        out.modified.insert(path);
    }
    match (old, new) {
        (None, _) => out.added.insert(path),
        (_, None) => out.removed.insert(path),
        _ => {}
    }
}

/// Both values as a container of one kind; an absent value or a null goes with anything.
#[allow(clippy::type_complexity, reason = "one private use")]
fn both<'a, T: ?Sized>(
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    view: impl Fn(&'a Value) -> Option<&'a T>,
) -> Option<(Option<&'a T>, Option<&'a T>)> {
    let (old, new) = (old.filter(|old| !old.is_null()), new.filter(|new| !new.is_null()));
    let (left, right) = (old.and_then(&view), new.and_then(&view));
    let fits = left.is_some() == old.is_some() && right.is_some() == new.is_some();
    (fits && (left.is_some() || right.is_some())).then_some((left, right))
}

/// A list's items with their steps. Live lists may have items that repeat a step (two equal ports).
pub(crate) fn all_steps<'a>(schema: Option<&Schema>, items: &'a [Value]) -> Vec<(String, &'a Value)> {
    items.iter().map(|item| (item_step(schema, item), item)).collect()
}

/// A list's items with their steps; of items that repeat a step the first counts.
pub(crate) fn steps<'a>(schema: Option<&Schema>, items: Option<&'a Vec<Value>>) -> Vec<(String, &'a Value)> {
    let mut out: Vec<(String, &Value)> = Vec::new();
    for item in items.into_iter().flatten() {
        let step = item_step(schema, item);
        if !out.iter().any(|(known, _)| *known == step) {
            out.push((step, item));
        }
    }
    out
}
