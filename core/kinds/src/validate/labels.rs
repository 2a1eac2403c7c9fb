//! Labels and label selectors inside objects.

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, each};
use crate::value::{entries, items, text};

/// A map of labels.
pub(super) fn labels(errors: &mut Errors, path: &Path<'_>, holder: &Value, pointer: &str) {
    for (key, value) in entries(holder, pointer) {
        each(errors, path, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        each(errors, path, value, names::label_value(value));
    }
}

/// A label selector, if there is one.
pub(super) fn selector(errors: &mut Errors, path: &Path<'_>, selector: Option<&Value>) {
    let Some(selector) = selector else { return };
    labels(errors, &path.child("matchLabels"), selector, "/matchLabels");
    let expressions = path.child("matchExpressions");
    for (index, expression) in items(selector, "/matchExpressions").enumerate() {
        let at = expressions.index(index);
        let count = items(expression, "/values").len();
        match text(expression, "/operator") {
            "In" | "NotIn" if count == 0 => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(at.child("values"), why));
            }
            "Exists" | "DoesNotExist" if count > 0 => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(at.child("values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(
                    at.child("operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = text(expression, "/key");
        each(errors, &at.child("key"), key, names::qualified_name(key));
        let values = at.child("values");
        for (index, value) in items(expression, "/values").filter_map(Value::as_str).enumerate() {
            each(errors, &values.index(index), value, names::label_value(value));
        }
    }
}
