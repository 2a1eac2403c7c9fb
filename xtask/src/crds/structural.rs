//! Turns published component schemas into structural ones: references inlined, and the special types written
//! the way a CustomResourceDefinition has to write them.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// The pattern that a quantity given as text has to match.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Keywords that mean nothing in a structural schema, or are not allowed there.
const DROPPED: &[&str] = &[
    "x-kubernetes-group-version-kind",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-unions",
];

/// Defaults of the published schemas that the Sandbox API does not have: there a write would show them.
const NOT_DEFAULTED: &[(&str, &str)] = &[
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "cachingMode"),
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "kind"),
];

/// Types that embed an atomic struct in Go. The published schemas lose that, the Sandbox API has it.
const ATOMIC: &[&str] = &[
    "io.k8s.api.core.v1.ConfigMapEnvSource",
    "io.k8s.api.core.v1.ConfigMapProjection",
    "io.k8s.api.core.v1.ConfigMapVolumeSource",
    "io.k8s.api.core.v1.SecretEnvSource",
    "io.k8s.api.core.v1.SecretProjection",
];

/// The component schemas, by name.
pub(super) struct Library {
    schemas: Map<String, Value>,
}

// === impl Library ===

impl Library {
    pub(super) fn new(schemas: Map<String, Value>) -> Self {
        Self { schemas }
    }

    /// The structural form of a named schema such as `io.k8s.api.core.v1.PodSpec`.
    pub(super) fn get(&self, name: &str) -> Result<Value> {
        match name.rsplit("apimachinery.pkg.").next().unwrap_or(name) {
            "api.resource.Quantity" => Ok(quantity()),
            "util.intstr.IntOrString" => Ok(int_or_string()),
            "apis.meta.v1.Time" | "apis.meta.v1.MicroTime" => {
                Ok(json!({"format": "date-time", "type": "string"}))
            }
            "apis.meta.v1.ObjectMeta" => Ok(json!({"type": "object"})),
            _ => {
                let schema = self.schemas.get(name).with_context(|| format!("no schema {name}"))?;
                let mut out = self.node(name, schema)?;
                if ATOMIC.contains(&name) {
                    out["x-kubernetes-map-type"] = "atomic".into();
                }
                Ok(out)
            }
        }
    }

    /// One node and all below it. `name` is the component it belongs to.
    fn node(&self, name: &str, node: &Value) -> Result<Value> {
        let target = node["$ref"].as_str().or_else(|| node["allOf"][0]["$ref"].as_str());
        let mut out = match target {
            Some(target) => self.get(target.trim_start_matches("#/components/schemas/"))?,
            None => json!({}),
        };
        let fields = out.as_object_mut().context("a schema that is no object")?;
        for (key, value) in node.as_object().context("a schema that is no object")? {
            match key.as_str() {
                "$ref" | "allOf" | "default" | "description" => {}
                key if DROPPED.contains(&key) => {}
                "properties" => {
                    fields.insert(key.clone(), self.properties(name, node)?);
                }
                "items" | "additionalProperties" => {
                    fields.insert(key.clone(), self.node(name, value)?);
                }
                _ => {
                    fields.insert(key.clone(), value.clone());
                }
            }
        }
        if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
            required.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
        Ok(out)
    }

    /// The properties, with the defaults that are real ones. The published documents also record the zero
    /// value of every required Go field as its default; a write never shows those.
    fn properties(&self, name: &str, node: &Value) -> Result<Value> {
        let required = |property: &str| {
            node["required"].as_array().is_some_and(|names| names.iter().any(|name| name == property))
        };
        let mut out = Map::new();
        for (property, child) in node["properties"].as_object().context("properties that are no object")? {
            let mut schema = self.node(name, child)?;
            let excluded = required(property) || NOT_DEFAULTED.contains(&(name, property));
            if let Some(default) = child.get("default").filter(|default| !excluded && **default != json!({}))
            {
                schema["default"] = default.clone();
            }
            out.insert(property.clone(), schema);
        }
        Ok(out.into())
    }
}

fn int_or_string() -> Value {
    json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
}

fn quantity() -> Value {
    let mut schema = int_or_string();
    schema["pattern"] = QUANTITY.into();
    schema
}
