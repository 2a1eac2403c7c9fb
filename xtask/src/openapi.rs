//! Makes `data/openapi/`: the part of Kubernetes' published OpenAPI v3 documents that our API server serves.
//!
//! Three compressed JSON files and their record. `schemas` holds every component schema that a served kind
//! needs, without descriptions, and is what the server compiles. `descriptions` and `paths` are only read when
//! a client asks for an OpenAPI document, so they never live in an idle server's memory.
//!
//! **Invariant:** the files are a function of the published documents and of the tables below; `origin.json`
//! records where the documents came from and the digest of every file, so that a check needs no network.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The Go module that carries the documents.
const MODULE: &str = "k8s.io/kubernetes";
/// The version of [`MODULE`] that the committed data was made from.
const VERSION: &str = "v1.36.0";
/// Where the documents are inside the module.
const FOLDER: &str = "api/openapi-spec/v3";

/// Group and version as the path of their document names them, and the resources of it that we serve.
const SERVED: &[(&str, &[&str])] = &[
    (
        "api/v1",
        &[
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "resourcequotas",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    ("apis/apiextensions.k8s.io/v1", &["customresourcedefinitions"]),
    ("apis/apps/v1", &["deployments", "replicasets"]),
    ("apis/authentication.k8s.io/v1", &["tokenreviews", "selfsubjectreviews"]),
    (
        "apis/authorization.k8s.io/v1",
        &[
            "localsubjectaccessreviews",
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "subjectaccessreviews",
        ],
    ),
    ("apis/batch/v1", &["jobs"]),
    ("apis/coordination.k8s.io/v1", &["leases"]),
    ("apis/discovery.k8s.io/v1", &["endpointslices"]),
    ("apis/events.k8s.io/v1", &["events"]),
    ("apis/networking.k8s.io/v1", &["networkpolicies"]),
    ("apis/node.k8s.io/v1", &["runtimeclasses"]),
    ("apis/rbac.authorization.k8s.io/v1", &["clusterrolebindings", "clusterroles", "rolebindings", "roles"]),
    ("apis/scheduling.k8s.io/v1", &["priorityclasses"]),
    ("apis/storage.k8s.io/v1", &["storageclasses"]),
];

/// Schemas wanted although no path of a served resource leads to them (all other needs are found by reference).
const EXTRA: &[(&str, &str)] = &[
    ("api/v1", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
    ("api/v1", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
    ("api/v1", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"),
    ("api/v1", "io.k8s.api.authentication.v1.TokenRequest"),
    ("api/v1", "io.k8s.api.core.v1.Binding"),
    ("api/v1", "io.k8s.api.core.v1.PodTemplateSpec"),
    ("api/v1", "io.k8s.api.policy.v1.Eviction"),
    ("apis/apps/v1", "io.k8s.api.autoscaling.v1.Scale"),
];

/// What `cargo xtask openapi` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only check the committed files against their record; needs no network.
    #[arg(long)]
    check: bool,
    /// The folder with the published documents; by default the Go module is fetched and looked into.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

/// Makes the files anew, or checks them.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.check {
        return check();
    }
    let module = if options.from.is_none() { go_module()? } else { Module::default() };
    let folder = options.from.clone().unwrap_or_else(|| module.dir.join(FOLDER));
    let bundle = Bundle::read(&folder)?;
    let mut files = BTreeMap::new();
    for (name, value) in bundle.files() {
        let bytes = compress(&serde_json::to_vec(&value)?)?;
        std::fs::write(data_folder().join(name), &bytes)?;
        files.insert(name, json!({"sha256": digest(&bytes), "bytes": bytes.len()}));
    }
    let origin = json!({
        "module": MODULE, "version": VERSION, "sum": module.sum, "folder": FOLDER,
        "licence": "Apache-2.0", "documents": bundle.documents, "files": files,
    });
    let text = serde_json::to_string_pretty(&origin)? + "\n";
    std::fs::write(data_folder().join("origin.json"), text)?;
    Ok(())
}

/// Checks that the committed files are those that the last run of the chore recorded.
pub(crate) fn check() -> Result<()> {
    let text = std::fs::read_to_string(data_folder().join("origin.json"))?;
    let origin: Value = serde_json::from_str(&text)?;
    let files = origin["files"].as_object().context("origin.json names no files")?;
    for (name, record) in files {
        let bytes = std::fs::read(data_folder().join(name)).with_context(|| format!("read {name}"))?;
        if record["sha256"].as_str() != Some(&digest(&bytes)) {
            bail!("data/openapi/{name} is not what its record says: run `cargo xtask openapi`");
        }
    }
    if origin["version"].as_str() != Some(VERSION) {
        bail!("data/openapi was made from {}, not {VERSION}: run `cargo xtask openapi`", origin["version"]);
    }
    Ok(())
}

/// The component schemas in the committed data, by name, without descriptions.
pub(crate) fn schemas() -> Result<Map<String, Value>> {
    let bytes = std::fs::read(data_folder().join("schemas.json.gz"))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// The folder of the committed data.
fn data_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/openapi")
}

/// Where the Go toolchain put the module, and its checksum.
#[derive(Default)]
struct Module {
    dir: PathBuf,
    sum: String,
}

fn go_module() -> Result<Module> {
    let name = format!("{MODULE}@{VERSION}");
    let output = Command::new("go")
        .args(["mod", "download", "-json", &name])
        .current_dir(std::env::temp_dir())
        .output()
        .context("run go (needed to obtain the published documents; or give --from)")?;
    let answer: Value =
        serde_json::from_slice(&output.stdout).context("read the answer of go mod download")?;
    let text =
        |key: &str| answer[key].as_str().map(str::to_owned).with_context(|| format!("{name}: no {key}"));
    Ok(Module { dir: text("Dir")?.into(), sum: text("Sum")? })
}

/// What the files are made of.
#[derive(Default)]
struct Bundle {
    schemas: BTreeMap<String, Value>,
    descriptions: BTreeMap<String, BTreeMap<String, String>>,
    paths: BTreeMap<String, Map<String, Value>>,
    documents: BTreeMap<String, String>,
}

// === impl Bundle ===

impl Bundle {
    fn read(folder: &Path) -> Result<Self> {
        let mut bundle = Self::default();
        for (document, resources) in SERVED {
            let file = format!("{}_openapi.json", document.replace('/', "__"));
            let bytes = std::fs::read(folder.join(&file)).with_context(|| format!("read {file}"))?;
            bundle.documents.insert(file, digest(&bytes));
            let content: Value = serde_json::from_slice(&bytes)?;
            bundle.add(document, resources, &content)?;
        }
        Ok(bundle)
    }

    /// Takes the served paths of one document and every schema they lead to.
    fn add(&mut self, document: &str, resources: &[&str], content: &Value) -> Result<()> {
        let paths = content["paths"].as_object().context("a document without paths")?;
        let all = content["components"]["schemas"].as_object().context("a document without schemas")?;
        let mut wanted = BTreeSet::new();
        let mut kept = Map::new();
        for (path, item) in paths.iter().filter(|(path, _)| is_served(document, resources, path)) {
            let item = compact_item(item);
            references(&item, &mut wanted);
            kept.insert(path.clone(), item);
        }
        self.paths.insert(document.to_owned(), kept);
        wanted.extend(EXTRA.iter().filter(|(of, _)| *of == document).map(|(_, name)| (*name).to_owned()));
        while let Some(name) = wanted.pop_first() {
            let schema = all.get(&name).with_context(|| format!("{document}: no schema {name}"))?;
            if let Some(known) = self.schemas.get_mut(&name) {
                add_labels(known, schema);
                continue;
            }
            references(schema, &mut wanted);
            self.insert(name, schema.clone());
        }
        Ok(())
    }

    /// Stores a schema, its descriptions apart.
    fn insert(&mut self, name: String, mut schema: Value) {
        let mut found = BTreeMap::new();
        let mut take = |key: &str, node: &mut Value| {
            if let Some(Value::String(text)) =
                node.as_object_mut().and_then(|node| node.remove("description"))
            {
                found.insert(key.to_owned(), text);
            }
        };
        take("", &mut schema);
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            for (property, node) in properties {
                take(property, node);
            }
        }
        self.descriptions.insert(name.clone(), found);
        self.schemas.insert(name, schema);
    }

    fn files(&self) -> [(&'static str, Value); 3] {
        [
            ("schemas.json.gz", json!(self.schemas)),
            ("descriptions.json.gz", json!(self.descriptions)),
            ("paths.json.gz", json!(self.paths)),
        ]
    }
}

/// A type of all groups (DeleteOptions, WatchEvent) is labelled in each document with that document's group.
fn add_labels(known: &mut Value, schema: &Value) {
    const LABELS: &str = "x-kubernetes-group-version-kind";
    let Some(labels) = known.get_mut(LABELS).and_then(Value::as_array_mut) else { return };
    for label in schema[LABELS].as_array().into_iter().flatten() {
        if !labels.contains(label) {
            labels.push(label.clone());
        }
    }
}

/// Whether a path belongs to a resource that we serve. Watch paths are left out: they are deprecated, and
/// no client looks for them in the documents.
fn is_served(document: &str, resources: &[&str], path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/').and_then(|path| path.strip_prefix(document)) else {
        return false;
    };
    let rest = rest.trim_start_matches('/');
    let inner = rest.strip_prefix("namespaces/{namespace}/").unwrap_or(rest);
    let resource = inner.split('/').next().unwrap_or_default();
    rest.is_empty() || resources.contains(&resource)
}

/// What we keep of a path: for each method the action, the kind, the schemas and the names of its parameters.
fn compact_item(item: &Value) -> Value {
    let mut out = Map::new();
    for method in ["get", "post", "put", "patch", "delete"] {
        if let Some(operation) = item.get(method) {
            out.insert(method.to_owned(), compact_operation(operation));
        }
    }
    let parameters = compact_parameters(item);
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), parameters.into());
    }
    out.into()
}

