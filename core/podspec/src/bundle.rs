//! What comes out: the spec, and what must be done on the host before the runtime reads it.

use crate::resources::Limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// One container, ready to be handed to the runtime.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The OCI runtime spec (`config.json` of the bundle). Paths in it are final.
    pub spec: Value,
    /// Mounts the supervisor makes in its own mount namespace before it calls the runtime.
    pub mounts: Vec<Prepared>,
    /// Sysctls of the pod's network namespace, written by the supervisor.
    pub net_sysctls: Vec<(String, String)>,
    /// The limits in the spec, as numbers.
    pub limits: Limits,
    /// The container wants a terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin: bool,
    /// Standard input closes when the first attached client leaves.
    pub stdin_once: bool,
    /// Fields accepted without effect, one sentence each, for events or the log.
    pub warnings: Vec<String>,
}

/// A mount the supervisor makes at `<mount dir>/<name>` of its private mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepared {
    /// Name of the mount point under the mount directory.
    pub name: String,
    /// Directory or file of the host that is bound there.
    pub source: PathBuf,
    /// Path below `source`, resolved without leaving it; a missing directory is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// Map on-disk ids into the container's id range, so that files keep unshifted ids.
    #[serde(default)]
    pub idmap: bool,
    /// Bind read-only.
    #[serde(default)]
    pub read_only: bool,
    /// No part of `sub_path` may be a link.
    #[serde(default)]
    pub no_links: bool,
}
