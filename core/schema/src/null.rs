//! What becomes of nulls in built-in kinds, whose types have no place for them.

use serde_json::Value;

use crate::node::{Kind, Schema};

/// Reads nulls as Go does: a field that is null is absent, a null in a map of strings or a list of strings is the empty
/// string.
pub fn settle_nulls(schema: &Schema, value: &mut Value) {
    settle(Some(schema), value);
}

fn settle(schema: Option<&Schema>, value: &mut Value) {
    let is_text = |schema: Option<&Schema>| schema.is_some_and(|schema| schema.kind == Kind::String);
    match value {
        Value::Object(fields) => {
            let entries = schema.and_then(Schema::values);
            let declared = |name: &str| schema.and_then(|schema| schema.field(name)).is_some();
            if is_text(entries) {
                let empty = fields.iter_mut().filter(|(name, value)| value.is_null() && !declared(name));
                empty.for_each(|(_, value)| *value = Value::from(""));
            }
            fields.retain(|_, value| !value.is_null());
            for (name, value) in fields.iter_mut() {
                settle(schema.and_then(|schema| schema.child(name)), value);
            }
        }
        Value::Array(items) => {
            let inner = schema.and_then(Schema::items);
            for item in items {
                if item.is_null() && is_text(inner) {
                    *item = Value::from("");
                }
                settle(inner, item);
            }
        }
        _ => {}
    }
}
