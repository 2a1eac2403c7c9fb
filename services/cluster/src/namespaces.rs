//! Empties namespaces that are being deleted, then lets them go.
mod conditions;

use crate::guarded::outcome;
use crate::resources::{Resource, Resources};
use conditions::Remaining;
use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, PostParams, PropagationPolicy};
use kube::core::{DynamicObject, ObjectMeta};
use kube::{Api, Client};
use kubekit::write::{self, DeleteOptions};
use kubekit::{Board, Change, Failure, Key, Outcome, Precondition, Queue};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Namespaces emptied at the same time, and objects of one deleted at the same time.
const WORKERS: usize = 2;
const AT_ONCE: usize = 8;
/// Objects per page of a list.
const PAGE: u32 = 500;
/// A namespace that does not become empty is looked at again at least this often: its pods take their grace period.
const PATIENCE: Duration = Duration::from_secs(2);

/// The controller.
#[derive(Clone)]
pub(crate) struct Namespaces {
    client: Client,
    resources: Arc<Resources>,
    queue: Queue<Key>,
}

/// What is kept of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) deleting: bool,
}

// === impl Namespaces ===

impl Namespaces {
    pub(crate) fn new(client: Client, resources: &Arc<Resources>) -> Namespaces {
        Namespaces { client, resources: Arc::clone(resources), queue: Queue::default() }
    }

    /// Shows its queue.
    pub(crate) fn show(&self, board: &Board) {
        board.show("namespace", &self.queue);
    }

    pub(crate) fn changed(&self, change: &Change<'_, View>) {
        if change.new.is_some_and(|namespace| namespace.deleting) {
            self.queue.add(change.key.clone());
        }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let queue = self.queue.clone();
        queue
            .work(WORKERS, shutdown, move |key| {
                let this = self.clone();
                async move { outcome("namespaces", &key, this.empty(&key.name).await) }
            })
            .await;
    }

    async fn empty(&self, name: &str) -> Result<Outcome, kube::Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let Some(namespace) = api.get_opt(name).await? else { return Ok(Outcome::Done) };
        let open =
            namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref()).is_some_and(|f| !f.is_empty());
        if namespace.metadata.deletion_timestamp.is_none() || !open {
            return Ok(Outcome::Done);
        }
        let mut remaining = Remaining::default();
        // Pods first: what they run may still need their secrets, claims and network policies.
        let is_pod = |resource: &&Resource| resource.api.group.is_empty() && resource.api.plural == "pods";
        let resources = self.resources.current();
        let namespaced = || resources.iter().filter(|resource| resource.namespaced);
        for resource in namespaced().filter(is_pod) {
            self.delete_all(name, resource, &mut remaining).await;
        }
        if remaining.is_empty() {
            for resource in namespaced().filter(|resource| !is_pod(resource)) {
                self.delete_all(name, resource, &mut remaining).await;
            }
        }
        if remaining.is_empty() {
            return self.finalize(&api, namespace).await.map(|()| Outcome::Done);
        }
        self.report(&api, &namespace, &remaining).await?;
        Ok(Outcome::RetryWithin(PATIENCE))
    }

    /// Deletes what is there of a kind and counts what stays. What fails is said, and holds up no other kind.
    async fn delete_all(&self, namespace: &str, resource: &Resource, left: &mut Remaining) {
        match self.delete_pages(namespace, resource, left).await {
            Err(error) if Failure::of(&error) != Failure::NotFound => left.failed(&resource.api, &error),
            _ => {}
        }
    }

    async fn delete_pages(
        &self,
        namespace: &str,
        resource: &Resource,
        left: &mut Remaining,
    ) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource.api);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api.list_metadata(&page).await?;
            let token = list.metadata.continue_.clone();
            let deletions = list.items.into_iter().map(|object| delete(api.clone(), object.metadata));
            let done: Vec<_> = stream::iter(deletions).buffered(AT_ONCE).collect().await;
            for outcome in done {
                match outcome {
                    Ok(None) => {}
                    Ok(Some(meta)) => {
                        left.count(&resource.api, meta.finalizers.as_deref().unwrap_or_default())
                    }
                    Err(error) => left.failed(&resource.api, &error),
                }
            }
            match token.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(()),
            }
        }
    }

    async fn finalize(&self, api: &Api<Namespace>, mut namespace: Namespace) -> Result<(), kube::Error> {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != "kubernetes");
        }
        let body = serde_json::to_vec(&namespace).map_err(kube::Error::SerdeError)?;
        // The answer of the last one may be the namespace or a bare status: either means that it is done.
        let answer: Result<Value, _> = api.replace_subresource_raw("finalize", &name, body).await;
        answer.map(drop)
    }

    async fn report(
        &self,
        api: &Api<Namespace>,
        namespace: &Namespace,
        remaining: &Remaining,
    ) -> Result<(), kube::Error> {
        let Some(at) = Precondition::of(&namespace.metadata) else { return Ok(()) };
        let old = namespace.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        let Some(new) = remaining.conditions(&old, jiff::Timestamp::now()) else { return Ok(()) };
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        write::patch_status(api, name, &at, json!({"conditions": new})).await.map(drop)
    }
}

/// Deletes one object, unless that is under way. None if it is gone, the object if it stays for now.
async fn delete(api: Api<DynamicObject>, meta: ObjectMeta) -> Result<Option<ObjectMeta>, kube::Error> {
    let Some(at) = Precondition::of(&meta).filter(|_| meta.deletion_timestamp.is_none()) else {
        return Ok(Some(meta));
    };
    let options =
        DeleteOptions { propagation: Some(PropagationPolicy::Background), ..DeleteOptions::default() };
    let name = meta.name.clone().unwrap_or_default();
    match write::delete(&api, &name, &at, &options).await {
        Ok(true) => Ok(api.get_metadata_opt(&name).await?.map(|live| live.metadata)),
        Ok(false) => Ok(None),
        // It changed meanwhile: counted as there, and tried again in the next pass.
        Err(error) if Failure::of(&error) == Failure::Conflict => Ok(Some(meta)),
        Err(error) => Err(error),
    }
}

/// `PUT .../finalize`, with any answer.
trait ReplaceRaw {
    async fn replace_subresource_raw(
        &self,
        subresource: &str,
        name: &str,
        body: Vec<u8>,
    ) -> Result<Value, kube::Error>;
}

impl ReplaceRaw for Api<Namespace> {
    async fn replace_subresource_raw(
        &self,
        subresource: &str,
        name: &str,
        body: Vec<u8>,
    ) -> Result<Value, kube::Error> {
        let request = kube::core::Request::new(self.resource_url());
        let request = request.replace_subresource(subresource, name, &PostParams::default(), body);
        self.clone().into_client().request(request.map_err(kube::Error::BuildRequest)?).await
    }
}
