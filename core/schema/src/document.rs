//! The schemas of Kubernetes' own kinds, from the data that `cargo xtask openapi` made.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use crate::compile::Compiler;
use crate::node::Schema;

/// All component schemas, compressed, without descriptions.
pub(crate) const SCHEMAS: &[u8] = include_bytes!("../../../data/openapi/schemas.json.gz");

/// Group, version and kind.
type Key = (Box<str>, Box<str>, Box<str>);

/// A set of published schemas, compiled.
pub struct Document {
    named: HashMap<String, Arc<Schema>>,
    kinds: HashMap<Key, Arc<Schema>>,
}

// === impl Document ===

impl Document {
    /// The built-in kinds. Compiled when first asked for, then kept.
    pub fn bundled() -> &'static Document {
        static BUNDLED: LazyLock<Document> = LazyLock::new(|| Document::new(&components()));
        &BUNDLED
    }

    /// The schema of a kind. The group of core kinds is empty.
    pub fn schema(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Schema>> {
        self.kinds.get(&(group.into(), version.into(), kind.into())).cloned()
    }

    /// A component schema by its full name, such as `io.k8s.api.core.v1.PodSpec`.
    pub fn named(&self, name: &str) -> Option<Arc<Schema>> {
        self.named.get(name).cloned()
    }

    fn new(components: &Map<String, Value>) -> Self {
        let named = Compiler::default().components(components).expect("checked by a test");
        let mut kinds = HashMap::new();
        for (name, schema) in components {
            let groups = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            for id in groups.into_iter().flatten() {
                let text = |key: &str| id[key].as_str().unwrap_or_default().into();
                kinds.insert((text("group"), text("version"), text("kind")), Arc::clone(&named[name]));
            }
        }
        Self { named, kinds }
    }
}

/// The component schemas as JSON. Made anew at each call: they are big and seldom needed.
pub(crate) fn components() -> Map<String, Value> {
    inflate(SCHEMAS)
}

/// Unpacks one of the bundled files.
pub(crate) fn inflate(bytes: &[u8]) -> Map<String, Value> {
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(bytes).read_to_string(&mut text);
    read.expect("bundled data is intact, checked by a test");
    serde_json::from_str(&text).expect("bundled data is JSON, checked by a test")
}
