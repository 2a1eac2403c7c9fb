//! The OpenAPI documents that clients fetch: `kubectl apply`, `explain`, `diff`, and code generators.
//!
//! Built when asked for and not kept: the whole set is several megabytes, and clients cache by hash.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::document::{components, inflate};

mod custom;
mod operation;
mod v2;

pub use custom::{Custom, custom_group, custom_hash};
pub use v2::{Form, v2};

/// Descriptions of the component schemas and their fields, compressed.
const DESCRIPTIONS: &[u8] = include_bytes!("../../../data/openapi/descriptions.json.gz");
/// Paths and operations by group and version, compressed.
const PATHS: &[u8] = include_bytes!("../../../data/openapi/paths.json.gz");

/// The groups and versions with bundled documents, as (group, version); the core group is empty.
pub fn groups() -> &'static [(String, String)] {
    static GROUPS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let split = |key: &String| {
            let mut parts = key.rsplit('/').map(str::to_owned);
            let version = parts.next().unwrap_or_default();
            (parts.next().filter(|group| group != "api").unwrap_or_default(), version)
        };
        inflate(PATHS).keys().map(split).collect()
    });
    &GROUPS
}

/// The answer to `GET /openapi/v3`: the bundled documents and the given ones, as (group, version, hash).
pub fn v3_index(custom: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut paths = Map::new();
    let mut add = |group: &str, version: &str, hash: &str| {
        let key = key(group, version);
        let url = format!("/openapi/v3/{key}?hash={hash}");
        paths.insert(key, json!({"serverRelativeURL": url}));
    };
    for (group, version) in groups() {
        add(group, version, &bundled_hash());
    }
    for (group, version, hash) in custom {
        add(group, version, hash);
    }
    json!({"paths": paths}).to_string().into_bytes()
}

/// The hash of the bundled documents: it changes with any of them.
pub fn bundled_hash() -> String {
    let mut hash = Fnv::default();
    for part in [DESCRIPTIONS, PATHS, crate::document::SCHEMAS] {
        hash.write(part);
    }
    format!("{:016X}", hash.finish())
}

/// The answer to `GET /openapi/v3/apis/<group>/<version>` (for the core group `/openapi/v3/api/v1`).
pub fn v3_group(group: &str, version: &str) -> Option<Vec<u8>> {
    let mut all = inflate(PATHS);
    let compact = all.remove(&key(group, version))?;
    drop(all);
    let mut schemas = components();
    let mut paths = Map::new();
    let mut wanted = BTreeSet::new();
    for (path, item) in compact.as_object().into_iter().flatten() {
        let item = operation::expand(item);
        references(&item, &mut wanted);
        paths.insert(path.clone(), item);
    }
    let roots = schemas.iter().filter(|(_, schema)| is_of(schema, group, version));
    wanted.extend(roots.map(|(name, _)| name.clone()));
    let mut kept = closure(wanted, &mut schemas);
    describe(&mut kept);
    Some(document(paths, kept))
}

/// Whether a schema is labelled as a kind of that group and version. Types of all groups (DeleteOptions, ...)
/// come in by reference where they are needed.
fn is_of(schema: &Value, group: &str, version: &str) -> bool {
    let labels = schema["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice).unwrap_or_default();
    matches!(labels, [one] if one["group"] == group && one["version"] == version)
}

/// Takes the wanted schemas and all that they refer to.
fn closure(mut wanted: BTreeSet<String>, schemas: &mut Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    while let Some(name) = wanted.pop_first() {
        if let Some(schema) = schemas.remove(&name) {
            references(&schema, &mut wanted);
            out.insert(name, schema);
        }
    }
    out
}

fn describe(schemas: &mut Map<String, Value>) {
    let mut all = inflate(DESCRIPTIONS);
    for (name, schema) in schemas {
        describe_one(schema, all.remove(name));
    }
}

/// Puts the texts of one schema, by field, where they belong.
fn describe_one(schema: &mut Value, texts: Option<Value>) {
    let Some(Value::Object(texts)) = texts else { return };
    for (field, text) in texts {
        let node = if field.is_empty() { Some(&mut *schema) } else { schema["properties"].get_mut(&field) };
        if let Some(node) = node.and_then(Value::as_object_mut) {
            node.insert("description".to_owned(), text);
        }
    }
}

/// Moves the parts together: the `json!` macro would copy them, and they are big.
fn document(paths: Map<String, Value>, schemas: Map<String, Value>) -> Vec<u8> {
    let parts = [
        ("openapi", "3.0.0".into()),
        ("info", json!({"title": "Kubernetes", "version": "unversioned"})),
        ("paths", paths.into()),
        ("components", Value::Object(Map::from_iter([("schemas".to_owned(), schemas.into())]))),
    ];
    let document: Map<String, Value> = parts.into_iter().map(|(key, part)| (key.to_owned(), part)).collect();
    Value::Object(document).to_string().into_bytes()
}

/// The path of a group's document.
fn key(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn references(node: &Value, into: &mut BTreeSet<String>) {
    match node {
        Value::Object(map) => {
            let target = map.get("$ref").and_then(Value::as_str);
            into.extend(
                target.and_then(|target| target.strip_prefix("#/components/schemas/")).map(str::to_owned),
            );
            map.values().for_each(|child| references(child, into));
        }
        Value::Array(items) => items.iter().for_each(|child| references(child, into)),
        _ => {}
    }
}

/// FNV-1a, 64 bits: the same on every machine and with every compiler.
struct Fnv(u64);

// === impl Fnv ===

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
