//! A server and the controllers, in this process.
use apiserver::{Identity, Server};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A cluster without a node agent.
pub(crate) struct World {
    pub(crate) client: Client,
    _dir: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
    tasks: JoinSet<()>,
    controllers: CancellationToken,
}

/// Starts the server and the controllers.
pub(crate) async fn start() -> World {
    let mut world = server().await;
    world.control();
    world
}

/// Starts the server only.
pub(crate) async fn server() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(store::Config { dir: dir.path().join("store"), ..store::Config::default() }).unwrap();
    let config = apiserver::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pki_dir: dir.path().join("pki"),
        ..apiserver::Config::default()
    };
    let server = Server::build(config, store).await.unwrap();
    let client = server.client(Identity::component("test"));
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (token, controllers) = (stop.clone(), stop.child_token());
    tasks.spawn(async move { server.run(token).await });
    World { client, _dir: dir, _stop: stop.drop_guard(), tasks, controllers }
}

// === impl World ===

impl World {
    pub(crate) fn control(&mut self) {
        let config = cluster::Config { root_ca: "PEM".to_owned(), ..cluster::Config::default() };
        self.tasks.spawn(cluster::run(self.client.clone(), config, self.controllers.clone()));
    }

    /// Runs the controllers against a server that fails every deletion of a kind.
    pub(crate) fn control_refusing(&mut self, path: &'static str) {
        let inner = self.client.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let inner = inner.clone();
            async move {
                if request.method() == http::Method::DELETE && request.uri().path().contains(path) {
                    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": "refused by the test", "reason": "InternalError", "code": 500});
                    let reply = http::Response::builder().status(500);
                    return Ok(reply.body(kube::client::Body::from(body.to_string().into_bytes())).unwrap());
                }
                inner.send(request).await
            }
        });
        let client = Client::new(service, "default");
        let config = cluster::Config { root_ca: "PEM".to_owned(), ..cluster::Config::default() };
        self.tasks.spawn(cluster::run(client, config, self.controllers.clone()));
    }

    /// An API of any kind: `v1/Pod`, `apps/v1/ReplicaSet`.
    pub(crate) fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (api_version, kind) = kind.rsplit_once('/').unwrap();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let resource = if kind == "Endpoints" {
            ApiResource { plural: "endpoints".to_owned(), ..resource }
        } else {
            resource
        };
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    pub(crate) async fn create(&self, namespace: &str, object: Value) -> Value {
        let kind = format!("{}/{}", object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let made = self.api(&kind, namespace).create(&PostParams::default(), &object).await;
        serde_json::to_value(made.unwrap_or_else(|e| panic!("{kind}: {e}"))).unwrap()
    }

    pub(crate) async fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let found = self.api(kind, namespace).get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    pub(crate) async fn status(&self, kind: &str, namespace: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api(kind, namespace).patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    pub(crate) async fn patch(&self, kind: &str, namespace: &str, name: &str, patch: Value) {
        self.api(kind, namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    pub(crate) async fn delete(&self, kind: &str, namespace: &str, name: &str, policy: PropagationPolicy) {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        self.api(kind, namespace).delete(name, &params).await.unwrap();
    }

    /// Waits until an object is as wanted.
    pub(crate) async fn until(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let found = self.get(kind, namespace, name).await;
            if let Some(object) = found.as_ref().filter(|object| wanted(object)) {
                return object.clone();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{kind} {namespace}/{name} is {found:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until an object is gone.
    pub(crate) async fn gone(&self, kind: &str, namespace: &str, name: &str) {
        let start = Instant::now();
        while let Some(object) = self.get(kind, namespace, name).await {
            assert!(start.elapsed() < Duration::from_secs(20), "still there: {object:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The notes of all events about an object.
    pub(crate) async fn notes(&self, namespace: &str, about: &str) -> Vec<String> {
        let list = self.api("events.k8s.io/v1/Event", namespace).list(&Default::default()).await.unwrap();
        let events = list.items.into_iter().map(|event| event.data);
        events
            .filter(|event| event["regarding"]["name"] == about)
            .map(|event| {
                format!(
                    "{}: {}",
                    event["reason"].as_str().unwrap_or(""),
                    event["note"].as_str().unwrap_or("")
                )
            })
            .collect()
    }

    /// Makes a node that pods can go to.
    pub(crate) async fn node(&self, allocatable: Value) {
        self.create("", json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "host", "labels": {"disk": "ssd"}}})).await;
        self.status("v1/Node", "", "host", json!({"allocatable": allocatable, "capacity": allocatable}))
            .await;
    }
}

pub(crate) fn map(name: &str, owners: &[(&Value, bool)]) -> Value {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(owner, blocks)| {
            json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks})
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owners}})
}

pub(crate) fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}
