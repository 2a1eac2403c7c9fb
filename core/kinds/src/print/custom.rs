//! The rows of custom kinds, from their printer columns.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::Column;

use super::{AGE, NAME, age, name};
use crate::custom::{Custom, PrinterColumn};

/// The name, then the CRD's columns; if it has none, the age.
pub(super) fn columns(custom: &Custom) -> Vec<Column> {
    let mut columns = vec![NAME];
    if custom.columns.is_empty() {
        columns.push(Column { kind: Cow::Borrowed("date"), ..AGE });
    }
    columns.extend(custom.columns.iter().map(|column| Column {
        name: Cow::Owned(column.name.clone()),
        kind: Cow::Owned(column.kind.clone()),
        format: Cow::Owned(column.format.clone()),
        description: Cow::Owned(column.description.clone()),
        priority: column.priority,
    }));
    columns
}

pub(super) fn cells(custom: &Custom, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![name(object)];
    if custom.columns.is_empty() {
        cells.push(age(object, now));
    }
    cells.extend(custom.columns.iter().map(|column| cell(column, object, now)));
    cells
}

/// A value of the wrong type, or none, is null; clients print `<none>`.
fn cell(column: &PrinterColumn, object: &Value, now: Timestamp) -> Value {
    let Some(value) = column.path.as_ref().and_then(|path| path.first(object)) else { return Value::Null };
    match (column.kind.as_str(), value) {
        ("string", Value::String(text)) => json!(text),
        ("string", other) => json!(other.to_string()),
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(whole) => json!(whole),
            #[allow(clippy::cast_possible_truncation)] // Kubernetes cuts fractions too
            None => json!(number.as_f64().unwrap_or_default() as i64),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match wire::time::parse(text) {
            Some(_) => json!(wire::human_age(Some(text), now)),
            None => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}
