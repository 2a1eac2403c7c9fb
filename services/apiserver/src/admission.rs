//! What a write needs of the rest of the cluster: its namespace, addresses for services, our own CRDs.
//!
//! **Invariant:** every check here is repeated by the store as a condition of the same transaction, so nothing can
//! change between the check and the write. Quotas are counted over many objects: who adds to them passes alone instead (`quotas`).

mod account;
mod addresses;
mod definitions;
mod jobs;
mod limits;
mod pods;
mod quotas;
mod storage;

use kinds::{Body, Kind};
use serde_json::Value;
use store::{Expect, Op, Store};
use wire::{Cause, Qualified, Status, status::Details};

pub(crate) use self::{addresses::Range, pods::system_classes, quotas::Pass};
use crate::{object, route::Target, stored};

/// Cluster-wide facts that admission needs.
pub(crate) struct Admission {
    range: Range,
    /// The CRDs of the kinds this server is built with, as JSON: parsed they take fifteen times as much, and are hardly ever asked for.
    crds: Vec<(String, Box<[u8]>)>,
    gate: quotas::Gate,
}

// === impl Admission ===

impl Admission {
    pub(crate) fn new(range: Range, crds: &[Value]) -> Self {
        let crds = crds.iter();
        let crds =
            crds.map(|crd| (object::name(crd).to_owned(), crd.to_string().into_bytes().into())).collect();
        Self { range, crds, gate: quotas::Gate::default() }
    }

    /// The CRDs of the kinds served.
    pub(crate) fn crds(&self) -> impl Iterator<Item = Value> {
        self.crds.iter().filter_map(|(_, crd)| serde_json::from_slice(crd).ok())
    }

    /// Waits for the turn of a write that may use something of its namespace's quotas. To be held until it is committed.
    pub(crate) async fn pass(&self, store: &Store, kind: &Kind, namespace: &str) -> Option<Pass> {
        self.gate.pass(store, kind, namespace).await
    }

    /// Conditions and companions of a create.
    pub(crate) fn create(&self, store: &Store, target: &Target, new: &mut Value) -> Result<Vec<Op>, Status> {
        let mut ops = Vec::new();
        if let Some(definition) = target.kind.definition() {
            ops.push(definitions::open(definition, target, object::name(new))?);
        }
        if target.kind.namespaced {
            ops.push(open_namespace(store, target, object::name(new))?);
        }
        match target.kind.body {
            Body::Service => ops.extend(self.range.claim(store, new)?),
            Body::Pod => {
                limits::admit(store, target, new)?;
                pods::admit(store, target, new)?;
            }
            Body::PersistentVolumeClaim => {
                storage::protect(new, storage::CLAIM);
                limits::admit(store, target, new)?;
            }
            Body::Job => jobs::admit(target, new)?,
            Body::PersistentVolume => storage::protect(new, storage::VOLUME),
            Body::CustomResourceDefinition => match self.crd(object::name(new)) {
                Some(ours) => definitions::keep(&ours, new, &mut Vec::new()),
                None => definitions::admit(store, new)?,
            },
            _ => {}
        }
        Ok(ops)
    }

    /// Conditions and companions of an update.
    pub(crate) fn update(
        &self,
        store: &Store,
        kind: &Kind,
        new: &mut Value,
        old: &Value,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Op>, Status> {
        match kind.body {
            Body::Service => self.range.change(store, new, old),
            Body::CustomResourceDefinition => {
                match self.crd(object::name(new)) {
                    Some(ours) => definitions::keep(&ours, new, warnings),
                    None => definitions::change(new)?,
                }
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Refuses a create that is valid but for which a quota has no room.
    pub(crate) fn judge_create(&self, store: &Store, target: &Target, new: &Value) -> Result<(), Status> {
        quotas::admit(store, &target.kind, &target.namespace, new, None)
    }

    /// Refuses an update that is valid but not allowed.
    pub(crate) fn judge_update(
        &self,
        store: &Store,
        kind: &Kind,
        subresource: &str,
        new: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        match kind.body {
            Body::PersistentVolumeClaim if subresource.is_empty() => {
                storage::growth(store, kind.resource(), new, old)?;
                quotas::admit(store, kind, object::text(new, "namespace"), new, Some(old))
            }
            Body::Service if subresource.is_empty() => {
                quotas::admit(store, kind, object::text(new, "namespace"), new, Some(old))
            }
            _ => Ok(()),
        }
    }

    /// Companions of a deletion.
    pub(crate) fn delete(&self, kind: &Kind, old: &Value) -> Result<Vec<Op>, Status> {
        match kind.body {
            Body::Service => Ok(addresses::release(old)),
            Body::CustomResourceDefinition if self.crd(object::name(old)).is_some() => {
                Err(Status::forbidden(
                    kind.resource(),
                    object::name(old),
                    "this server is built to serve this kind; its definition cannot be deleted",
                ))
            }
            Body::Namespace if is_lasting(object::name(old)) => Err(Status::forbidden(
                kind.resource(),
                object::name(old),
                "this namespace may not be deleted",
            )),
            _ => Ok(Vec::new()),
        }
    }

    fn crd(&self, name: &str) -> Option<Value> {
        let (_, crd) = self.crds.iter().find(|(own, _)| own == name)?;
        serde_json::from_slice(crd).ok()
    }
}

/// Namespaces that Kubernetes never lets go.
fn is_lasting(name: &str) -> bool {
    matches!(name, "default" | "kube-system" | "kube-public")
}

/// Refuses a create in a namespace that is missing or on its way out.
fn open_namespace(store: &Store, target: &Target, name: &str) -> Result<Op, Status> {
    let namespace = &target.namespace;
    let key = stored::namespace_key(namespace);
    let entry = store.get(&key);
    let entry = entry.ok_or_else(|| Status::not_found(Qualified::new("", "namespaces"), namespace))?;
    let value: Value = serde_json::from_slice(&entry.value).map_err(Status::internal)?;
    if object::is_deleting(&value) || value["status"]["phase"] == "Terminating" {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        };
        let status = Status::forbidden(target.resource(), name, why);
        let details = status.details.as_deref().cloned().unwrap_or_default();
        return Err(status.with(Details { causes: vec![cause], ..details }));
    }
    Ok(Op::Check { key, expect: Expect::At(entry.revision) })
}
