//! The four kinds: what each version of each has, with the Kubernetes types left to [`super::structural`].

#![allow(
    clippy::needless_pass_by_value,
    reason = "`json!` borrows what it is given, and parts are made in place"
)]

use anyhow::Result;
use serde_json::{Value, json};

use super::structural::Library;

/// The group of Sandbox.
const CORE: &str = "agents.x-k8s.io";
/// The group of the kinds built on Sandbox.
const EXTENSIONS: &str = "extensions.agents.x-k8s.io";

/// The only rule of the API: what a sandbox's volumes are is said once.
const IMMUTABLE_VOLUMES: &str = "has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates) && \
    (!has(self.volumeClaimTemplates) || self.volumeClaimTemplates == oldSelf.volumeClaimTemplates)";

/// All documents, Sandbox first.
pub(super) fn all(library: &Library) -> Result<Vec<Value>> {
    let parts = Parts::new(library)?;
    Ok(vec![parts.sandbox(), parts.claim(), parts.template(), parts.pool()])
}

/// Schemas that several kinds share.
struct Parts {
    blueprint: Value,
    volumes: Value,
    network: Value,
    conditions: Value,
}

/// The names of a kind.
struct Names {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
}

// === impl Parts ===

impl Parts {
    fn new(library: &Library) -> Result<Self> {
        let metadata = || fields(json!({"annotations": texts(), "labels": texts()}), &[]);
        let mut named = metadata();
        named["properties"]["name"] = text();
        let claim = library.get("io.k8s.api.core.v1.PersistentVolumeClaimSpec")?;
        let claim = fields(json!({"metadata": named, "spec": claim}), &["spec"]);
        let volumes = json!({"items": claim, "type": "array", "x-kubernetes-list-type": "atomic"});
        let pod = library.get("io.k8s.api.core.v1.PodSpec")?;
        let pod = fields(json!({"metadata": metadata(), "spec": pod}), &["spec"]);
        let rules = |name: &str| -> Result<Value> {
            Ok(list(library.get(&format!("io.k8s.api.networking.v1.NetworkPolicy{name}Rule"))?))
        };
        Ok(Self {
            blueprint: fields(
                json!({"podTemplate": pod, "service": {"type": "boolean"}, "volumeClaimTemplates": volumes}),
                &["podTemplate"],
            ),
            volumes,
            network: fields(json!({"egress": rules("Egress")?, "ingress": rules("Ingress")?}), &[]),
            conditions: list(condition()),
        })
    }

    fn sandbox(&self) -> Value {
        let names = Names { group: CORE, kind: "Sandbox", plural: "sandboxes", short: "sandbox" };
        let mut old = self.blueprint.clone();
        let mut spec = self.blueprint.clone();
        for spec in [&mut old, &mut spec] {
            let policy = choice(&["Delete", "Retain"], Some("Retain"));
            extend(spec, json!({"shutdownPolicy": policy, "shutdownTime": time()}));
        }
        extend(&mut old, json!({"replicas": bounded("int32", Some(0), Some(1), Some(1))}));
        extend(&mut spec, json!({"operatingMode": choice(&["Running", "Suspended"], Some("Running"))}));
        spec["x-kubernetes-validations"] =
            json!([{"message": "volumeClaimTemplates is immutable", "rule": IMMUTABLE_VOLUMES}]);
        let status = fields(
            json!({
                "conditions": self.conditions, "podIPs": list(text()), "selector": text(),
                "service": text(), "serviceFQDN": text(),
            }),
            &[],
        );
        let (mut old_status, mut status) = (status.clone(), status);
        extend(&mut old_status, json!({"replicas": bounded("int32", Some(0), None, None)}));
        extend(&mut status, json!({"nodeName": text()}));
        let columns = [ready_column("status", "Ready"), ready_column("reason", "Reason"), age_column()];
        names.document(
            names.version("v1alpha1", root(old, Some(old_status)), &[], true),
            names.version("v1beta1", root(spec, Some(status)), &columns, false),
        )
    }

