//! What the agent asks for: `config.json` in the container's directory.

use serde::Deserialize;
use std::path::PathBuf;

/// One container. Written by `infra/runtime`; field names agree with it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    pub(crate) id: String,
    pub(crate) driver: Driver,
    /// Path of the runtime.
    pub(crate) program: PathBuf,
    /// Global options of the runtime.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// The runtime's state directory.
    pub(crate) root: PathBuf,
    /// Mount point of the private tmpfs that everything is mounted under.
    pub(crate) mount_dir: PathBuf,
    pub(crate) rootfs: RootFs,
    #[serde(default)]
    pub(crate) mounts: Vec<Mount>,
    pub(crate) netns: Option<PathBuf>,
    #[serde(default)]
    pub(crate) net_sysctls: Vec<(String, String)>,
    pub(crate) ids: Option<Ids>,
    /// Runs inside a gVisor sandbox that another supervisor holds.
    #[serde(default)]
    pub(crate) member: bool,
    pub(crate) log: Log,
    #[serde(default)]
    pub(crate) tty: bool,
    #[serde(default)]
    pub(crate) stdin: bool,
    #[serde(default)]
    pub(crate) stdin_once: bool,
    pub(crate) create_timeout_ms: u64,
    /// Cgroup path below each hierarchy's root.
    pub(crate) cgroup: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    Runc,
    Runsc,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RootFs {
    /// Topmost first.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) name: String,
    pub(crate) source: PathBuf,
    pub(crate) sub_path: Option<String>,
    #[serde(default)]
    pub(crate) idmap: bool,
    #[serde(default)]
    pub(crate) read_only: bool,
    /// No part of `sub_path` may be a link.
    #[serde(default)]
    pub(crate) no_links: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Ids {
    pub(crate) base: u32,
    pub(crate) size: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: u64,
    pub(crate) max_files: u32,
}