fn compact_operation(operation: &Value) -> Value {
    let mut out = Map::new();
    let mut keep = |key: &str, value: &Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value.clone());
        }
    };
    keep("id", &operation["operationId"]);
    keep("tags", &operation["tags"]);
    keep("action", &operation["x-kubernetes-action"]);
    keep("kind", &operation["x-kubernetes-group-version-kind"]);
    keep("about", &operation["description"]);
    keep("body", &first_schema(&operation["requestBody"]["content"]));
    let answers = operation["responses"].as_object();
    for (code, answer) in answers.into_iter().flatten().filter(|(code, _)| code.starts_with('2')) {
        keep(code, &first_schema(&answer["content"]));
    }
    keep("parameters", &compact_parameters(operation).into());
    out.into()
}

fn first_schema(content: &Value) -> Value {
    let media = content.as_object().and_then(|media| media.values().next());
    media.map_or(Value::Null, |media| media["schema"].clone())
}

/// The parameters as `name`, `in`, type and `required`; their descriptions are the same everywhere and long.
fn compact_parameters(of: &Value) -> Vec<Value> {
    let parameters = of["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let compact = |parameter: &Value| {
        let required = parameter["required"].as_bool().unwrap_or_default();
        json!([parameter["name"], parameter["in"], parameter["schema"]["type"], required])
    };
    parameters.iter().map(compact).collect()
}

/// Collects the names of all schemas that a node refers to.
fn references(node: &Value, into: &mut BTreeSet<String>) {
    match node {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                into.insert(target.trim_start_matches("#/components/schemas/").to_owned());
            }
            map.values().for_each(|child| references(child, into));
        }
        Value::Array(items) => items.iter().for_each(|child| references(child, into)),
        _ => {}
    }
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_data_is_what_its_record_says() {
        check().expect("up to date");
    }

    #[test]
    fn watch_paths_and_other_resources_are_left_out() {
        let served = |path| is_served("api/v1", &["pods", "namespaces"], path);
        assert!(served("/api/v1/namespaces/{namespace}/pods/{name}/exec"));
        assert!(served("/api/v1/namespaces/{name}"));
        assert!(!served("/api/v1/watch/pods"));
        assert!(!served("/api/v1/namespaces/{namespace}/podtemplates"));
    }
}