    fn template(&self) -> Value {
        let (group, kind) = (EXTENSIONS, "SandboxTemplate");
        let names = Names { group, kind, plural: "sandboxtemplates", short: "sandboxtemplate" };
        let policies = ["Allowed", "Overrides", "Disallowed"];
        let mut old = self.blueprint.clone();
        let more = json!({
            "envVarsInjectionPolicy": choice(&policies, Some("Disallowed")),
            "networkPolicy": self.network,
            "networkPolicyManagement": choice(&["Managed", "Unmanaged"], Some("Managed")),
        });
        extend(&mut old, more);
        let mut spec = old.clone();
        let policies = ["Disallowed", "Allowed", "Overrides"];
        extend(&mut spec, json!({"volumeClaimTemplatesPolicy": choice(&policies, Some("Disallowed"))}));
        names.document(
            names.version("v1alpha1", root(old, None), &[], false),
            names.version("v1beta1", root(spec, None), &[], false),
        )
    }

    fn claim(&self) -> Value {
        let names =
            Names { group: EXTENSIONS, kind: "SandboxClaim", plural: "sandboxclaims", short: "sandboxclaim" };
        let lifecycle = json!({
            "shutdownPolicy": choice(&["Delete", "DeleteForeground", "Retain"], Some("Retain")),
            "shutdownTime": time(),
            "ttlSecondsAfterFinished": bounded("int32", Some(0), None, None),
        });
        let variable = json!({"containerName": text(), "name": text(), "value": text()});
        let mut variables = list(fields(variable, &["name", "value"]));
        variables["x-kubernetes-list-type"] = "atomic".into();
        let shared = json!({
            "additionalPodMetadata": fields(json!({"annotations": texts(), "labels": texts()}), &[]),
            "env": variables,
            "lifecycle": fields(lifecycle, &[]),
        });
        let mut old = fields(json!({"sandboxTemplateRef": reference()}), &["sandboxTemplateRef"]);
        extend(&mut old, json!({"warmpool": {"default": "default", "type": "string"}}));
        extend(&mut old, shared.clone());
        let mut spec = fields(json!({"warmPoolRef": reference()}), &["warmPoolRef"]);
        extend(&mut spec, json!({"volumeClaimTemplates": self.volumes}));
        extend(&mut spec, shared);
        let sandbox = fields(json!({"name": text(), "podIPs": list(text())}), &[]);
        let status = fields(json!({"conditions": self.conditions, "sandbox": sandbox}), &[]);
        let columns = [
            ready_column("status", "Ready"),
            column("Sandbox", "string", ".status.sandbox.name"),
            ready_column("reason", "Reason"),
            age_column(),
        ];
        names.document(
            names.version("v1alpha1", root(old, Some(status.clone())), &[], false),
            names.version("v1beta1", root(spec, Some(status)), &columns, false),
        )
    }

    fn pool(&self) -> Value {
        let names =
            Names { group: EXTENSIONS, kind: "SandboxWarmPool", plural: "sandboxwarmpools", short: "swp" };
        let strategy = choice(&["Recreate", "OnReplenish"], Some("OnReplenish"));
        let spec = |replicas: Value, required: &[&str]| {
            let strategy = fields(json!({"type": strategy}), &[]);
            let all =
                json!({"replicas": replicas, "sandboxTemplateRef": reference(), "updateStrategy": strategy});
            fields(all, required)
        };
        let old = spec(bounded("int32", Some(0), None, None), &["replicas", "sandboxTemplateRef"]);
        let new = spec(bounded("int32", Some(0), None, Some(1)), &["sandboxTemplateRef"]);
        let count = || bounded("int32", None, None, None);
        let old_status =
            fields(json!({"readyReplicas": count(), "replicas": count(), "selector": text()}), &[]);
        let mut status = old_status.clone();
        extend(&mut status, json!({"observedGeneration": bounded("int64", Some(0), None, None)}));
        let columns = [
            column("Ready", "integer", ".status.readyReplicas"),
            column("Desired", "integer", ".spec.replicas"),
            age_column(),
        ];
        names.document(
            names.version("v1alpha1", root(old, Some(old_status)), &columns, true),
            names.version("v1beta1", root(new, Some(status)), &columns, true),
        )
    }
}

