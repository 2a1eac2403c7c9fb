//! Puts the services of one machine together: store, API server, cluster controllers, Sandbox controller, node agent.
//!
//! They share nothing but clients of the API server; the node's endpoints are behind a door that opens once the node is built.

use crate::{
    kubeconfigs::{self, Kubeconfigs},
    node_name::node_name,
    notify,
    parts::Parts,
    place::Place,
    status::{Census, own_kubeconfig},
    up::{Context, UpArgs, cannot},
};
use apiserver::{Identity, KubeletConnector, NodeStream, Server};
use cli::{Failure, Result};
use crd::{names::annotation, v1beta1::LenientSandbox};
use futures::future::BoxFuture;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use kubekit::Board;
use node::{Kubelet, Node, Stopper};
use runtime::{Driver, Runtimes};
use serde_json::json;
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use store::Store;
use telemetry::{Health, Metrics};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest time that Ctrl-C or `down` gives the sandboxes to end by themselves.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Bytes in flight between the API server and the node's endpoints.
const PIPE: usize = 256 * 1024;

/// What to do where the API server cannot start: nearly always another process has its port.
const PORT: &str = "where the address is in use, choose another: agent-sandbox up --listen 127.0.0.1:7444";

/// Everything of one machine, built and not yet running.
pub(crate) struct Standalone {
    store: Store,
    server: Server,
    admin: kube::Client,
    node: Node,
    stopper: Stopper,
    controller: controller::Controller,
    cluster: (kube::Client, cluster::Config),
    door: Arc<Door>,
    default: Driver,
    health: Health,
    shutdown_delay: Duration,
    kubeconfigs: Option<Kubeconfigs>,
}

// === impl Standalone ===

impl Standalone {
    /// Opens the store, binds the socket, finds runtimes and takes over the network. Nothing is served yet.
    ///
    /// # Errors
    /// Each part's, with what to do.
    pub(crate) async fn build(place: &Place, args: &UpArgs) -> Result<Self> {
        place.has_room()?;
        let store = open_store(place).await?;
        let door = Arc::new(Door::default());
        let (health, board, metrics) = (Health::default(), Board::default(), Metrics::default());
        metrics.add_process();
        metrics.collect(board.clone());
        let config = apiserver::Config {
            health: health.clone(),
            metrics: metrics.clone(),
            listen: args.listen,
            names: args.tls_san.clone(),
            token_file: args.token_file.clone(),
            audit_log: args.audit_log.clone(),
            issuer: format!("https://kubernetes.default.svc.{}", args.cluster_domain),
            pki_dir: place.data.join("pki"),
            kubelet: Arc::clone(&door) as Arc<dyn KubeletConnector>,
            ..apiserver::Config::default()
        };
        let server = Server::build(config, store.clone())
            .await
            .map_err(|error| cannot("start the API server", &error).remedy(PORT))?;
        let default = default_driver(place, args).await?;
        let node = build_node(place, args, default, &server).await?;
        door.open(node.kubelet());
        let client = |name: &str| server.client(Identity::component(name));
        node.checks().into_iter().for_each(|check| health.add(check));
        let config = controller::Config {
            cluster_domain: args.cluster_domain.clone(),
            board: board.clone(),
            metrics,
            ..controller::Config::default()
        };
        let controller = controller::Controller::build(config, client("agent-sandbox-controller"));
        controller.checks().into_iter().for_each(|check| health.add(check));
        let cluster = cluster::Config {
            root_ca: server.pki().ca_pem().to_owned(),
            board,
            health: health.clone(),
            ..cluster::Config::default()
        };
        let cluster = (client("agent-sandbox-cluster"), cluster);
        let admin = client("agent-sandbox-up");
        let (stopper, shutdown_delay) = (node.stopper(), Duration::from_secs(args.shutdown_delay.into()));
        Ok(Self {
            store,
            server,
            admin,
            node,
            stopper,
            controller,
            cluster,
            door,
            default,
            health,
            shutdown_delay,
            kubeconfigs: None,
        })
    }

