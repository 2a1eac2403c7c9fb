//! What every namespace has from the start: the service account `default`, whose token is mounted nowhere by itself, and
//! the certificate of the API server's CA.
use crate::guarded::outcome;
use crate::namespaces;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use kubekit::{Change, Failure, Informer, Key, Outcome, Queue, Reader, informer};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const WORKERS: usize = 2;

/// The controller and its own informers.
pub(crate) struct Accounts {
    client: Client,
    root_ca: Arc<str>,
    namespaces: Reader<namespaces::View>,
    accounts: Informer<ServiceAccount, ()>,
    /// Whether the map holds the certificate.
    maps: Informer<ConfigMap, bool>,
    queue: Queue<Key>,
}

#[derive(Clone)]
struct Worker {
    client: Client,
    root_ca: Arc<str>,
    namespaces: Reader<namespaces::View>,
    accounts: Reader<()>,
    maps: Reader<bool>,
}

// === impl Accounts ===

impl Accounts {
    pub(crate) fn new(client: Client, root_ca: &str, namespaces: Reader<namespaces::View>) -> Accounts {
        let queue = Queue::<Key>::default();
        let named = |name: &str| informer::Config {
            fields: Some(format!("metadata.name={name}")),
            ..informer::Config::default()
        };
        let (on_account, on_map) = (queue.clone(), queue.clone());
        let ca: Arc<str> = root_ca.into();
        let expected = Arc::clone(&ca);
        let holds = move |map: ConfigMap| {
            map.data.as_ref().and_then(|data| data.get("ca.crt")).is_some_and(|text| **text == *expected)
        };
        Accounts {
            accounts: Informer::new(client.clone(), named(ACCOUNT), |_: ServiceAccount| ())
                .on_change(move |change| on_account.add(Key::new("", &change.key.namespace))),
            maps: Informer::new(client.clone(), named(ROOT_CA), holds)
                .on_change(move |change| on_map.add(Key::new("", &change.key.namespace))),
            client,
            root_ca: ca,
            namespaces,
            queue,
        }
    }

    /// To be called when a namespace changes.
    pub(crate) fn listener(&self) -> impl Fn(&Change<'_, namespaces::View>) + Send + Sync + 'static + use<> {
        let queue = self.queue.clone();
        move |change| queue.add(change.key.clone())
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let worker = Worker {
            client: self.client,
            root_ca: self.root_ca,
            namespaces: self.namespaces,
            accounts: self.accounts.reader(),
            maps: self.maps.reader(),
        };
        let (queue, token) = (self.queue, shutdown.clone());
        let work = async {
            let synced = async {
                tokio::join!(worker.namespaces.synced(), worker.accounts.synced(), worker.maps.synced())
            };
            if token.run_until_cancelled(synced).await.is_none() {
                return;
            }
            let work = move |key: Key| {
                let worker = worker.clone();
                async move { outcome("accounts", &key, worker.ensure(&key).await) }
            };
            queue.work(WORKERS, token.clone(), work).await;
        };
        tokio::join!(self.accounts.run(shutdown.clone()), self.maps.run(shutdown.clone()), work);
    }
}

// === impl Worker ===

impl Worker {
    async fn ensure(&self, namespace: &Key) -> Result<Outcome, kube::Error> {
        if self.namespaces.get(namespace).is_none_or(|view| view.deleting) {
            return Ok(Outcome::Done);
        }
        if self.accounts.get(&Key::new(&namespace.name, ACCOUNT)).is_none() {
            self.create_account(&namespace.name).await?;
        }
        match self.maps.get(&Key::new(&namespace.name, ROOT_CA)).as_deref() {
            _ if self.root_ca.is_empty() => {}
            Some(true) => {}
            Some(false) => self.restore_map(&namespace.name).await?,
            None => self.create_map(&namespace.name).await?,
        }
        Ok(Outcome::Done)
    }

    async fn create_account(&self, namespace: &str) -> Result<(), kube::Error> {
        let account = ServiceAccount {
            metadata: named(ACCOUNT),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        unless_there(api.create(&PostParams::default(), &account).await.map(drop))
    }

    async fn create_map(&self, namespace: &str) -> Result<(), kube::Error> {
        let note = "Contains a CA bundle that can be used to verify the API server.";
        let annotations = [("kubernetes.io/description".to_owned(), note.to_owned())];
        let map = ConfigMap {
            metadata: ObjectMeta { annotations: Some(annotations.into()), ..named(ROOT_CA) },
            data: Some(BTreeMap::from([("ca.crt".to_owned(), self.root_ca.to_string())])),
            ..ConfigMap::default()
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        unless_there(api.create(&PostParams::default(), &map).await.map(drop))
    }

    /// Somebody changed it: the certificate is put back.
    async fn restore_map(&self, namespace: &str) -> Result<(), kube::Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let data = json!({"data": {"ca.crt": &*self.root_ca}});
        api.patch(ROOT_CA, &PatchParams::default(), &Patch::Merge(data)).await.map(drop)
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// There already, or in a namespace that is going: both are fine.
fn unless_there(created: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match created {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) if Failure::of(&error) == Failure::AlreadyExists => Ok(()),
        other => other,
    }
}
