//! Fills in defaults.

use serde_json::Value;

use crate::node::Schema;

/// Sets every absent field that has a default, and recurses into what it has just set, as a Kubernetes API
/// server does. A null where null is no value counts as absent, and is dropped if there is no default.
///
/// Fact: `PruneNonNullableNullsWithoutDefaults`, then `Default`, of apiextensions-apiserver; both treat a map's values as they
/// treat fields, and leave nulls in lists alone.
pub fn default(schema: &Schema, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let absent = |inner: &Schema, value: &Value| value.is_null() && !inner.is_nullable();
            fields.retain(|name, value| {
                schema
                    .child(name)
                    .is_none_or(|inner| inner.default_value().is_some() || !absent(inner, value))
            });
            for field in schema.fields() {
                let inner = field.schema();
                let Some(default) = inner.default_value() else { continue };
                if fields.get(field.name()).is_none_or(|value| absent(inner, value)) {
                    fields.insert(field.name().to_owned(), default.clone());
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