    /// The URL that clients use.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The address that is listened on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Writes the kubeconfigs, which are kept new from then on.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub(crate) fn write_kubeconfigs(&mut self, args: &UpArgs, place: &Place) -> Result<Option<Context>> {
        let pki = self.server.pki().clone();
        let context = kubeconfigs::write(args, place, &pki, &self.server.url())?;
        self.kubeconfigs = Some(Kubeconfigs::new(pki, place, context.as_ref(), self.server.renewals()));
        Ok(context)
    }

    /// The RuntimeClass of sandboxes that name none.
    pub(crate) fn default_class(&self) -> &'static str {
        class(self.default)
    }

    /// Says on the RuntimeClasses which one is the default, so that whoever asks the API can tell.
    ///
    /// # Errors
    /// The store does not take it.
    pub(crate) async fn publish_default(&self) -> Result<()> {
        let classes: Api<RuntimeClass> = Api::all(self.admin.clone());
        for driver in [Driver::Runsc, Driver::Runc] {
            let name = class(driver);
            let annotations = (driver == self.default).then(|| json!({annotation::DEFAULT_RUNTIME: "true"}));
            let object = json!({
                "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": name,
                "metadata": {"name": name, "annotations": annotations.unwrap_or_else(|| json!({}))},
            });
            let params = PatchParams::apply("agent-sandbox-up").force();
            let applied = classes.patch(name, &params, &Patch::Apply(&object)).await;
            applied.map_err(|error| cannot(&format!("write RuntimeClass {name}"), &error))?;
        }
        Ok(())
    }

    /// One line for each isolation backend.
    pub(crate) fn isolation(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .node
            .runtimes()
            .found()
            .map(|found| {
                let class = class(found.driver);
                let default = if found.driver == self.default { ", the default" } else { "" };
                let broken =
                    found.broken.as_ref().map_or_else(String::new, |why| format!(", cannot be used: {why}"));
                format!("{class:7} {} {}{default}{broken}", found.version, found.isolation)
            })
            .collect();
        if self.default == Driver::Runc {
            lines.push("        runc shares this machine's kernel: not for code you do not trust ('agent-sandbox doctor')".to_owned());
        }
        lines
    }

    /// How many sandboxes the store holds.
    pub(crate) async fn census(&self) -> String {
        let list = Api::<LenientSandbox>::all(self.admin.clone()).list(&ListParams::default()).await;
        list.map_or_else(|error| error.to_string(), |list| Census::of(&list.items).to_string())
    }

    /// What of this host stands in the network's way.
    pub(crate) async fn findings(&self) -> Vec<String> {
        let findings = self.node.network().check().await;
        findings.into_iter().map(|finding| warning(&finding)).collect()
    }

    /// Serves until `stop`, which says whether the sandboxes stop too, or until the store fails. The number is the exit code.
    pub(crate) async fn run(self, stop: impl Future<Output = bool>) -> Result<u8> {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("the API server", self.server.run(shutdown.clone()));
        parts.spawn("the node agent", self.node.run(shutdown.clone()));
        parts.spawn("the Sandbox controller", self.controller.run(shutdown.clone()));
        let (client, config) = self.cluster;
        parts.spawn("the cluster controllers", cluster::run(client, config, shutdown.clone()));
        if let Some(kubeconfigs) = self.kubeconfigs {
            parts.spawn("the keeper of kubeconfigs", kubeconfigs.keep(shutdown.clone()));
        }
        notify::ready();
        let failure = tokio::select! {
            sandboxes_too = stop => {
                // Who asks whether to send more learns it while everything is served still.
                self.health.end();
                if sandboxes_too {
                    self.stopper.stop_all(STOP_GRACE).await;
                }
                tokio::time::sleep(self.shutdown_delay).await;
                None
            }
            why = self.store.failed() => Some(
                Failure::new(format!("the store takes no more writes: {why}"))
                    .remedy("nothing that was acknowledged is lost; mend the disk and start again; sandboxes go on running"),
            ),
            said = parts.ended() => Some(
                Failure::new(said).remedy("this is a bug, and the log says where; sandboxes go on running: start it again"),
            ),
        };
        shutdown.cancel();
        parts.join().await;
        self.door.close().await;
        let store = self.store;
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
        failure.map_or(Ok(0), Err)
    }
}

async fn open_store(place: &Place) -> Result<Store> {
    let dir = place.data.join("store");
    let config = store::Config { dir: dir.clone(), ..store::Config::default() };
    let opened = tokio::task::spawn_blocking(move || Store::open(config)).await;
    let opened = opened.map_err(|error| Failure::new(format!("open the store: {error}")))?;
    opened.map_err(|error| cannot(&format!("open the store {}", dir.display()), &error))
}

async fn build_node(place: &Place, args: &UpArgs, default: Driver, server: &Server) -> Result<Node> {
    let config = node::Config {
        name: node_name(place, server.client(Identity::component("agent-sandbox-up"))).await?,
        data_dir: place.data.clone(),
        run_dir: place.run.clone(),
        instance: place.id.clone(),
        default_driver: default,
        supervisor: Some(supervisor()?),
        host_paths: args.allow_host_path.clone(),
        memory_cap: args.memory_cap.map(|mebibytes| mebibytes << 20),
        fix_forward: args.fix_forward,
        cluster_domain: args.cluster_domain.clone(),
        ..node::Config::default()
    };
    let client = server.client(Identity::component("agent-sandbox-node"));
    Node::build(config, client).await.map_err(|error| {
        cannot("start the node agent", &error).remedy("'agent-sandbox doctor' says what this machine lacks")
    })
}