// === impl Names ===

impl Names {
    fn document(&self, old: Value, new: Value) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.{}", self.plural, self.group)},
            "spec": {
                "conversion": {"strategy": "None"},
                "group": self.group,
                "names": {
                    "kind": self.kind,
                    "listKind": format!("{}List", self.kind),
                    "plural": self.plural,
                    "shortNames": [self.short],
                    "singular": self.kind.to_lowercase(),
                },
                "scope": "Namespaced",
                "versions": [old, new],
            },
        })
    }

    fn version(&self, name: &str, schema: Value, columns: &[Value], scale: bool) -> Value {
        let mut subresources = json!({});
        if schema["properties"]["status"].is_object() {
            subresources["status"] = json!({});
        }
        if scale {
            subresources["scale"] = json!({
                "labelSelectorPath": ".status.selector",
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
            });
        }
        let mut version = json!({
            "name": name, "schema": {"openAPIV3Schema": schema}, "served": true,
            "storage": name == "v1beta1", "subresources": subresources,
        });
        if !columns.is_empty() {
            version["additionalPrinterColumns"] = columns.into();
        }
        if name == "v1alpha1" {
            let (group, kind) = (self.group, self.kind);
            version["deprecated"] = true.into();
            version["deprecationWarning"] =
                format!("{group}/v1alpha1 {kind} is deprecated; use {group}/v1beta1 {kind} instead").into();
        }
        version
    }
}

/// The schema of a whole object.
fn root(spec: Value, status: Option<Value>) -> Value {
    let all = json!({"apiVersion": text(), "kind": text(), "metadata": {"type": "object"}, "spec": spec});
    let mut schema = fields(all, &["spec"]);
    if let Some(status) = status {
        schema["properties"]["status"] = status;
    }
    schema
}

/// The standard condition.
fn condition() -> Value {
    let reason = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";
    let kind = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
    let all = json!({
        "lastTransitionTime": time(),
        "message": {"maxLength": 32768, "type": "string"},
        "observedGeneration": bounded("int64", Some(0), None, None),
        "reason": {"maxLength": 1024, "minLength": 1, "pattern": reason, "type": "string"},
        "status": choice(&["True", "False", "Unknown"], None),
        "type": {"maxLength": 316, "pattern": kind, "type": "string"},
    });
    fields(all, &["lastTransitionTime", "message", "reason", "status", "type"])
}

fn fields(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({"properties": properties, "type": "object"});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn extend(schema: &mut Value, more: Value) {
    if let (Some(properties), Value::Object(more)) = (schema["properties"].as_object_mut(), more) {
        properties.extend(more);
    }
}

fn reference() -> Value {
    fields(json!({"name": text()}), &["name"])
}

fn list(items: Value) -> Value {
    json!({"items": items, "type": "array"})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    json!({"additionalProperties": text(), "type": "object"})
}

fn time() -> Value {
    json!({"format": "date-time", "type": "string"})
}

fn choice(values: &[&str], default: Option<&str>) -> Value {
    let mut schema = json!({"enum": values, "type": "string"});
    if let Some(default) = default {
        schema["default"] = default.into();
    }
    schema
}

fn bounded(format: &str, minimum: Option<i64>, maximum: Option<i64>, default: Option<i64>) -> Value {
    let mut schema = json!({"format": format, "type": "integer"});
    for (key, value) in [("minimum", minimum), ("maximum", maximum), ("default", default)] {
        if let Some(value) = value {
            schema[key] = value.into();
        }
    }
    schema
}

fn ready_column(field: &str, name: &str) -> Value {
    column(name, "string", &format!(".status.conditions[?(@.type=='Ready')].{field}"))
}

fn age_column() -> Value {
    column("Age", "date", ".metadata.creationTimestamp")
}

fn column(name: &str, kind: &str, path: &str) -> Value {
    json!({"jsonPath": path, "name": name, "type": kind})
}
