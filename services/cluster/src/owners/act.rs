//! Looks at one object and does what was decided about it.
use super::decide::{State, Verdict, judge};
use super::graph::{FOREGROUND, Graph, Item, Known, ORPHAN, Owner, Place};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PropagationPolicy;
use kube::core::{DynamicObject, ObjectMeta};
use kube::{Api, Client};
use kubekit::Precondition;
use kubekit::write::{self, DeleteOptions};
use serde_json::json;

/// Brings one object on its way.
pub(super) async fn look_at(client: &Client, graph: &Graph, item: &Item) -> Result<(), kube::Error> {
    let Some(cached) = graph.get(item) else { return Ok(()) };
    if !cached.deleting && cached.owners.iter().all(|owner| is_solid(graph, owner, item)) {
        return Ok(());
    }
    let api = api(client, graph, item);
    let Some(live) = api.get_metadata_opt(&item.key.name).await? else { return Ok(()) };
    let (meta, known) = (live.metadata.clone(), Known::of(&live.metadata));
    let Some(at) = Precondition::of(&meta).filter(|_| known.uid == cached.uid) else { return Ok(()) };
    let object = Object { client, graph, item, api, meta, known, at };
    match object.known {
        Known { deleting: true, orphans: true, .. } => object.orphan_dependents().await,
        Known { deleting: true, foreground: true, .. } => object.wait_for_dependents().await,
        Known { deleting: true, .. } => Ok(()),
        _ => object.judge().await,
    }
}

/// One object as the server has it now.
struct Object<'a> {
    client: &'a Client,
    graph: &'a Graph,
    item: &'a Item,
    api: Api<DynamicObject>,
    meta: ObjectMeta,
    known: Known,
    at: Precondition,
}

// === impl Object ===

impl Object<'_> {
    async fn judge(&self) -> Result<(), kube::Error> {
        let mut states = Vec::with_capacity(self.known.owners.len());
        for owner in &self.known.owners {
            states.push((owner.clone(), self.state(owner).await?));
        }
        let dependents = self.graph.dependents(&self.known.uid);
        let dependents: Vec<&Known> = dependents.iter().map(|(_, known)| &**known).collect();
        match judge(&self.known, &states, &dependents) {
            Verdict::Keep => Ok(()),
            Verdict::Disown(owners) => self.set_owners(|o| !owners.iter().any(|uid| **uid == o.uid)).await,
            Verdict::Delete(policy) => self.delete(policy).await,
            Verdict::BreakCircle => self.break_circle().await,
        }
    }

    /// The state of an owner. Only the server can say that it is absent.
    async fn state(&self, owner: &Owner) -> Result<State, kube::Error> {
        if self.graph.is_absent(&owner.uid) {
            return Ok(State::Absent);
        }
        let item = match self.graph.locate(owner, &self.item.key.namespace) {
            Some(Place::At(item)) => item,
            Some(Place::Impossible) | None => return Ok(State::Unknown),
        };
        let living =
            |known: &Known| if known.deleting && known.foreground { State::Waiting } else { State::Solid };
        if let Some(known) = self.graph.get(&item).filter(|known| known.uid == owner.uid) {
            return Ok(living(&known));
        }
        let found = match api(self.client, self.graph, &item).get_metadata(&owner.name).await {
            Ok(live) => Some(live),
            // A kind that is no longer served gives another 404, which says nothing of the object.
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => None,
            Err(error) => return Err(error),
        };
        let found = found.map(|live| Known::of(&live.metadata)).filter(|known| known.uid == owner.uid);
        Ok(found.as_ref().map_or(State::Absent, living))
    }

    async fn delete(&self, policy: PropagationPolicy) -> Result<(), kube::Error> {
        let options = DeleteOptions { propagation: Some(policy), ..DeleteOptions::default() };
        write::delete(&self.api, &self.item.key.name, &self.at, &options).await.map(drop)
    }

    async fn break_circle(&self) -> Result<(), kube::Error> {
        let mut owners: Vec<OwnerReference> = self.meta.owner_references.clone().unwrap_or_default();
        owners.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
        let patched = self.patch(json!({"ownerReferences": owners})).await?;
        let at = Precondition::of(&patched.metadata).unwrap_or_else(|| self.at.clone());
        let options =
            DeleteOptions { propagation: Some(PropagationPolicy::Foreground), ..DeleteOptions::default() };
        write::delete(&self.api, &self.item.key.name, &at, &options).await.map(drop)
    }

    /// Foreground deletion: the finalizer goes when nothing blocks any more.
    async fn wait_for_dependents(&self) -> Result<(), kube::Error> {
        self.graph.settled().await;
        let dependents = self.graph.dependents(&self.known.uid);
        let mut blocking =
            dependents.into_iter().filter(|(_, known)| known.blocks(&self.known.uid)).peekable();
        if blocking.peek().is_none() {
            return self.drop_finalizer(FOREGROUND).await;
        }
        blocking.filter(|(_, known)| !known.deleting).for_each(|(item, _)| self.graph.queue().add(item));
        Ok(())
    }

    /// Orphan deletion: every dependent loses this owner, then the finalizer goes.
    async fn orphan_dependents(&self) -> Result<(), kube::Error> {
        self.graph.settled().await;
        for (item, _) in self.graph.dependents(&self.known.uid) {
            let api = api(self.client, self.graph, &item);
            let Some(live) = api.get_metadata_opt(&item.key.name).await? else { continue };
            let Some(at) = Precondition::of(&live.metadata) else { continue };
            let (known, meta) = (Known::of(&live.metadata), live.metadata);
            let dependent =
                Object { client: self.client, graph: self.graph, item: &item, api, meta, known, at };
            dependent.set_owners(|owner| *owner.uid != *self.known.uid).await?;
        }
        self.drop_finalizer(ORPHAN).await
    }

    async fn set_owners(&self, keep: impl Fn(&OwnerReference) -> bool) -> Result<(), kube::Error> {
        let owners = self.meta.owner_references.iter().flatten().filter(|owner| keep(owner));
        let owners: Vec<_> = owners.cloned().collect();
        if Some(owners.len()) == self.meta.owner_references.as_ref().map(Vec::len) {
            return Ok(());
        }
        self.patch(json!({"ownerReferences": owners})).await.map(drop)
    }

    async fn drop_finalizer(&self, name: &str) -> Result<(), kube::Error> {
        let left: Vec<_> =
            self.meta.finalizers.iter().flatten().filter(|finalizer| *finalizer != name).collect();
        self.patch(json!({"finalizers": left})).await.map(drop)
    }

    async fn patch(&self, metadata: serde_json::Value) -> Result<DynamicObject, kube::Error> {
        write::patch(&self.api, &self.item.key.name, &self.at, json!({"metadata": metadata})).await
    }
}

/// Known to exist and not on its way out in the foreground: no request is needed to keep what it owns.
fn is_solid(graph: &Graph, owner: &Owner, item: &Item) -> bool {
    match graph.locate(owner, &item.key.namespace) {
        Some(Place::At(item)) => graph
            .get(&item)
            .is_some_and(|known| known.uid == owner.uid && !(known.deleting && known.foreground)),
        _ => false,
    }
}

fn api(client: &Client, graph: &Graph, item: &Item) -> Api<DynamicObject> {
    let resource = graph.resource(item);
    if resource.namespaced {
        Api::namespaced_with(client.clone(), &item.key.namespace, &resource.api)
    } else {
        Api::all_with(client.clone(), &resource.api)
    }
}
