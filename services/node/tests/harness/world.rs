//! A machine in miniature: an API server with its store, and a node on it that can be killed and started again.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its part")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use apiserver::{Config as ApiConfig, Identity, KubeletConnector, NodeStream, Server};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, DeleteParams, LogParams, PostParams};
use kube::{Api, Client};
use node::{Config, Kubelet, Node};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::Store;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The image that needs no registry.
pub const IMAGE: &str = "agent-sandbox/host:latest";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// Everything.
pub struct World {
    pub client: Client,
    pub config: Config,
    door: Arc<Door>,
    dir: tempfile::TempDir,
    api_stop: CancellationToken,
    node_stop: CancellationToken,
    stopper: Option<node::Stopper>,
    api: JoinSet<()>,
    node: JoinSet<()>,
}

/// Leads to whichever node is running now.
#[derive(Default)]
struct Door(Mutex<Option<Kubelet>>, Mutex<JoinSet<()>>);

impl KubeletConnector for Door {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, std::io::Result<Box<dyn NodeStream>>> {
        Box::pin(async move {
            let kubelet =
                self.0.lock().clone().ok_or_else(|| std::io::Error::other(format!("{node} is down")))?;
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            self.1.lock().spawn(async move { kubelet.serve(theirs).await });
            Ok(Box::new(ours) as Box<dyn NodeStream>)
        })
    }
}

// === impl World ===

impl World {
    /// An API server and a running node.
    pub async fn new() -> Self {
        let mut world = Self::without_node(|_| ()).await;
        world.start_node().await;
        world
    }

