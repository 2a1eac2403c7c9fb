//! A node: built from its configuration, run until shutdown.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kubekit::{EventRecorder, Informer, informer};
use net::Network;
use podspec::Policy;
use runtime::Runtimes;
use telemetry::{Check, Clock, SystemClock};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::images::Images;
use crate::kubelet::Kubelet;
use crate::links::Links;
use crate::machine::{self, Machine};
use crate::paths::Paths;
use crate::pods::{Halt, Pods};
use crate::shared::Shared;
use crate::sources::Sources;
use crate::trash::Trash;
use crate::vitals::{self, Vitals};
use crate::{disk, names, persistent, register, roots};

/// Why a node could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A directory could not be made.
    #[error("cannot make {path}")]
    Directory {
        /// Which one.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No runtime can be used.
    #[error("container runtimes: {0}")]
    Runtimes(#[source] io::Error),
    /// The network cannot be set up.
    #[error("network of the sandboxes")]
    Network(#[from] net::Error),
    /// The image directory cannot be used.
    #[error("images")]
    Images(#[from] image::Error),
}

/// The node agent.
pub struct Node {
    shared: Arc<Shared>,
    machine: Machine,
    kubelet: Kubelet,
    classes: Informer<k8s_openapi::api::node::v1::RuntimeClass, String>,
    services: Informer<k8s_openapi::api::core::v1::Service, Vec<(String, String)>>,
    events: kubekit::events::Writer,
    halts: (mpsc::Sender<Halt>, mpsc::Receiver<Halt>),
    questions: vitals::Questions,
}

/// Stops a node's sandboxes from outside of [`Node::run`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopper {
    halts: mpsc::Sender<Halt>,
}

// === impl Node ===

impl Node {
    /// Finds the runtimes, takes over the network, and opens the images. Nothing is asked of the API server yet.
    ///
    /// # Errors
    /// See [`BuildError`]; each says what is missing.
    pub async fn build(config: Config, client: Client) -> Result<Self, BuildError> {
        let paths = Paths::new(&config.data_dir, &config.run_dir);
        make_directories(&paths)?;
        let (runtimes, network, images) =
            tokio::try_join!(runtimes(&config), network(&config), async { images(&paths).await })?;
        let machine = tokio::task::spawn_blocking(machine::read).await.unwrap_or_default();
        let host = podspec::Host {
            node_name: config.name.clone(),
            node_ips: machine.addresses.clone(),
            ..runtimes.host()
        };
        let memory = config.memory_cap.or(Some(machine.memory_bytes - machine.memory_bytes / 10));
        if let Err(error) = runtimes.prepare_cgroups(memory) {
            tracing::warn!(%error, "the memory of all sandboxes together is not capped");
        }
        let (recorder, events) = EventRecorder::new(client.clone(), "agent-sandbox-node", &config.name);
        let classes = Informer::new(client.clone(), informer::Config::default(), |class| handler(&class));
        let starts =
            if config.parallel_starts == 0 { default_starts(&machine) } else { config.parallel_starts };
        let policy = Policy {
            extra_capabilities: config.extra_capabilities.clone(),
            host_paths: config.host_paths.clone(),
            ..Policy::default()
        };
        let (links, services) = Links::new(client.clone());
        let (vitals, questions) = Vitals::new();
        let shared = Arc::new(Shared {
            sources: Sources::new(client.clone()),
            links,
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            vitals,
            starts: Semaphore::new(starts),
            classes: classes.reader(),
            registry: Default::default(),
            disk: Default::default(),
            names: Default::default(),
            trash: Trash::new(paths.trash()),
            config,
            client,
            paths,
            host,
            policy,
            runtimes,
            network,
            images,
            recorder,
        });
        let kubelet = Kubelet::new(Arc::clone(&shared));
        Ok(Self { shared, machine, kubelet, classes, services, events, halts: mpsc::channel(4), questions })
    }

    /// The kubelet-shaped endpoints.
    pub fn kubelet(&self) -> Kubelet {
        self.kubelet.clone()
    }

    /// The runtimes of this machine.
    pub fn runtimes(&self) -> &Runtimes {
        &self.shared.runtimes
    }

    /// The network of the sandboxes.
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    /// What tells whether the node works, once it runs.
    pub fn checks(&self) -> Vec<Check> {
        self.shared.vitals.checks()
    }

    /// A way to stop all sandboxes while the node runs.
    pub fn stopper(&self) -> Stopper {
        Stopper { halts: self.halts.0.clone() }
    }

    /// Runs Pods until shutdown. Containers outlive this: the next node on the same data directory takes them over.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { shared, machine, classes, services, events, halts, questions, .. } = self;
        let mut parts = JoinSet::new();
        parts.spawn(classes.run(shutdown.clone()));
        parts.spawn(services.run(shutdown.clone()));
        parts.spawn(events.run(shutdown.clone()));
        let (network, stop) = (shared.network.clone(), shutdown.clone());
        parts.spawn(async move { network.run(stop).await });
        parts.spawn(register::run(Arc::clone(&shared), machine, shutdown.clone()));
        parts.spawn(names::run(Arc::clone(&shared), shutdown.clone()));
        parts.spawn(persistent::run(Arc::clone(&shared), shutdown.clone()));
        parts.spawn(shared.trash.clone().run(shutdown.clone()));
        let pods = Pods::new(Arc::clone(&shared));
        parts.spawn(disk::run(Arc::clone(&shared), pods.reader(), pods.evictions(), shutdown.clone()));
        parts.spawn(roots::run(Arc::clone(&shared), pods.reader(), shutdown.clone()));
        drop(halts.0);
        pods.run(halts.1, questions, shutdown.clone()).await;
        while parts.join_next().await.is_some() {}
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.shared.config.name).finish_non_exhaustive()
    }
}

