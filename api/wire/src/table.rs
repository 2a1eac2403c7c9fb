//! `meta.k8s.io/v1 Table`: what `kubectl get` prints.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

/// A whole table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    kind: &'static str,
    api_version: &'static str,
    /// Metadata of the list: `resourceVersion`, `continue`, `remainingItemCount`.
    pub metadata: Value,
    /// The columns.
    pub column_definitions: Vec<Column>,
    /// One row for each object.
    pub rows: Vec<Row>,
}

/// A column. Columns with a priority above 0 are shown by `-o wide` only.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// Heading.
    pub name: Cow<'static, str>,
    /// OpenAPI type of the cells.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// OpenAPI format; `name` marks the column that identifies the object.
    pub format: Cow<'static, str>,
    /// For people.
    pub description: Cow<'static, str>,
    /// 0 is always shown.
    pub priority: i32,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// One cell for each column.
    pub cells: Vec<Value>,
    /// What is true of the row; `Completed` greys it out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
    /// The object, its `PartialObjectMetadata`, or null, as `includeObject` asks.
    pub object: Value,
}

impl Table {
    /// A table over the columns with the list's metadata.
    pub fn new(metadata: Value, columns: Vec<Column>, rows: Vec<Row>) -> Table {
        Table { kind: "Table", api_version: "meta.k8s.io/v1", metadata, column_definitions: columns, rows }
    }
}

impl Column {
    /// A column of constant texts.
    pub const fn fixed(
        name: &'static str,
        kind: &'static str,
        format: &'static str,
        priority: i32,
        description: &'static str,
    ) -> Column {
        Column {
            name: Cow::Borrowed(name),
            kind: Cow::Borrowed(kind),
            format: Cow::Borrowed(format),
            description: Cow::Borrowed(description),
            priority,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn serializes_as_meta_v1_table() {
        let column = Column::fixed("Name", "string", "name", 0, "d");
        let row = Row { cells: vec![json!("a")], conditions: Vec::new(), object: Value::Null };
        let table = Table::new(json!({"resourceVersion": "5"}), vec![column], vec![row]);
        assert_eq!(
            serde_json::to_value(table).unwrap(),
            json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "5"},
                   "columnDefinitions": [{"name": "Name", "type": "string", "format": "name", "description": "d",
                                          "priority": 0}],
                   "rows": [{"cells": ["a"], "object": null}]})
        );
    }
}
