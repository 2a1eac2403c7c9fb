//! temporary
#![allow(missing_docs, unused)]
use serde_json::{Value, json};
use wire::*;
pub(crate) mod merge {
    use schema::Schema;
    use serde_json::Value;
    pub(crate) fn json_patch(v: &mut Value, p: &Value) -> Result<(), String> {
        Ok(())
    }
    pub(crate) fn merge_patch(v: &mut Value, p: &Value) {
        if let Value::Object(p) = p {
            if !v.is_object() {
                *v = serde_json::json!({});
            }
            for (k, x) in p {
                if x.is_null() {
                    v.as_object_mut().unwrap().remove(k);
                } else {
                    merge_patch(&mut v[k], x);
                }
            }
        } else {
            *v = p.clone();
        }
    }
    pub(crate) fn strategic(s: &Schema, v: &mut Value, p: &Value) -> Result<(), String> {
        merge_patch(v, p);
        Ok(())
    }
    pub(crate) mod apply {
        use super::*;
        pub(crate) struct Manager {
            pub(crate) name: String,
            pub(crate) api_version: String,
            pub(crate) subresource: Option<String>,
            pub(crate) time: String,
        }
        pub(crate) struct Conflict {
            pub(crate) field: String,
        }
        impl Conflict {
            pub(crate) fn message(&self) -> String {
                String::new()
            }
        }
        pub(crate) fn summary(_: &[Conflict]) -> String {
            String::new()
        }
        pub(crate) fn track_update(s: &Schema, old: Option<&Value>, new: &mut Value, m: &Manager) {}
        pub(crate) fn apply(
            s: &Schema,
            live: Option<&Value>,
            applied: &Value,
            m: &Manager,
            force: bool,
        ) -> Result<Value, Vec<Conflict>> {
            let mut v = live.cloned().unwrap_or(serde_json::json!({}));
            merge_patch(&mut v, applied);
            Ok(v)
        }
    }
}
pub(crate) mod kinds2 {
    use super::*;
    use kinds::Kind;
    pub(crate) fn validate_create(k: &Kind, v: &Value) -> Vec<FieldError> {
        vec![]
    }
    pub(crate) fn validate_update(k: &Kind, s: Option<&str>, v: &Value, o: &Value) -> Vec<FieldError> {
        vec![]
    }
    pub(crate) fn columns(k: &Kind) -> Vec<Column> {
        vec![Column::fixed("Name", "string", "name", 0, "d")]
    }
    pub(crate) fn row(k: &Kind, v: &Value, now: jiff::Timestamp) -> Row {
        Row { cells: vec![v["metadata"]["name"].clone()], conditions: vec![], object: Value::Null }
    }
}
