//! The harness as a client: one connection, one watch over all Sandboxes that is open before anything is timed.

use anyhow::{Context as _, Result, bail};
use crd::{conditions, v1beta1::Sandbox};
use futures::StreamExt as _;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    config::{Config, KubeConfigOptions, Kubeconfig},
    runtime::watcher,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Longest time any Sandbox may take to get anywhere.
const PATIENCE: Duration = Duration::from_secs(120);

type Seen = Arc<HashMap<String, (Sandbox, Instant)>>;

/// A connected client.
pub(crate) struct Client {
    pub(crate) kube: kube::Client,
    pub(crate) sandboxes: Api<Sandbox>,
    seen: watch::Receiver<Seen>,
    _watcher: tokio::task::JoinSet<()>,
}

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Ready,
    Suspended,
    Gone,
}

// === impl Client ===

impl Client {
    pub(crate) async fn connect(kubeconfig: &Path) -> Result<Self> {
        let config =
            Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default())
                .await?;
        let kube = kube::Client::try_from(config)?;
        let sandboxes: Api<Sandbox> = Api::default_namespaced(kube.clone());
        let (publish, seen) = watch::channel(Seen::default());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(follow(sandboxes.clone(), publish));
        Ok(Self { kube, sandboxes, seen, _watcher: tasks })
    }

    /// Creates a Sandbox; the moment the request was sent.
    pub(crate) async fn create(&self, sandbox: &Sandbox) -> Result<Instant> {
        let sent = Instant::now();
        self.sandboxes.create(&PostParams::default(), sandbox).await?;
        Ok(sent)
    }

    pub(crate) async fn set_mode(&self, name: &str, mode: &str) -> Result<Instant> {
        let sent = Instant::now();
        let patch = Patch::Merge(json!({"spec": {"operatingMode": mode}}));
        self.sandboxes.patch(name, &PatchParams::default(), &patch).await?;
        Ok(sent)
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.sandboxes.delete(name, &DeleteParams::default()).await?;
        self.wait(name, Until::Gone).await.map(drop)
    }

    /// The moment the watch said so.
    pub(crate) async fn wait(&self, name: &str, until: Until) -> Result<Instant> {
        let mut seen = self.seen.clone();
        let arrived =
            tokio::time::timeout(PATIENCE, seen.wait_for(|all| reached(all.get(name), until))).await;
        let all = arrived.with_context(|| format!("sandbox {name} did not get there"))??;
        Ok(all.get(name).map_or_else(Instant::now, |(_, at)| *at))
    }

    /// How many Sandboxes are there.
    pub(crate) async fn wait_ready(&self, names: &[String]) -> Result<Instant> {
        let mut last = Instant::now();
        for name in names {
            last = last.max(self.wait(name, Until::Ready).await?);
        }
        Ok(last)
    }

    /// The uid of a Sandbox's Pod.
    pub(crate) async fn pod_uid(&self, name: &str) -> Result<String> {
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(self.kube.clone());
        pods.get(name).await?.metadata.uid.context("a pod without uid")
    }
}

fn reached(seen: Option<&(Sandbox, Instant)>, until: Until) -> bool {
    let Some((sandbox, _)) = seen else { return until == Until::Gone };
    let holds = |kind: &str| {
        let condition = sandbox.status.as_ref().and_then(|status| status.condition(kind));
        condition.is_some_and(|c| c.status == "True" && c.observed_generation == sandbox.metadata.generation)
    };
    match until {
        Until::Ready => holds(conditions::READY),
        Until::Suspended => holds(conditions::SUSPENDED),
        Until::Gone => false,
    }
}

async fn follow(api: Api<Sandbox>, publish: watch::Sender<Seen>) {
    let stream = watcher::watcher(api, watcher::Config::default());
    futures::pin_mut!(stream);
    while let Some(event) = stream.next().await {
        let now = Instant::now();
        let Ok(event) = event else { continue };
        publish.send_modify(|seen| {
            let seen = Arc::make_mut(seen);
            match event {
                watcher::Event::Apply(sandbox) | watcher::Event::InitApply(sandbox) => {
                    seen.insert(sandbox.metadata.name.clone().unwrap_or_default(), (sandbox, now));
                }
                watcher::Event::Delete(sandbox) => {
                    seen.remove(&sandbox.metadata.name.unwrap_or_default());
                }
                watcher::Event::Init | watcher::Event::InitDone => {}
            }
        });
    }
}

/// The Sandbox that is measured: one container of the built-in image that idles and ends on TERM.
pub(crate) fn sandbox(name: &str, class: &str) -> Result<Sandbox> {
    let value = json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": {"name": name},
        "spec": {"podTemplate": {
            "metadata": {"annotations": {"sandbox.agent-sandbox.dev/init": "true"}},
            "spec": {
                "runtimeClassName": class,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "work", "image": "agent-sandbox/host", "command": ["sleep", "infinity"],
                    "resources": {"limits": {"memory": "256Mi", "cpu": "1"}, "requests": {"memory": "8Mi", "cpu": "1m"}},
                }],
            }
        }}
    });
    Ok(serde_json::from_value(value)?)
}

/// The only entry below `dir`.
pub(crate) fn only_entry(dir: &Path) -> Result<std::path::PathBuf> {
    let mut entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    match (entries.pop(), entries.is_empty()) {
        (Some(entry), true) => Ok(entry.path()),
        _ => bail!("{} does not hold exactly one entry", dir.display()),
    }
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}
