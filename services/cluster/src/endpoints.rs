//! Tells who stands behind each Service that selects pods, as Endpoints and as EndpointSlices.
mod plan;

use crate::guarded::outcome;
use crate::view::PodView;
use k8s_openapi::api::core::v1::{Endpoints as Object, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use kubekit::write::{self, DeleteOptions};
use kubekit::{Change, Failure, Informer, Key, Outcome, Precondition, Queue, Reader, informer};
use plan::ServiceView;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const WORKERS: usize = 2;

/// The controller and its own informers.
pub(crate) struct Endpoints {
    client: Client,
    queue: Queue<Key>,
    pods: Reader<PodView>,
    services: Informer<Service, ServiceView>,
    /// Fingerprints of what we wrote, so that somebody else's change is put right.
    objects: Informer<Object, ()>,
    slices: Informer<EndpointSlice, ()>,
}

#[derive(Clone)]
struct Worker {
    client: Client,
    pods: Reader<PodView>,
    services: Reader<ServiceView>,
}

// === impl Endpoints ===

impl Endpoints {
    pub(crate) fn new(client: Client, pods: Reader<PodView>) -> Endpoints {
        let queue = Queue::<Key>::default();
        let (on_service, on_object, on_slice) = (queue.clone(), queue.clone(), queue.clone());
        let managed =
            informer::Config { labels: Some(plan::managed_slices()), ..informer::Config::default() };
        Endpoints {
            services: Informer::new(client.clone(), informer::Config::default(), ServiceView::of)
                .index("namespace", |key, _| vec![key.namespace.clone()])
                .on_change(move |change| on_service.add(change.key.clone())),
            objects: Informer::new(client.clone(), informer::Config::default(), |_: Object| ())
                .on_change(move |change| on_object.add(change.key.clone())),
            slices: Informer::new(client.clone(), managed, |_: EndpointSlice| ()).on_change(move |change| {
                // `<service>-<five characters>`
                let service =
                    change.key.name.rsplit_once('-').map_or(&*change.key.name, |(service, _)| service);
                on_slice.add(Key::new(&change.key.namespace, service));
            }),
            client,
            queue,
            pods,
        }
    }

    /// To be called when a pod changes.
    pub(crate) fn listener(&self) -> impl Fn(&Change<'_, PodView>) + Send + Sync + 'static + use<> {
        let (queue, services) = (self.queue.clone(), self.services.reader());
        move |change| {
            if change.old.zip(change.new).is_some_and(|(old, new)| plan::same(old, new)) {
                return;
            }
            let selected = |service: &ServiceView| {
                change.old.into_iter().chain(change.new).any(|pod| service.selects(&pod.labels))
            };
            let around = services.by_index("namespace", &change.key.namespace);
            around.into_iter().filter(|(_, service)| selected(service)).for_each(|(key, _)| queue.add(key));
        }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let worker = Worker { client: self.client, pods: self.pods, services: self.services.reader() };
        let (queue, token) = (self.queue, shutdown.clone());
        let work = async {
            let synced = async { tokio::join!(worker.services.synced(), worker.pods.synced()) };
            if token.run_until_cancelled(synced).await.is_none() {
                return;
            }
            let work = move |key: Key| {
                let worker = worker.clone();
                async move { outcome("endpoints", &key, worker.ensure(&key).await) }
            };
            queue.work(WORKERS, token.clone(), work).await;
        };
        let informers = async {
            tokio::join!(
                self.services.run(shutdown.clone()),
                self.objects.run(shutdown.clone()),
                self.slices.run(shutdown.clone())
            )
        };
        tokio::join!(informers, work);
    }
}

// === impl Worker ===

impl Worker {
    async fn ensure(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(service) = self.services.get(key).filter(|service| !service.deleting) else {
            return self.remove(key).await;
        };
        if service.selector.is_empty() || service.external {
            return Ok(Outcome::Done);
        }
        let pods: Vec<(Key, Arc<PodView>)> = self.pods.by_index("namespace", &key.namespace);
        let members = plan::members(&service, &pods);
        self.ensure_object(key, &plan::object(key, &service, &members)).await?;
        self.ensure_slices(key, &plan::slices(key, &service, &members)).await?;
        Ok(Outcome::Done)
    }

    /// Slices have their Service as owner; the Endpoints object has none in Kubernetes either, and goes here.
    async fn remove(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &key.namespace);
        let api: Api<Object> = Api::namespaced(self.client.clone(), &key.namespace);
        let Some(object) = api.get_opt(&key.name).await? else { return Ok(Outcome::Done) };
        let ours = object.metadata.labels.as_ref().is_some_and(plan::is_managed);
        if ours
            && services
                .get_metadata_opt(&key.name)
                .await?
                .is_none_or(|live| live.metadata.deletion_timestamp.is_some())
            && let Some(at) = Precondition::of(&object.metadata)
        {
            write::delete(&api, &key.name, &at, &DeleteOptions::default()).await?;
        }
        Ok(Outcome::Done)
    }

    async fn ensure_object(&self, key: &Key, wanted: &Value) -> Result<(), kube::Error> {
        let api: Api<Object> = Api::namespaced(self.client.clone(), &key.namespace);
        let Some(live) = api.get_opt(&key.name).await? else {
            return create(&api, wanted).await;
        };
        let labels = json!({"metadata": {"labels": wanted["metadata"]["labels"]}});
        let actual = serde_json::to_value(&live).map_err(kube::Error::SerdeError)?;
        let labelled = wanted["metadata"]["labels"] == actual["metadata"]["labels"];
        if labelled && plan::subsets(&actual) == plan::subsets(wanted) {
            return Ok(());
        }
        let Some(at) = Precondition::of(&live.metadata) else { return Ok(()) };
        let mut patch = labels;
        patch["subsets"] = wanted["subsets"].clone();
        write::patch(&api, &key.name, &at, patch).await.map(drop)
    }

    async fn ensure_slices(&self, key: &Key, wanted: &[Value]) -> Result<(), kube::Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        let live = api.list(&ListParams::default().labels(&plan::slices_of(&key.name))).await?.items;
        for slice in wanted {
            let name = slice["metadata"]["name"].as_str().unwrap_or_default();
            match live.iter().find(|object| object.metadata.name.as_deref() == Some(name)) {
                None => create(&api, slice).await?,
                Some(old) => update_slice(&api, name, old, slice).await?,
            }
        }
        let names: Vec<_> = wanted.iter().filter_map(|slice| slice["metadata"]["name"].as_str()).collect();
        for surplus in
            live.iter().filter(|old| old.metadata.name.as_deref().is_none_or(|name| !names.contains(&name)))
        {
            if let Some(at) = Precondition::of(&surplus.metadata) {
                let name = surplus.metadata.name.as_deref().unwrap_or_default();
                write::delete(&api, name, &at, &DeleteOptions::default()).await?;
            }
        }
        Ok(())
    }
}

async fn update_slice(
    api: &Api<EndpointSlice>,
    name: &str,
    old: &EndpointSlice,
    wanted: &Value,
) -> Result<(), kube::Error> {
    let actual = serde_json::to_value(old).map_err(kube::Error::SerdeError)?;
    let Some(at) = Precondition::of(&old.metadata) else { return Ok(()) };
    if plan::slice_content(&actual) == plan::slice_content(wanted) {
        return Ok(());
    }
    let patch = json!({"endpoints": wanted["endpoints"], "ports": wanted["ports"],
        "metadata": {"labels": wanted["metadata"]["labels"], "ownerReferences": wanted["metadata"]["ownerReferences"]}});
    write::patch(api, name, &at, patch).await.map(drop)
}

async fn create<K>(api: &Api<K>, object: &Value) -> Result<(), kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        // A namespace on its way out takes nothing new.
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) if Failure::of(&error) == Failure::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}
