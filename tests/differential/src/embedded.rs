//! The embedded API server alone, as `agent-sandbox up` has it but without controllers and node: a kube-apiserver has none
//! either.

use anyhow::{Context as _, Result};
use apiserver::{Config, Server, kubeconfig};
use kube::config::{KubeConfigOptions, Kubeconfig};
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running server with everything it keeps in a temporary folder.
pub struct Embedded {
    /// A client over TLS with the administrator's certificate.
    pub client: kube::Client,
    stop: CancellationToken,
    running: JoinSet<()>,
    _dir: tempfile::TempDir,
}

// === impl Embedded ===

impl Embedded {
    /// Starts it.
    ///
    /// # Errors
    /// What the server, or the client, finds wrong.
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let kept = store::Config { dir: dir.path().join("store"), ..store::Config::default() };
        let store = Store::open(kept).context("open the store")?;
        let pki_dir = dir.path().join("pki");
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), pki_dir, ..Config::default() };
        let server = Server::build(config, store).await?;
        let path = dir.path().join("kubeconfig");
        kubeconfig::write(&path, &server.url(), server.pki(), None)?;
        let client = client(Kubeconfig::read_from(&path)?).await?;
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(server.run(stop.clone()));
        Ok(Self { client, stop, running, _dir: dir })
    }

    /// Stops it and waits for it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

/// A client with the certificates of a kubeconfig.
///
/// # Errors
/// Certificates that cannot be used.
pub async fn client(config: Kubeconfig) -> Result<kube::Client> {
    // A second installation in one process is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    // What a server answers first is what is compared.
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}
