//! A CustomResourceDefinition that is served, as requests need it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use schema::{Compiler, Schema};
use serde_json::Value;
use store::Store;
use tokio_util::sync::CancellationToken;
use wire::{Reason, Status, status::Details};

/// One state of a definition's spec.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The store's key of the CRD.
    pub(crate) key: String,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// Cancelled when the spec is no longer this one: watches end.
    pub(crate) ended: CancellationToken,
    pub(crate) life: Arc<Life>,
    /// `spec.conversion.webhook`, where objects are converted by one.
    pub(crate) webhook: Option<Value>,
    schemas: OnceLock<Schemas>,
}

/// Compiled schemas by version.
type Schemas = Vec<(Box<str>, Arc<Schema>)>;

/// What stays the same while a CRD's spec changes.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// The revision of the CRD that was seen last.
    revision: AtomicU64,
    terminating: AtomicBool,
}

// === impl Life ===

impl Life {
    /// Notes a new state of the CRD.
    pub(crate) fn note(&self, revision: u64, terminating: bool) {
        self.terminating.store(terminating, Ordering::Release);
        self.revision.store(revision, Ordering::Release);
    }

    /// The revision of the CRD that was seen last, and whether the CRD was being deleted then.
    pub(crate) fn state(&self) -> (u64, bool) {
        let revision = self.revision.load(Ordering::Acquire);
        (revision, self.terminating.load(Ordering::Acquire))
    }
}

// === impl Definition ===

impl Definition {
    pub(crate) fn new(key: String, crd: &Value, ended: CancellationToken, life: Arc<Life>) -> Self {
        Self {
            key,
            uid: crate::object::uid(crd).to_owned(),
            generation: crd["metadata"]["generation"].as_i64().unwrap_or(0),
            ended,
            life,
            webhook: webhook(crd),
            schemas: OnceLock::new(),
        }
    }

    /// The compiled schema of a version; none if the definition has no such version, or `ready` was not awaited.
    pub(crate) fn schema(&self, version: &str) -> Option<&Schema> {
        let schemas = self.schemas.get()?;
        schemas.iter().find(|(name, _)| **name == *version).map(|(_, schema)| &**schema)
    }

    /// Compiles the schemas, unless that was done before.
    pub(super) async fn ready(self: &Arc<Self>, store: &Store) -> Result<(), Status> {
        if self.schemas.get().is_some() {
            return Ok(());
        }
        let (this, store) = (Arc::clone(self), store.clone());
        let compiled = tokio::task::spawn_blocking(move || {
            let schemas = this.compile(&store)?;
            this.schemas.get_or_init(|| schemas);
            Ok(())
        });
        compiled.await.map_err(Status::internal)?
    }

    fn compile(&self, store: &Store) -> Result<Schemas, Status> {
        let crd = self.read(store).ok_or_else(changing)?;
        let mut compiler = Compiler::default();
        let versions = crd["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut schemas = Vec::with_capacity(versions.len());
        for version in versions {
            let schema = compiler.compile(&version["schema"]["openAPIV3Schema"]);
            let name = version["name"].as_str().unwrap_or_default();
            schemas.push((name.into(), schema.map_err(Status::internal)?));
        }
        Ok(schemas)
    }

    /// The CRD, if it still is the one of this definition.
    pub(crate) fn read(&self, store: &Store) -> Option<Value> {
        let entry = store.get(&self.key)?;
        let crd: Value = serde_json::from_slice(&entry.value).ok()?;
        let same = crate::object::uid(&crd) == self.uid
            && crd["metadata"]["generation"].as_i64().unwrap_or(0) == self.generation;
        same.then_some(crd)
    }
}

fn webhook(crd: &Value) -> Option<Value> {
    let conversion = &crd["spec"]["conversion"];
    (conversion["strategy"] == "Webhook").then(|| conversion["webhook"].clone())
}

/// The next definition is published in a moment.
fn changing() -> Status {
    let why = "the definition of this kind is being changed; try again";
    let details = Details { retry_after_seconds: 1, ..Details::default() };
    Status::failure(503, Reason::ServiceUnavailable, why).with(details)
}
