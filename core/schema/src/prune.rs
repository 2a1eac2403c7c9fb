//! Drops fields that a schema does not know.

use std::fmt::Write;

use serde_json::Value;

use crate::node::Schema;

/// Drops every unknown field and returns their paths, sorted, as Kubernetes' strict decoding prints them
/// (`spec.containers[0].foo`).
pub fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut walk = Walk { path: String::new(), found: Vec::new() };
    walk.node(schema, value);
    walk.found.sort();
    walk.found
}

struct Walk {
    path: String,
    found: Vec<String>,
}

// === impl Walk ===

impl Walk {
    fn node(&mut self, schema: &Schema, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let known = |name: &str| schema.any_keys || schema.preserve || schema.child(name).is_some();
                let unknown: Vec<String> = fields.keys().filter(|name| !known(name)).cloned().collect();
                for name in unknown {
                    fields.remove(&name);
                    let length = self.enter(&name);
                    self.found.push(self.path.clone());
                    self.path.truncate(length);
                }
                for (name, child) in
                    fields.iter_mut().filter(|(_, child)| child.is_object() || child.is_array())
                {
                    if let Some(inner) = schema.child(name) {
                        let length = self.enter(name);
                        self.node(inner, child);
                        self.path.truncate(length);
                    }
                }
            }
            Value::Array(items) => {
                let Some(inner) = schema.items() else { return };
                for (index, child) in items.iter_mut().enumerate() {
                    let length = self.path.len();
                    let _ = write!(self.path, "[{index}]");
                    self.node(inner, child);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Extends the path by a field; returns the length to go back to.
    fn enter(&mut self, name: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        length
    }
}
