//! Fills in defaults.

use serde_json::Value;

use crate::node::Schema;

/// Sets every absent field that has a default, and recurses into what it has just set, as a Kubernetes API
/// server does. A null where null is no value counts as absent, and is dropped if there is no default.
pub fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for field in schema.fields() {
                let inner = field.schema();
                let present =
                    fields.get(field.name()).is_some_and(|value| !value.is_null() || inner.is_nullable());
                if present {
                    continue;
                }
                match inner.default_value() {
                    Some(default) => {
                        fields.insert(field.name().to_owned(), default.clone());
                    }
                    None => {
                        fields.remove(field.name());
                    }
                }
            }
            for (name, child) in fields.iter_mut() {
                if let Some(inner) = schema.child(name) {
                    element(inner, child);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.items() else { return };
            items.iter_mut().for_each(|child| element(inner, child));
        }
        _ => {}
    }
}

/// A value of a map or list: a null gives way to the default if there is one.
fn element(schema: &Schema, value: &mut Value) {
    if value.is_null()
        && !schema.is_nullable()
        && let Some(default) = schema.default_value()
    {
        *value = default.clone();
    }
    default(schema, value);
}
