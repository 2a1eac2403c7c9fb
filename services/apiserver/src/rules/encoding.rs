//! Texts of built-in kinds that Go's decoder reads: quantities and bytes.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kinds::{Body, Kind};
use schema::Schema;
use serde_json::Value;

/// Refuses what cannot be decoded; `Err` is the decoder's text.
pub(super) fn check(kind: &Kind, schema: &Schema, value: &Value) -> Result<(), String> {
    let bytes = match kind.body {
        Body::Secret => Some("data"),
        Body::ConfigMap => Some("binaryData"),
        _ => None,
    };
    let texts = bytes.and_then(|field| value.get(field)).and_then(Value::as_object).into_iter().flatten();
    for text in texts.filter_map(|(_, text)| text.as_str()) {
        BASE64_STANDARD.decode(text).map_err(|error| crate::input::illegal(&error, text))?;
    }
    quantities(schema, value)
}

fn quantities(schema: &Schema, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if schema.kind() == schema::Kind::Quantity => {
            match text.parse::<wire::Quantity>() {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        }
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(name, child)| Some((schema.child(name)?, child)))
            .try_for_each(|(schema, child)| quantities(schema, child)),
        Value::Array(items) => match schema.items() {
            Some(schema) => items.iter().try_for_each(|item| quantities(schema, item)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}
