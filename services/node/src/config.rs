//! What an operator may decide about a node.

use std::collections::BTreeSet;
use std::path::PathBuf;

use runtime::Driver;
use serde::{Deserialize, Serialize};

/// Plain settings of a [`crate::Node`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Name of the Node object.
    pub name: String,
    /// Where everything durable lives: pods, volumes, kept writable layers, images.
    pub data_dir: PathBuf,
    /// Six hexadecimal digits that everything made on the host carries.
    pub instance: String,
    /// Where everything of one boot lives; on tmpfs.
    pub run_dir: PathBuf,
    /// The supervisor's program; unset looks beside the running executable.
    pub supervisor: Option<PathBuf>,
    /// What runs Pods that name no runtime class.
    pub default_driver: Driver,
    /// Host directories below which `hostPath` volumes are allowed.
    pub host_paths: Vec<PathBuf>,
    /// Capabilities beyond the default set that containers may add.
    pub extra_capabilities: BTreeSet<String>,
    /// Containers started at the same time; 0 chooses by the number of processors.
    pub parallel_starts: usize,
    /// Pods that fit on this node.
    pub max_pods: u32,
    /// Bytes of memory that all sandboxes together may use; unset leaves a tenth of the machine's to itself.
    pub memory_cap: Option<u64>,
    /// Free bytes of disk below which unused images and then Pods have to go; unset is a tenth of the disk, at most 5 GiB.
    pub disk_reserve: Option<u64>,
    /// Bytes at which a container's log is rotated.
    pub log_bytes: u64,
    /// Log files kept per container.
    pub log_files: u32,
    /// The subnet of the sandboxes, as `10.64.0.0/16`; unset chooses a free one at the first start.
    pub subnet: Option<String>,
    /// The domain of Services.
    pub cluster_domain: String,
    /// Insert accept rules where another firewall of the host drops what it does not know.
    pub fix_forward: bool,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "agent-sandbox".to_owned(),
            data_dir: PathBuf::from("/var/lib/agent-sandbox"),
            instance: "000000".to_owned(),
            run_dir: PathBuf::from("/run/agent-sandbox/000000"),
            supervisor: None,
            default_driver: Driver::Runc,
            host_paths: Vec::new(),
            extra_capabilities: BTreeSet::new(),
            parallel_starts: 0,
            max_pods: 1000,
            memory_cap: None,
            disk_reserve: None,
            log_bytes: 10 << 20,
            log_files: 3,
            subnet: None,
            cluster_domain: "cluster.local".to_owned(),
            fix_forward: false,
        }
    }
}
