//! Documents of custom resources, in the shape in which a Kubernetes API server publishes CRDs.

use std::collections::BTreeSet;
use std::hash::Hasher;

use serde_json::{Map, Value, json};

use super::{Fnv, closure, describe, document, operation, references};
use crate::document::components;

/// One version of a custom kind.
#[derive(Clone, Copy, Debug)]
pub struct Custom<'a> {
    /// The API group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
    /// The kind, such as `Sandbox`.
    pub kind: &'a str,
    /// The kind of its lists, such as `SandboxList`.
    pub list_kind: &'a str,
    /// The resource's name, such as `sandboxes`.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether there is a `status` subresource.
    pub status: bool,
    /// Whether there is a `scale` subresource.
    pub scale: bool,
    /// The version's `openAPIV3Schema`.
    pub schema: &'a Value,
}

type Parameter = (&'static str, &'static str);

const READ: &[Parameter] = &[("pretty", "string"), ("resourceVersion", "string")];
const WRITE: &[Parameter] =
    &[("pretty", "string"), ("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: &[Parameter] = &[
    ("pretty", "string"),
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const DELETE: &[Parameter] = &[
    ("pretty", "string"),
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const LIST: &[Parameter] = &[
    ("pretty", "string"),
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

/// The document of one group and version, with the kinds that it has.
pub fn custom_group(kinds: &[Custom<'_>]) -> Vec<u8> {
    let mut paths = Map::new();
    let mut own = Map::new();
    for kind in kinds {
        kind.paths(&mut paths);
        kind.schemas(&mut own);
    }
    let mut wanted = BTreeSet::new();
    own.values().chain(paths.values()).for_each(|node| references(node, &mut wanted));
    let mut schemas = closure(wanted, &mut components());
    describe(&mut schemas);
    schemas.append(&mut own);
    document(paths, schemas)
}

/// A hash over what [`custom_group`] would say, much cheaper than making it.
pub fn custom_hash(kinds: &[Custom<'_>]) -> String {
    let mut hash = Fnv::default();
    for kind in kinds {
        hash.write(format!("{kind:?}").as_bytes());
    }
    format!("{:016X}", hash.finish())
}

// === impl Custom ===

impl Custom<'_> {
    /// `io.x-k8s.agents.v1beta1`: the group's labels reversed, then the version.
    fn component(&self, kind: &str) -> String {
        let reversed: Vec<&str> = self.group.rsplit('.').collect();
        format!("{}.{}.{kind}", reversed.join("."), self.version)
    }

    pub(super) fn schemas(&self, into: &mut Map<String, Value>) {
        let meta = |name: &str| json!({"$ref": format!("#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.{name}")});
        let label = |kind: &str| json!([{"group": self.group, "version": self.version, "kind": kind}]);
        let mut schema = self.schema.clone();
        let text = json!({"type": "string"});
        if schema["properties"].is_null() {
            // A schema that takes any field says nothing of those that every object has.
            schema["properties"] = json!({});
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("metadata".to_owned(), json!({"allOf": [meta("ObjectMeta")]}));
            for name in ["apiVersion", "kind"] {
                properties.entry(name).or_insert_with(|| text.clone());
            }
        }
        schema["x-kubernetes-group-version-kind"] = label(self.kind);
        let item = self.component(self.kind);
        let list = json!({
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": text, "kind": text, "metadata": {"allOf": [meta("ListMeta")]},
                "items": {"type": "array", "items": {"$ref": format!("#/components/schemas/{item}")}},
            },
            "x-kubernetes-group-version-kind": label(self.list_kind),
        });
        into.insert(item, schema);
        into.insert(self.component(self.list_kind), list);
    }

    pub(super) fn paths(&self, into: &mut Map<String, Value>) {
        let base = format!("/apis/{}/{}", self.group, self.version);
        let scope = if self.namespaced { "/namespaces/{namespace}" } else { "" };
        let many = format!("{base}{scope}/{}", self.plural);
        let one = format!("{many}/{{name}}");
        let mut add = |path: String, methods: &[(&str, &str, &str, &[Parameter])], scale: bool| {
            into.insert(path.clone(), self.item(&path, methods, scale));
        };
        if self.namespaced {
            add(format!("{base}/{}", self.plural), &[("get", "list", "ForAllNamespaces", LIST)], false);
        }
        let collection: &[_] = &[
            ("get", "list", "", LIST),
            ("post", "post", "", WRITE),
            ("delete", "deletecollection", "", DELETE),
        ];
        add(many, collection, false);
        let change: &[_] =
            &[("get", "get", "", READ), ("put", "put", "", WRITE), ("patch", "patch", "", PATCH)];
        let object = [change, &[("delete", "delete", "", DELETE)]].concat();
        add(one.clone(), &object, false);
        if self.status {
            add(format!("{one}/status"), change, false);
        }
        if self.scale {
            add(format!("{one}/scale"), change, true);
        }
    }

    /// One path. Each method comes with its action, what its id ends with, and its parameters.
    fn item(&self, path: &str, methods: &[(&str, &str, &str, &[Parameter])], scale: bool) -> Value {
        let own = format!("#/components/schemas/{}", self.component(self.kind));
        let list = format!("#/components/schemas/{}", self.component(self.list_kind));
        let apart = "#/components/schemas/io.k8s.api.autoscaling.v1.Scale";
        let object = json!({"$ref": if scale { apart } else { own.as_str() }});
        let status = json!({"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status"});
        let mut item = Map::new();
        for (method, action, suffix, query) in methods {
            let part = path
                .rsplit('/')
                .next()
                .filter(|part| matches!(*part, "status" | "scale"))
                .unwrap_or_default();
            let id =
                format!("{action}{}{}{}{part}{suffix}", title(self.group), title(self.version), self.kind);
            let mut operation = json!({
                "id": id,
                "tags": [format!("{}_{}", title(self.group), self.version)],
                "action": action,
                "kind": {"group": self.group, "version": self.version, "kind": self.kind},
                "parameters": query.iter().map(|(name, kind)| json!([name, "query", kind, false])).collect::<Vec<_>>(),
                "200": object,
            });
            match *action {
                "list" => operation["200"] = json!({"$ref": list}),
                "delete" | "deletecollection" => operation["200"] = status.clone(),
                "post" | "put" => {
                    operation["body"] = object.clone();
                    operation["201"] = object.clone();
                }
                "patch" => {
                    operation["body"] =
                        json!({"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"});
                }
                _ => {}
            }
            item.insert((*method).to_owned(), operation);
        }
        let within = ["namespace", "name"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
        let within: Vec<Value> = within.map(|name| json!([name, "path", "string", true])).collect();
        if !within.is_empty() {
            item.insert("parameters".to_owned(), within.into());
        }
        // Custom kinds take no strategic merge patches; kubectl sends one wherever a document offers it.
        let mut expanded = operation::expand(&item.into());
        let content = expanded.pointer_mut("/patch/requestBody/content").and_then(Value::as_object_mut);
        content.map(|content| content.remove("application/strategic-merge-patch+json"));
        expanded
    }
}

/// `agents.x-k8s.io` as `AgentsXK8sIo`, the way operation ids are spelled.
fn title(text: &str) -> String {
    let capital =
        |part: &str| part.chars().take(1).flat_map(char::to_uppercase).chain(part.chars().skip(1)).collect();
    text.split(['.', '-']).map(capital).collect::<Vec<String>>().concat()
}
