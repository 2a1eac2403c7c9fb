//! What an instance may decide about its network.
use crate::Subnet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Plain settings of a [`crate::Network`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The instance: six lower-case hexadecimal digits. Part of the name of everything made on the host.
    pub id: String,
    /// Where the namespaces of pods are pinned (`netns/<uid>`), for example `/run/agent-sandbox/<id>`.
    pub run_dir: PathBuf,
    /// Remembers the subnet between starts. Its directory must exist.
    pub state_file: PathBuf,
    /// The subnet of the pods, `/16` to `/28`. None: a private one that no route of the host overlaps, chosen at the first start.
    pub subnet: Option<Subnet>,
    /// The domain of Services: `<service>.<namespace>.svc.<cluster_domain>`.
    pub cluster_domain: String,
    /// Where names outside the cluster domain are asked. Empty: what the host's `/etc/resolv.conf` says at the time.
    pub upstreams: Vec<SocketAddr>,
    /// Destinations no pod reaches, beside the host's own addresses.
    pub denied: Vec<Subnet>,
    /// Insert accept rules for our interfaces where another firewall of the host (Docker, ufw) drops what it does not know.
    pub fix_forward: bool,
}

// === impl Config ===

impl Config {
    /// The defaults for one instance.
    pub fn new(id: &str, run_dir: impl Into<PathBuf>, state_file: impl Into<PathBuf>) -> Config {
        Config {
            id: id.to_owned(),
            run_dir: run_dir.into(),
            state_file: state_file.into(),
            subnet: None,
            cluster_domain: "cluster.local".to_owned(),
            upstreams: Vec::new(),
            denied: metadata_services(),
            fix_forward: false,
        }
    }
}

/// Addresses where clouds hand credentials to whoever asks. IPv6 needs no entry: pods have none.
fn metadata_services() -> Vec<Subnet> {
    [
        (Ipv4Addr::new(169, 254, 0, 0), 16), // link-local: AWS, GCP, Azure, OpenStack and others
        (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's wire server
        (Ipv4Addr::new(100, 100, 100, 200), 32), // Alibaba
        (Ipv4Addr::new(192, 0, 0, 192), 32), // Oracle
    ]
    .into_iter()
    .filter_map(|(base, prefix)| Subnet::new(base, prefix))
    .collect()
}
