//! The server: configured, built, run; and its in-process client.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, service::service_fn, upgrade};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use store::Store;
use telemetry::{Clock, Health, Metrics, SystemClock};
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tower::service_fn as tower_service;

use crate::{
    access::{self, Access},
    admission::{Admission, Range},
    body::{self, BoxError, ReplyBody, RequestBody},
    core::Core,
    definitions::Definitions,
    health::{self, Followers},
    identity::Identity,
    kubelet::{KubeletConnector, NoKubelet},
    listen::{Listener, Renewal},
    metrics::Counters,
    pki::{Pki, PkiError},
    registry::Registry,
    rules::Rules,
    seed,
};

/// Bytes in flight on the pipe that carries an upgraded in-process request.
const PIPE: usize = 64 * 1024;

/// How long streams may take to end once they have been told to.
const GRACE: Duration = Duration::from_secs(5);

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen for HTTPS. Port 0 picks a free one. Default `127.0.0.1:6443`.
    pub listen: SocketAddr,
    /// The folder of certificates and keys. Default `pki`.
    pub pki_dir: PathBuf,
    /// The way to nodes' exec, attach, log, port-forward and proxy endpoints. Default: none can be reached.
    pub kubelet: Arc<dyn KubeletConnector>,
    /// The most connections of clients with a certificate; one more takes the place of the one that has been idle longest.
    /// Default 4096.
    pub max_connections: usize,
    /// The most connections that have not proved who they are; one more takes the place of the oldest. Default 256.
    pub max_strangers: usize,
    /// Network and prefix length of services' cluster addresses. Default `10.96.0.0/20`.
    pub service_network: (Ipv4Addr, u8),
    /// The namespace of in-process clients that name none. Default `default`.
    pub default_namespace: String,
    /// More names and addresses that clients reach the server by; they go into its certificate. Default none.
    pub names: Vec<String>,
    /// A file of static tokens: lines of `token,user,uid,"group1,group2"`. Default none.
    pub token_file: Option<PathBuf>,
    /// The file that every request is noted in, without what it carried. Default none.
    pub audit_log: Option<PathBuf>,
    /// Who service accounts' tokens are from and for. Default `https://kubernetes.default.svc.cluster.local`.
    pub issuer: String,
    /// The most requests of clients that are answered at the same time: so many of administrators, and as many of others, of
    /// which one user gets at most half. Default 128.
    pub max_requests: usize,
    /// What `/livez` and `/readyz` look at. The server adds its own checks; others of the process may add theirs. Default
    /// none.
    pub health: Health,
    /// What `/metrics` shows. The server adds its own; others of the process may add theirs. Default none.
    pub metrics: Metrics,
    /// By which clock certificates are made and replaced. Default the system's.
    pub clock: Arc<dyn Clock>,
    /// Certificates are looked at after this long at the latest, and more often where one is due sooner. Default 12 hours.
    pub certificate_look: Duration,
}

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Certificates could not be had.
    #[error("certificates")]
    Pki(#[from] PkiError),
    /// Static tokens could not be read, or the audit log could not be opened.
    #[error("access")]
    Access(#[source] BoxError),
    /// The address could not be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store refused the first objects.
    #[error("first objects")]
    Seed(#[source] store::CommitError),
    /// The CRDs that are built in could not be compiled.
    #[error("built-in CRDs")]
    Crds(#[source] BoxError),
}

/// The API server.
pub struct Server {
    core: Arc<Core>,
    listener: Listener,
    renewal: Renewal,
    pki: Arc<Pki>,
    address: SocketAddr,
    default_namespace: String,
    /// A server that goes unused takes what it began with it.
    _end: DropGuard,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 6443)),
            pki_dir: PathBuf::from("pki"),
            kubelet: Arc::new(NoKubelet),
            max_connections: 4096,
            max_strangers: 256,
            service_network: (Ipv4Addr::new(10, 96, 0, 0), 20),
            default_namespace: "default".to_owned(),
            names: Vec::new(),
            token_file: None,
            audit_log: None,
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            max_requests: 128,
            health: Health::default(),
            metrics: Metrics::default(),
            clock: Arc::new(SystemClock),
            certificate_look: Duration::from_secs(12 * 3600),
        }
    }
}

// === impl Server ===

