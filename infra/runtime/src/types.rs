//! Requests and answers of the runtime.

use podspec::{IdRange, Prepared, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// Which program runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// runc: the host's kernel, shared.
    Runc,
    /// runsc: gVisor's kernel in user space.
    Runsc,
}

/// A container to start.
#[derive(Clone, Debug)]
pub struct Request {
    /// Runtime id, unique on the host for ever; make it with [`container_id`].
    pub id: String,
    /// Directory of this container's records: made if missing, must not hold those of another run.
    pub dir: PathBuf,
    /// Program that runs it.
    pub driver: Driver,
    /// Part in its sandbox (several containers under runsc).
    pub role: Role,
    /// OCI spec from podspec.
    pub spec: Value,
    /// What the root file system is made of.
    pub rootfs: RootFs,
    /// Mounts the supervisor prepares, from podspec.
    pub mounts: Vec<Prepared>,
    /// The pod's network namespace.
    pub netns: Option<PathBuf>,
    /// Sysctls written inside that namespace, from podspec.
    pub net_sysctls: Vec<(String, String)>,
    /// Ids that idmapped layers and volumes are shifted to; `None` for no user namespace.
    pub ids: Option<IdRange>,
    /// Where output goes.
    pub log: Log,
    /// Give the container a terminal (must agree with the spec).
    pub tty: bool,
    /// Keep standard input open for attached clients.
    pub stdin: bool,
    /// Close standard input when the first attached client leaves.
    pub stdin_once: bool,
    /// Longest time the runtime may take to create and start it.
    pub create_timeout: Duration,
}

// === impl Request ===

impl Request {
    /// Path of its cgroup.
    pub(crate) fn cgroup(&self) -> &str {
        self.spec["linux"]["cgroupsPath"].as_str().unwrap_or_default()
    }
}

/// What the root file system is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootFs {
    /// Read-only layers, topmost first; empty for a container that needs none (pause).
    pub lower: Vec<PathBuf>,
    /// Writable layer: kept on disk with unshifted ids; made if missing.
    pub upper: PathBuf,
    /// Scratch directory of the overlay on the same file system; made if missing.
    pub work: PathBuf,
}

/// Where a container's output goes, in the CRI's line format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// The current file; older ones are `<path>.1` and so on.
    pub path: PathBuf,
    /// Rotate when the file reaches this many bytes.
    pub max_bytes: u64,
    /// Number of files kept, the current one included (at least 1).
    pub max_files: u32,
}

/// How a container ended. Written by the supervisor as `exit.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it, if one did (gVisor reports only the code).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// RFC 3339, UTC, nanoseconds.
    pub started_at: String,
    /// RFC 3339, UTC, nanoseconds.
    pub finished_at: String,
    /// The kernel killed something in it for want of memory and it failed.
    #[serde(default)]
    pub oom_killed: bool,
    /// Nobody saw the end (reboot, supervisor killed): the code is Kubernetes' 137.
    #[serde(default)]
    pub lost: bool,
}

/// Why a container could not be started. Written by the supervisor as `error.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct StartFailure {
    /// Kubernetes' reason: `StartError`, `CreateContainerError` or `ContainerCannotRun`.
    pub reason: String,
    /// In plain words, as kubelet words them.
    pub message: String,
    /// Code for the container status: 127 not found, 126 not executable, 128 anything else.
    pub exit_code: i32,
    /// When it failed: RFC 3339, UTC, nanoseconds.
    #[serde(default)]
    pub at: String,
}

/// A command to run in a running container.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables set over those of the container.
    pub env: Vec<(String, String)>,
    /// Working directory; the container's own if `None`.
    pub cwd: Option<String>,
    /// Give it standard input.
    pub stdin: bool,
    /// Give it a terminal: output and errors then come together.
    pub tty: bool,
    /// First size of the terminal: columns, rows.
    pub size: Option<(u16, u16)>,
}

/// How an exec ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecExit {
    /// Exit code of the command; 128 + signal; 127 not found, 126 not executable.
    pub code: i32,
    /// Why the command was not run at all, in the runtime's words.
    pub error: Option<String>,
}

/// What a container uses now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time since start, nanoseconds.
    pub cpu_nanos: u64,
    /// Bytes of memory in use, page cache included.
    pub memory_bytes: u64,
    /// Bytes that cannot be dropped (usage less inactive file pages), as kubelet's working set.
    pub working_set_bytes: u64,
    /// Processes and threads (host's view; gVisor's own threads).
    pub pids: u64,
}

/// Makes the runtime id of one run of one container: short enough for runsc's socket paths, different for every attempt.
pub fn container_id(pod_uid: &str, container: &str, attempt: u32) -> String {
    let hash = container
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{pod_uid}.{hash:08x}.{attempt}")
}