// === impl Stopper ===

impl Stopper {
    /// Stops every container gracefully and leaves all objects as they are, as a machine that is shut down does: at the
    /// next start the Pods' containers are started again. Afterwards no Pod is looked after until then.
    pub async fn stop_all(&self, grace: Duration) {
        let (done, stopped) = oneshot::channel();
        if self.halts.send(Halt { grace, done }).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

/// The data and run directories can be walked by who knows a name. What belongs to tenants is closed to all but root: their files
/// have the ids that the sandbox gave them, set-user-id programs of its root among them.
fn make_directories(paths: &Paths) -> Result<(), BuildError> {
    for path in [paths.data(), paths.run()] {
        make_directory(path, 0o711)?;
    }
    for path in [paths.pods(), paths.persistent_volumes(), paths.roots(), paths.trash()] {
        make_directory(&path, 0o700)?;
        let closed = rustix::fs::chmod(&path, rustix::fs::Mode::from_raw_mode(0o700));
        closed.map_err(|error| not_made(&path, error.into()))?;
    }
    Ok(())
}

fn make_directory(path: &Path, mode: u32) -> Result<(), BuildError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|source| not_made(path, source))
}

fn not_made(path: &Path, source: io::Error) -> BuildError {
    BuildError::Directory { path: path.display().to_string(), source }
}

async fn runtimes(config: &Config) -> Result<Runtimes, BuildError> {
    let beside = || {
        let own = std::env::current_exe().unwrap_or_default();
        own.with_file_name("agent-sandbox-supervisor")
    };
    let supervisor = config.supervisor.clone().unwrap_or_else(beside);
    let settings = runtime::Config {
        probe_cache: Some(config.data_dir.join("runtimes.json")),
        ..runtime::Config::new(&config.instance, &config.run_dir, supervisor)
    };
    Runtimes::detect(settings).await.map_err(BuildError::Runtimes)
}

async fn network(config: &Config) -> Result<Network, BuildError> {
    let wrong = || net::Error::Config(format!("{:?} is no subnet", config.subnet));
    let subnet = config.subnet.as_ref().map(|text| text.parse().map_err(|_| wrong())).transpose()?;
    let settings = net::Config {
        subnet,
        cluster_domain: config.cluster_domain.clone(),
        fix_forward: config.fix_forward,
        ..net::Config::new(&config.instance, &config.run_dir, config.data_dir.join("network.json"))
    };
    Ok(Network::open(settings).await?)
}

async fn images(paths: &Paths) -> Result<Images, BuildError> {
    Ok(Images::open(paths).await?)
}

fn handler(class: &k8s_openapi::api::node::v1::RuntimeClass) -> String {
    class.handler.clone()
}

fn default_starts(machine: &Machine) -> usize {
    usize::try_from(machine.cpus * 4).unwrap_or(8).max(4)
}
