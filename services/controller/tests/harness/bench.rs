//! The real API server in this process, the controllers against it, and a kubelet that plays along.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "part of a test"
)]

use apiserver::{Identity, Server};
use controller::{Config, Controller, Metrics};
use crd::v1beta1::{LenientSandbox, Sandbox};
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::client::Body;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;
use telemetry::{Clock, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Method, end of the path, code.
pub type Fault = (&'static str, &'static str, u16);

/// What goes wrong between the controller and the server.
#[derive(Clone, Default)]
pub struct Faults {
    /// Watch events arrive this late.
    pub watch_delay: Duration,
    /// The next requests of this method whose path ends so are answered with this code.
    pub fail: Arc<Mutex<Vec<Fault>>>,
    /// All requests of this method whose path ends so are answered with this code, until it is taken away.
    pub outage: Arc<Mutex<Option<Fault>>>,
    /// Watches whose path ends so say nothing, until it is taken away.
    pub held_watch: Arc<watch::Sender<Option<&'static str>>>,
    /// The next requests of this method whose path ends so are carried out, but answered with 504.
    pub lose_answer: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

/// A server, and what runs against it.
pub struct Bench {
    pub client: Client,
    pub sandboxes: Api<Sandbox>,
    pub pods: Api<Pod>,
    pub services: Api<Service>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

/// A running controller.
pub struct Running {
    pub metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Bench {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = store::Config { dir: dir.path().join("store"), ..store::Config::default() };
        let config = apiserver::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            pki_dir: dir.path().join("pki"),
            ..apiserver::Config::default()
        };
        let server = Server::build(config, Store::open(store).unwrap()).await.unwrap();
        let client = server.client(Identity::component("test"));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let run = server.run(stop.clone());
            async move {
                let _ = run.await;
            }
        });
        Self {
            sandboxes: Api::namespaced(client.clone(), "default"),
            pods: Api::namespaced(client.clone(), "default"),
            services: Api::namespaced(client.clone(), "default"),
            client,
            tasks,
            stop,
            _dir: dir,
        }
    }

    /// Starts the controllers.
    pub async fn controller(&self, faults: Faults) -> Running {
        self.controller_at(faults, Arc::new(SystemClock)).await
    }

    /// Starts the controllers with a clock of their own.
    pub async fn controller_at(&self, faults: Faults, clock: Arc<dyn Clock>) -> Running {
        let config = Config { clock, ..Config::default() };
        let controller = Controller::build(config, faulty(self.client.clone(), faults));
        let (metrics, stop) = (controller.metrics(), CancellationToken::new());
        let mut task = JoinSet::new();
        task.spawn(controller.run(stop.clone()));
        Running { metrics, stop, task }
    }

    /// Starts a kubelet that brings Pods up after `delay` and lets deleted ones go.
    pub fn kubelet(&mut self, delay: Duration) {
        let (pods, stop) = (self.pods.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            Box::pin(stop.run_until_cancelled(kubelet(pods, delay))).await;
        });
    }

    pub async fn create(&self, name: &str, spec: Value) -> Sandbox {
        let sandbox: Sandbox = serde_json::from_value(json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": name}, "spec": with_pod(spec)
        }))
        .unwrap();
        self.sandboxes.create(&PostParams::default(), &sandbox).await.unwrap()
    }

    /// Creates a Sandbox of this JSON, as it stands there.
    pub async fn create_raw(&self, name: &str, spec: Value) {
        let kind = ApiResource::erase::<Sandbox>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &kind);
        let object = DynamicObject::new(name, &kind).data(json!({ "spec": with_pod(spec) }));
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Every state of Ready that a watch of this Sandbox sees from now on, as `True DependenciesReady`.
    pub fn watch_ready(&mut self, name: &str) -> Seen {
        let seen = Seen::default();
        let (log, stop) = (Arc::clone(&seen.0), self.stop.clone());
        let (sandboxes, name) = (self.sandboxes.clone(), name.to_owned());
        self.tasks.spawn(async move {
            Box::pin(stop.run_until_cancelled(record(sandboxes, name, log))).await;
        });
        seen
    }

    pub async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let lenient: Api<LenientSandbox> = Api::namespaced(self.client.clone(), "default");
        lenient.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until Ready says so: `True DependenciesReady` for example.
    pub async fn wait_ready(&self, name: &str, expected: &str) -> Sandbox {
        let start = Instant::now();
        loop {
            let lenient: Api<LenientSandbox> = Api::namespaced(self.client.clone(), "default");
            let sandbox = lenient.get(name).await.unwrap().sandbox;
            let ready = condition(&sandbox, "Ready");
            if ready.starts_with(expected) {
                return sandbox;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{name}: {ready}, expected {expected}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What a watch has seen of a Sandbox.
#[derive(Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// Everything up to the moment at which it ends with `last`.
    pub async fn until(&self, last: &str) -> Vec<String> {
        let start = Instant::now();
        loop {
            let seen = self.0.lock().clone();
            if seen.last().is_some_and(|seen| seen == last) {
                return seen;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{seen:?}, expected {last}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn record(sandboxes: Api<Sandbox>, name: String, log: Arc<Mutex<Vec<String>>>) {
    loop {
        let params = WatchParams { send_initial_events: true, ..WatchParams::default() };
        let params = params.fields(&format!("metadata.name={name}"));
        let Ok(events) = sandboxes.watch(&params, "0").await else { continue };
        let mut events = events.boxed();
        while let Some(Ok(event)) = events.next().await {
            let (WatchEvent::Added(sandbox) | WatchEvent::Modified(sandbox)) = event else { continue };
            let ready = condition(&sandbox, "Ready").split(':').next().unwrap_or_default().to_owned();
            let mut log = log.lock();
            if log.last() != Some(&ready) {
                log.push(ready);
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Running {
    /// Waits until no request was sent for a while; how many were sent in all.
    pub async fn quiet(&self) -> u64 {
        let mut seen = self.metrics.total();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.metrics.total();
            if now == seen {
                return now;
            }
            seen = now;
        }
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.task.join_next().await.is_some() {}
    }

    /// The requests as `verb resource result=count`.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.metrics.requests();
        requests.iter().map(|(r, count)| format!("{} {} {}={count}", r.verb, r.resource, r.result)).collect()
    }
}

/// A condition as `status reason: message`, or `absent`.
pub fn condition(sandbox: &Sandbox, kind: &str) -> String {
    let condition = sandbox.status.as_ref().and_then(|status| status.condition(kind));
    condition.map_or("absent".to_owned(), |c| format!("{} {}: {}", c.status, c.reason, c.message))
}

fn with_pod(mut spec: Value) -> Value {
    if spec["podTemplate"].is_null() {
        spec["podTemplate"] = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    }
    spec
}

async fn kubelet(pods: Api<Pod>, delay: Duration) {
    loop {
        let params = WatchParams { send_initial_events: true, ..WatchParams::default() };
        let Ok(events) = pods.watch(&params, "0").await else { continue };
        let mut events = events.boxed();
        while let Some(Ok(event)) = events.next().await {
            if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event {
                attend(&pods, &pod, delay).await;
            }
        }
    }
}

async fn attend(pods: &Api<Pod>, pod: &Pod, delay: Duration) {
    let name = pod.metadata.name.as_deref().unwrap();
    if pod.metadata.deletion_timestamp.is_some() {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let _ = pods.delete(name, &now).await;
        return;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if !matches!(phase, None | Some("Pending")) {
        return;
    }
    tokio::time::sleep(delay).await;
    let since = "2026-01-01T00:00:00Z";
    let patch = json!({"status": {
        "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": since},
                       {"type": "Ready", "status": "True", "lastTransitionTime": since}]
    }});
    let _ = pods.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await;
}

/// A client through which things go wrong.
fn faulty(inner: Client, faults: Faults) -> Client {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (inner, faults) = (inner.clone(), faults.clone());
        async move {
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let hit = |what: &(&str, &str)| method == what.0 && path.ends_with(what.1);
            let outage = *faults.outage.lock();
            let failed = take(&faults.fail, |(verb, end, _)| hit(&(verb, end)))
                .or(outage.filter(|(verb, end, _)| hit(&(verb, end))));
            if let Some((.., code)) = failed {
                return Ok(status(code));
            }
            let answer = inner.send(request).await?;
            if take(&faults.lose_answer, |(verb, end)| hit(&(verb, end))).is_some() {
                return Ok(status(504));
            }
            Ok::<_, kube::Error>(if watch { late(answer, path, &faults) } else { boxed(answer) })
        }
    });
    Client::new(service, "default")
}

fn take<T: Copy>(list: &Mutex<Vec<T>>, matches: impl Fn(&T) -> bool) -> Option<T> {
    let mut list = list.lock();
    let place = list.iter().position(matches)?;
    Some(list.remove(place))
}

type Answer = http::Response<UnsyncBoxBody<bytes::Bytes, kube::Error>>;

fn boxed(answer: http::Response<Body>) -> Answer {
    answer.map(BodyExt::boxed_unsync)
}

fn late(answer: http::Response<Body>, path: String, faults: &Faults) -> Answer {
    let (delay, held) = (faults.watch_delay, faults.held_watch.subscribe());
    answer.map(|body| {
        let frames = BodyStream::new(body).then(move |frame| {
            let (mut held, path) = (held.clone(), path.clone());
            async move {
                tokio::time::sleep(delay).await;
                let _ = held.wait_for(|end| end.is_none_or(|end| !path.ends_with(end))).await;
                frame
            }
        });
        StreamBody::new(frames).boxed_unsync()
    })
}

fn status(code: u16) -> Answer {
    let reason = if code == 403 { "Forbidden" } else { "" };
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "on purpose"});
    let body =
        Full::new(bytes::Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
    http::Response::builder().status(code).body(body).unwrap()
}