/// What was asked for, which must work; else gVisor where it works, else runc, which the banner then calls a shared kernel.
async fn default_driver(place: &Place, args: &UpArgs) -> Result<Driver> {
    let runtimes = runtimes(place).await?;
    let works = |driver| runtimes.driver(driver).is_some_and(|found| found.broken.is_none());
    let wanted = match args.default_runtime.as_deref() {
        Some("gvisor") => Driver::Runsc,
        Some(_) => Driver::Runc,
        None if works(Driver::Runsc) => Driver::Runsc,
        None => Driver::Runc,
    };
    if works(wanted) {
        return Ok(wanted);
    }
    Err(Failure::new(format!("the default isolation {} does not work on this machine", class(wanted)))
        .remedy("'agent-sandbox doctor' says why and what to install"))
}

fn class(driver: Driver) -> &'static str {
    match driver {
        Driver::Runsc => "gvisor",
        Driver::Runc => "runc",
    }
}

async fn runtimes(place: &Place) -> Result<Runtimes> {
    let config = runtime::Config {
        probe_cache: Some(place.data.join("runtimes.json")),
        ..runtime::Config::new(&place.id, &place.run, supervisor()?)
    };
    Runtimes::detect(config).await.map_err(|error| cannot("look for runtimes", &error))
}

/// The network's settings for what works on it from outside of a running node.
pub(crate) fn network(place: &Place) -> net::Config {
    net::Config::new(&place.id, &place.run, place.data.join("network.json"))
}

/// The program that runs beside each container; it lies beside this one.
pub(crate) fn supervisor() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|error| Failure::new(format!("find this program: {error}")))?;
    let beside = own.with_file_name("agent-sandbox-supervisor");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::new(format!("{} is missing", beside.display()))
        .remedy("install both binaries side by side ('scripts/build' makes them)"))
}

/// Removes what an installation made on the host, with no agent running: containers, networks, cgroups, the run directory's contents.
pub(crate) async fn remove_from_host(place: &Place) -> Result<()> {
    let runtimes = runtimes(place).await?;
    let mut failed = runtimes.sweep(&BTreeSet::new()).await.failed;
    let emptied = tokio::task::spawn_blocking(move || runtimes.remove_instance()).await;
    if !emptied.unwrap_or(false) {
        failed.push(format!("cgroup agent-sandbox-{}", place.id));
    }
    if !failed.is_empty() {
        return Err(Failure::new(format!("could not remove: {}", failed.join("; ")))
            .remedy("run 'agent-sandbox down' again"));
    }
    node::release_memory(&place.data, &place.run)
        .map_err(|error| cannot("unmount volumes in memory", &error))?;
    net::Network::purge(network(place)).await.map_err(|error| cannot("remove the network", &error))
}

/// Takes this installation's context out of a kubeconfig; another's stays.
pub(crate) fn forget_context(path: &Path, place: &Place) -> Result<()> {
    apiserver::kubeconfig::remove(path, &own_kubeconfig(place))
        .map_err(|error| Failure::new(format!("edit the kubeconfig {}: {error}", path.display())))
}

/// A finding, with what to do where there is something to do.
fn warning(finding: &net::Finding) -> String {
    if finding.fix.is_empty() { finding.what.clone() } else { format!("{} -> {}", finding.what, finding.fix) }
}

/// The way from the API server to the node's endpoints: closed until the node is built.
#[derive(Default)]
struct Door {
    kubelet: OnceLock<Kubelet>,
    streams: TaskTracker,
}

// === impl Door ===

impl Door {
    fn open(&self, kubelet: Kubelet) {
        // Opened once, by `build`; a second kubelet would be ignored.
        let _ = self.kubelet.set(kubelet);
    }

    async fn close(&self) {
        self.streams.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.streams.wait()).await;
    }
}

impl KubeletConnector for Door {
    fn connect<'a>(&'a self, _node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        Box::pin(async move {
            let kubelet = self.kubelet.get().cloned();
            let kubelet = kubelet.ok_or_else(|| {
                io::Error::new(io::ErrorKind::ConnectionRefused, "the node agent is starting")
            })?;
            let (near, far) = tokio::io::duplex(PIPE);
            self.streams.spawn(async move { kubelet.serve(far).await });
            Ok(Box::new(near) as Box<dyn NodeStream>)
        })
    }
}
