//! Removing fields from a value.

use schema::{ListType, Schema};
use serde_json::Value;

use super::{is_atomic_map, item_step, list_type};
use crate::fields::{FieldSet, field_step};

/// Removes from a value what the set names. A container that this leaves empty goes too.
pub(crate) fn remove(schema: &Schema, value: &mut Value, set: &FieldSet) {
    node(Some(schema), value, set);
}

/// Returns whether something was removed and nothing is left.
fn node(schema: Option<&Schema>, value: &mut Value, set: &FieldSet) -> bool {
    match value {
        Value::Object(fields) if !is_atomic_map(schema) => {
            let before = fields.len();
            fields.retain(|name, child| {
                let step = field_step(name);
                let inner = schema.and_then(|schema| schema.child(name));
                keep(inner, child, set, &step)
            });
            before > 0 && fields.is_empty()
        }
        Value::Array(items) if *list_type(schema) != ListType::Atomic => {
            let before = items.len();
            let inner = schema.and_then(Schema::items);
            items.retain_mut(|item| {
                let step = item_step(schema, item);
                keep(inner, item, set, &step)
            });
            before > 0 && items.is_empty()
        }
        _ => false,
    }
}

fn keep(schema: Option<&Schema>, child: &mut Value, set: &FieldSet, step: &str) -> bool {
    if set.has(step) {
        return false;
    }
    set.below(step).is_none_or(|below| !node(schema, child, below))
}

/// The set with every declared field on the way to a path as a member of its own, so that a removed field's
/// parent counts as known too.
pub(crate) fn named(schema: Option<&Schema>, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::default();
    for (step, member, below) in set.steps() {
        let name = step.strip_prefix("f:");
        let declared = name.is_some_and(|name| schema.is_some_and(|schema| schema.field(name).is_some()));
        let inner = match name {
            Some(name) => schema.and_then(|schema| schema.child(name)),
            None => schema.and_then(Schema::items),
        };
        out.add(step, member || (declared && !below.is_empty()), &named(inner, below));
    }
    out
}
