//! The patches that need no schema.

use serde_json::Value;

use crate::PatchError;

/// The most operations in one JSON patch.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a JSON patch (RFC 6902): all of it or nothing.
pub fn json_patch(object: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = patch.as_array().map_or(0, Vec::len);
    if operations > MAX_OPERATIONS {
        let detail =
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}");
        return Err(PatchError::Unfit(detail));
    }
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    json_patch::patch(object, &patch).map_err(|error| PatchError::Unfit(error.to_string()))
}

/// Applies a JSON merge patch (RFC 7396): nulls delete, objects merge, all else replaces.
pub fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = object else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge_patch(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}