    /// An API server only; `change` may alter the node's configuration.
    pub async fn without_node(change: impl FnOnce(&mut Config)) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let instance = format!("{:04x}{number:02x}", std::process::id() & 0xffff);
        let dir = tempfile::tempdir().unwrap();
        let store =
            Store::open(store::Config { dir: dir.path().join("store"), ..store::Config::default() }).unwrap();
        let door = Arc::new(Door::default());
        let api_config = ApiConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            pki_dir: dir.path().join("pki"),
            kubelet: Arc::clone(&door) as Arc<dyn KubeletConnector>,
            ..ApiConfig::default()
        };
        let server = Server::build(api_config, store).await.unwrap();
        let client = server.client(Identity::component("test"));
        let api_stop = CancellationToken::new();
        let mut api = JoinSet::new();
        api.spawn(server.run(api_stop.clone()));
        let mut config = Config {
            name: "machine".to_owned(),
            data_dir: dir.path().join("data"),
            run_dir: PathBuf::from(format!("/run/agent-sandbox/{instance}")),
            instance,
            supervisor: Some(supervisor()),
            // Worlds beside each other must not choose the same one.
            subnet: Some(format!("10.{}.{}.0/24", 100 + std::process::id() % 100, number)),
            ..Config::default()
        };
        change(&mut config);
        Self {
            client,
            config,
            door,
            dir,
            api_stop,
            node_stop: CancellationToken::new(),
            stopper: None,
            api,
            node: JoinSet::new(),
        }
    }

    /// Starts a node on the data directory.
    pub async fn start_node(&mut self) {
        let node = Node::build(self.config.clone(), self.client.clone()).await.unwrap();
        *self.door.0.lock() = Some(node.kubelet());
        self.stopper = Some(node.stopper());
        self.node_stop = CancellationToken::new();
        self.node.spawn(node.run(self.node_stop.clone()));
    }

    /// Ends the node between any two of its steps, as a kill does.
    pub async fn kill_node(&mut self) {
        *self.door.0.lock() = None;
        self.node.shutdown().await;
        self.stopper = None;
    }

    /// Ends the node in order; containers go on.
    pub async fn stop_node(&mut self) {
        self.node_stop.cancel();
        while self.node.join_next().await.is_some() {}
        *self.door.0.lock() = None;
    }

    /// Stops all containers, as `down` does.
    pub async fn stop_all(&mut self) {
        self.stopper.as_ref().unwrap().stop_all(Duration::from_secs(2)).await;
        self.stop_node().await;
    }

    /// Removes what the world made on the host. Call it at the end of a test; it says what was left.
    pub async fn end(mut self) {
        let pods: Api<Pod> = self.pods();
        let list = pods.list(&Default::default()).await.unwrap();
        for pod in list {
            let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            let _ = pods.delete(&pod.metadata.name.unwrap(), &params).await;
        }
        self.until("all pods gone", async |world: &Self| {
            world.pods().list(&Default::default()).await.unwrap().items.is_empty().then_some(())
        })
        .await;
        self.until("nothing left on the host", async |world: &Self| {
            world.leftovers().is_empty().then_some(())
        })
        .await;
        self.stop_node().await;
        let id = self.config.instance.clone();
        let settings = net::Config::new(&id, &self.config.run_dir, self.config.data_dir.join("network.json"));
        net::Network::purge(settings).await.unwrap();
        self.api_stop.cancel();
        while self.api.join_next().await.is_some() {}
        let _ = std::fs::remove_dir_all(&self.config.run_dir);
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join(format!("agent-sandbox-{id}")));
        }
    }

    /// What is on the host that belongs to a Pod.
    pub fn leftovers(&self) -> Vec<String> {
        let names = |path: PathBuf| -> Vec<String> {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path().display().to_string()).collect()
        };
        let mut left = names(self.config.data_dir.join("pods"));
        left.extend(names(self.config.run_dir.join("netns")));
        left.extend(names(self.config.run_dir.join("volumes")));
        for hierarchy in names("/sys/fs/cgroup".into()) {
            let root = PathBuf::from(hierarchy).join(format!("agent-sandbox-{}", self.config.instance));
            left.extend(names(root).into_iter().filter(|path| std::path::Path::new(path).is_dir()));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let data = self.config.data_dir.display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&data)).map(str::to_owned));
        left
    }

    // === objects ===

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates any object of `default` from JSON.
    pub async fn create<K>(&self, object: Value) -> K
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), "default");
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    }

    /// Creates a Pod bound to the node; `spec` is its spec.
    pub async fn pod(&self, name: &str, spec: Value) -> Pod {
        self.pod_with(json!({"name": name}), spec).await
    }

    /// The same with more metadata.
    pub async fn pod_with(&self, metadata: Value, mut spec: Value) -> Pod {
        spec["nodeName"] = "machine".into();
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        self.create(pod).await
    }

    /// A Pod of one container that runs a shell script.
    pub async fn script(&self, name: &str, script: &str) -> Pod {
        self.pod(name, json!({"terminationGracePeriodSeconds": 1, "containers": [shell("app", script)]}))
            .await
    }

    pub async fn get(&self, name: &str) -> Option<Pod> {
        self.pods().get_opt(name).await.unwrap()
    }

    /// Waits until the Pod is as `what` wants.
    pub async fn wait(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        self.until(what, async |world: &Self| world.get(name).await.filter(|pod| wanted(pod))).await
    }

    pub async fn ready(&self, name: &str) -> Pod {
        self.wait(name, "ready", is_ready).await
    }

    /// Deletes the Pod and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Duration {
        let begun = Instant::now();
        self.pods().delete(name, &DeleteParams::default()).await.unwrap();
        self.until("gone", async |world: &Self| world.get(name).await.is_none().then_some(())).await;
        begun.elapsed()
    }

    pub async fn until<T>(&self, what: &str, check: impl AsyncFn(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = check(self).await {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                panic!("not in time: {what}\n{}", self.picture().await);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Everything that may explain a failure.
    async fn picture(&self) -> String {
        let pods = self.pods().list(&Default::default()).await.unwrap();
        let mut text = format!("left: {:?}\n", self.leftovers());
        for pod in pods {
            text.push_str(&format!("{}\n", serde_json::to_string_pretty(&pod.status).unwrap()));
        }
        let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(self.client.clone(), "default");
        for event in events.list(&Default::default()).await.unwrap() {
            text.push_str(&format!("{:?} {:?}\n", event.reason, event.message));
        }
        text
    }

    pub async fn events(&self) -> Vec<(String, String)> {
        let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(self.client.clone(), "default");
        let events = events.list(&Default::default()).await.unwrap();
        events
            .into_iter()
            .map(|event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
            .collect()
    }

    // === streams ===

    /// Runs a command: its output, its errors, its exit code.
    pub async fn exec(&self, pod: &str, command: &[&str]) -> (String, String, i32) {
        let params = AttachParams::default().stdin(false).stdout(true).stderr(true);
        let mut process = self.pods().exec(pod, command.iter().copied(), &params).await.unwrap();
        let (mut out, mut err) = (process.stdout().unwrap(), process.stderr().unwrap());
        let (mut output, mut errors) = (String::new(), String::new());
        let status = process.take_status().unwrap();
        let (_, _, status) =
            tokio::join!(out.read_to_string(&mut output), err.read_to_string(&mut errors), status);
        (output, errors, code(&status.unwrap()))
    }

    pub async fn logs(&self, pod: &str) -> String {
        self.pods().logs(pod, &LogParams::default()).await.unwrap()
    }

    /// Waits until the log holds this.
    pub async fn logged(&self, pod: &str, text: &str) {
        self.until(text, async |world: &Self| world.logs(pod).await.contains(text).then_some(())).await;
    }

    /// Waits until there is an event of this reason whose message holds `text`.
    pub async fn told(&self, reason: &str, text: &str) {
        let what = format!("{reason}: {text}");
        self.until(&what, async |world: &Self| {
            let events = world.events().await;
            events.iter().any(|(kind, note)| kind == reason && note.contains(text)).then_some(())
        })
        .await;
    }
}

/// The exit code in a status.
pub fn code(status: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Status) -> i32 {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
    let exit = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    exit.and_then(|cause| cause.message.as_ref()?.parse().ok()).unwrap_or(0)
}

/// A container that runs a shell script.
pub fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": IMAGE, "command": ["sh", "-c", script]})
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The state of a container as JSON.
pub fn state(pod: &Pod, container: &str) -> Value {
    let status = pod.status.clone().unwrap_or_default();
    let all = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
    let found = all.into_iter().find(|status| status.name == container);
    found.map(|status| serde_json::to_value(status).unwrap()).unwrap_or_default()
}

/// The supervisor, built beforehand (`scripts/build`).
fn supervisor() -> PathBuf {
    if let Some(path) = std::env::var_os("AGENT_SANDBOX_SUPERVISOR") {
        return path.into();
    }
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = target.join(triple).join("supervisor/supervisor");
    assert!(built.is_file(), "{} is missing: run scripts/build", built.display());
    built
}
