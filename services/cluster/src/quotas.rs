//! Writes into each ResourceQuota what is used of it.
//!
//! Only for people: admission counts for itself, so nothing depends on these numbers being fresh.

use crate::guarded::outcome;
use crate::resources::{Resource, Resources};
use k8s_openapi::api::core::v1::ResourceQuota;
use kinds::quota::{self, Amounts};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use kubekit::{Change, Informer, Key, Outcome, Precondition, Queue, Reader, informer, write};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wire::Quantity;

const BY_NAMESPACE: &str = "namespace";
/// Changes that come together are counted together.
const QUIET: Duration = Duration::from_millis(100);
const WORKERS: usize = 1;

/// The controller and its informer.
pub(crate) struct Quotas {
    counter: Counter,
    watched: Informer<ResourceQuota, ResourceQuota>,
}

/// Counts what is used.
#[derive(Clone)]
pub(crate) struct Counter {
    client: Client,
    resources: Arc<Resources>,
    queue: Queue<Key>,
    quotas: Reader<ResourceQuota>,
}

// === impl Quotas ===

impl Quotas {
    pub(crate) fn new(client: Client, resources: &Arc<Resources>) -> Quotas {
        let queue = Queue::<Key>::default();
        let on_quota = queue.clone();
        let watched =
            Informer::new(client.clone(), informer::Config::default(), |quota: ResourceQuota| quota)
                .index(BY_NAMESPACE, |key, _| vec![key.namespace.clone()])
                .on_change(move |change| on_quota.add_after(change.key.clone(), QUIET));
        let counter = Counter { client, resources: Arc::clone(resources), queue, quotas: watched.reader() };
        Quotas { counter, watched }
    }

    pub(crate) fn counter(&self) -> Counter {
        self.counter.clone()
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let (counter, queue) = (self.counter, shutdown.clone());
        let work = async {
            if queue.run_until_cancelled(counter.quotas.synced()).await.is_none() {
                return;
            }
            let keys = counter.queue.clone();
            let count = move |key: Key| {
                let counter = counter.clone();
                async move { outcome("quotas", &key, counter.count(&key).await) }
            };
            keys.work(WORKERS, queue.clone(), count).await;
        };
        tokio::join!(self.watched.run(shutdown.clone()), work);
    }
}

// === impl Counter ===

impl Counter {
    /// To be called when an object of any kind changes.
    pub(crate) fn listener<T>(&self) -> impl Fn(&Change<'_, T>) + Send + Sync + 'static + use<T> {
        let counter = self.clone();
        move |change| {
            if change.key.namespace.is_empty() || counter.quotas.is_empty() {
                return;
            }
            for (key, _) in counter.quotas.by_index(BY_NAMESPACE, &change.key.namespace) {
                counter.queue.add_after(key, QUIET);
            }
        }
    }

    async fn count(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(quota) = self.quotas.get(key) else { return Ok(Outcome::Done) };
        let value = serde_json::to_value(&*quota).map_err(kube::Error::SerdeError)?;
        let hard = quota::hard(&value);
        let mut used: Amounts = hard.keys().map(|name| (name.clone(), Quantity::ZERO)).collect();
        for resource in self.resources.current().iter().filter(|resource| resource.namespaced) {
            let (group, plural) = (&resource.api.group, &resource.api.plural);
            if hard.keys().any(|name| quota::provides(group, plural, name)) {
                let more = self.used(key, resource, &value).await?;
                quota::add(&mut used, &quota::mask(&more, &hard));
            }
        }
        let texts: serde_json::Map<String, Value> =
            used.into_iter().map(|(name, amount)| (name, amount.to_string().into())).collect();
        let wanted = json!({"hard": value["spec"]["hard"], "used": texts});
        let known = value.get("status").cloned().unwrap_or_else(|| json!({}));
        let Some(patch) = workloads::deployment::difference(&known, &wanted) else {
            return Ok(Outcome::Done);
        };
        let Some(at) = Precondition::of(&quota.metadata) else { return Ok(Outcome::Done) };
        let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
        let written = write::patch_status(&api, &key.name, &at, patch).await?;
        let revision = written.metadata.resource_version.clone().unwrap_or_default();
        self.quotas.remember(key, &revision, written);
        Ok(Outcome::Done)
    }

    /// What the objects of a kind use of a quota.
    async fn used(&self, key: &Key, resource: &Resource, limit: &Value) -> Result<Amounts, kube::Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &resource.api);
        let (group, plural) = (&resource.api.group, &resource.api.plural);
        let all = ListParams::default();
        let mut sum = Amounts::new();
        if quota::uses_only_counts(group, plural) {
            let count = api.list_metadata(&all).await?.items.len();
            let one = quota::usage(group, plural, &Value::Null);
            let count = Quantity::units(i64::try_from(count).unwrap_or(i64::MAX));
            // A quota with scopes is about pods.
            let counts = quota::covers(limit, group, plural, &Value::Null);
            return Ok(if counts { one.into_keys().map(|name| (name, count)).collect() } else { sum });
        }
        for object in api.list(&all).await?.items {
            let object = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
            if quota::covers(limit, group, plural, &object) {
                quota::add(&mut sum, &quota::usage(group, plural, &object));
            }
        }
        Ok(sum)
    }
}