impl Server {
    /// Makes or renews certificates, writes the first objects, binds the socket. Serves nothing on it before `run`;
    /// in-process clients work at once.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(config: Config, store: Store) -> Result<Self, BuildError> {
        let now = config.clock.now();
        let files = config.clone();
        let read = tokio::task::spawn_blocking(move || read_files(&files, now)).await;
        let (pki, kept) = read.map_err(|error| BuildError::Crds(error.into()))??;
        let crds = seed::crds().map_err(BuildError::Crds)?;
        seed::plant(&store, &crds, Timestamp::now()).await.map_err(BuildError::Seed)?;
        let rules = Rules::new(&crds).map_err(BuildError::Crds)?;
        let (network, prefix) = config.service_network;
        let listen_error = |source| BuildError::Listen { address: config.listen, source };
        let (listener, renewal) = Listener::bind(&config, pki.clone()).await.map_err(listen_error)?;
        let address = listener.address().map_err(listen_error)?;
        let url = url(address);
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let registry = Arc::new(Registry::default());
        let followers = Followers::default();
        let definitions = Definitions::start(&store, &registry, &crds, &followers, &tasks, &shutdown).await;
        health::add_own(&config.health, &store, &followers);
        renewal.add_checks(&config.health).map_err(BuildError::Pki)?;
        let counters = Counters::new(config.metrics.clone(), &store, &registry);
        let core = Arc::new(Core {
            access: Access::build(kept, &config, &store, (&followers, &counters), &tasks, &shutdown),
            counters,
            health: config.health,
            url,
            store,
            registry,
            definitions,
            rules,
            admission: Admission::new(Range::new(network, prefix), &crds),
            kubelet: config.kubelet,
            tasks,
            shutdown: shutdown.clone(),
        });
        let end = shutdown.drop_guard();
        let default_namespace = config.default_namespace;
        Ok(Self { core, listener, renewal, pki, address, default_namespace, _end: end })
    }

    /// The address that HTTPS is served on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that clients use.
    pub fn url(&self) -> String {
        self.core.url.clone()
    }

    /// The certificates.
    pub fn pki(&self) -> &Arc<Pki> {
        &self.pki
    }

    /// How often the administrator's certificate was replaced since the server was built: whoever keeps copies of it waits for
    /// a change and puts [`Pki::admin`] there.
    pub fn renewals(&self) -> watch::Receiver<u64> {
        self.renewal.renewed.subscribe()
    }

    /// A client in this process, acting as `identity`, with no socket in between. Needs a running tokio runtime.
    pub fn client(&self, identity: Identity) -> kube::Client {
        client_of(&self.core, identity, &self.default_namespace)
    }

    /// Serves HTTPS until `shutdown`, then ends watches and streams, and waits a few seconds for open requests.
    pub async fn run(self, shutdown: CancellationToken) {
        let core = self.core.clone();
        let ending = core.shutdown.clone();
        let stop = async {
            shutdown.cancelled().await;
            core.health.end();
            ending.cancel();
        };
        let serving = self.listener.serve(core.clone(), shutdown.clone());
        tokio::join!(serving, self.renewal.run(shutdown.clone()), stop);
        core.tasks.close();
        if tokio::time::timeout(GRACE, core.tasks.wait()).await.is_err() {
            tracing::warn!(left = core.tasks.len(), "streams are still open after the grace period");
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Everything that is read from files, or made in them. Blocking.
fn read_files(config: &Config, now: Timestamp) -> Result<(Arc<Pki>, access::Kept), BuildError> {
    let pki = Pki::ensure_for(&config.pki_dir, config.listen.ip(), &config.names, now)?;
    let signing_key = pki.signing_key()?;
    let kept = access::Kept::read(&signing_key, config).map_err(BuildError::Access)?;
    Ok((Arc::new(pki), kept))
}

/// The URL of a listening address: one that stands for all addresses is reached by the loopback.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("https://{address}")
}

/// A client in this process.
pub(crate) fn client_of(core: &Arc<Core>, identity: Identity, namespace: &str) -> kube::Client {
    let core = core.clone();
    let service = tower_service(move |request: Request<kube::client::Body>| {
        let (core, identity) = (core.clone(), identity.clone());
        in_process(core, identity, request)
    });
    kube::Client::new(service, namespace)
}

/// Answers a request of this process. Only an upgrade (exec, attach, port-forward) goes over a pipe, because it needs a
/// connection to take over.
async fn in_process(
    core: Arc<Core>,
    identity: Identity,
    request: Request<kube::client::Body>,
) -> Result<Response<ReplyBody>, BoxError> {
    let mut request = request.map(body::boxed);
    if !request.headers().contains_key(header::UPGRADE) {
        let (begun, method) = (Instant::now(), request.method().clone());
        let reply = core.handle(Some(identity), request).await;
        core.counters.client(&method, reply.status().as_u16(), begun.elapsed().as_secs_f64());
        return Ok(reply);
    }
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("in-process"));
    *request.uri_mut() = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
    over_pipe(core, identity, request).await
}

async fn over_pipe(
    core: Arc<Core>,
    identity: Identity,
    request: Request<RequestBody>,
) -> Result<Response<ReplyBody>, BoxError> {
    let (near, far) = tokio::io::duplex(PIPE);
    let tasks = core.tasks.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (core, identity) = (core.clone(), identity.clone());
        async move {
            let request = request.map(body::boxed);
            Ok::<_, Infallible>(core.handle(Some(identity), request).await)
        }
    });
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
    tasks.spawn(async move { drop(server.with_upgrades().await) });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tasks.spawn(async move { drop(connection.with_upgrades().await) });
    let mut reply = sender.send_request(request).await?;
    let upgraded = upgrade::on(&mut reply);
    let switching = reply.status() == http::StatusCode::SWITCHING_PROTOCOLS;
    let mut reply = reply.map(body::boxed);
    if switching {
        reply.extensions_mut().insert(upgraded);
        *reply.body_mut() = body::full("");
    }
    Ok(reply)
}
