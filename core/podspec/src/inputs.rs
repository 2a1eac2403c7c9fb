//! What goes in.

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Everything that decides one container's spec.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The Pod as stored.
    pub pod: &'a Pod,
    /// The container (of `containers` or `initContainers`) to build.
    pub container: &'a Container,
    /// The image's config.
    pub image: &'a Image,
    /// Facts of the host.
    pub host: &'a Host,
    /// What the operator allows.
    pub policy: &'a Policy,
    /// Config maps, secrets and service variables the environment may name.
    pub sources: &'a Sources,
    /// The Pod's volumes by name, as prepared by the node agent. A volume named by a mount and missing here is refused.
    pub volumes: &'a BTreeMap<String, Volume>,
    /// Files bound into every container.
    pub files: &'a Files,
    /// Shared kernel or user-space kernel.
    pub isolation: Isolation,
    /// Part that this container plays in its sandbox.
    pub role: &'a Role,
    /// The pod's id range; `None` runs without a user namespace (gVisor).
    pub ids: Option<IdRange>,
    /// Path of the pod's network namespace, for example `/run/netns/x`.
    pub netns: &'a Path,
    /// Host name inside.
    pub hostname: &'a str,
    /// The pod's addresses, preferred first.
    pub pod_ips: &'a [String],
    /// Binds of the root file system (the built-in image's `/usr`), in order.
    pub root_binds: &'a [RootBind],
    /// Host path of the static init program, when the container's command is to run under it.
    pub init: Option<&'a Path>,
}

/// What the image says about how to run it.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// `Entrypoint` of the image config.
    pub entrypoint: Vec<String>,
    /// `Cmd` of the image config.
    pub cmd: Vec<String>,
    /// `Env` of the image config, `NAME=value` each.
    pub env: Vec<String>,
    /// `WorkingDir`; empty means `/`.
    pub working_dir: String,
    /// `User`: empty, a name, a number, or either with `:group`.
    pub user: String,
    /// `/etc/passwd` of the image's root file system; empty if it has none.
    pub passwd: String,
    /// `/etc/group` of the image's root file system; empty if it has none.
    pub group: String,
}

/// Facts of the host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Instance id: six hex digits that everything made on the host carries.
    pub instance: String,
    /// Cgroup version in use.
    pub cgroup: CgroupVersion,
    /// The kernel accounts swap per cgroup (`memory.memsw.limit_in_bytes` or `memory.swap.max` exists).
    pub swap_accounting: bool,
    /// Hard limit of open files of the agent; containers get no more.
    pub max_open_files: u64,
    /// Processors, in thousandths.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Name of the node.
    pub node_name: String,
    /// Addresses of the node, preferred first.
    pub node_ips: Vec<String>,
    /// Directory where the supervisor mounts things in its private mount namespace (one for all: namespaces differ).
    pub mount_dir: PathBuf,
}

/// Version of the cgroup controllers in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupVersion {
    /// Controllers on v1 hierarchies (hybrid counts).
    V1,
    /// The unified hierarchy.
    V2,
}

/// What the operator allows beyond the safe default.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Capabilities (without `CAP_`) that a container may add although they are not in the default set.
    pub extra_capabilities: BTreeSet<String>,
    /// Host directories below which `hostPath` volumes are allowed.
    pub host_paths: Vec<PathBuf>,
    /// Limit of processes and threads in one container.
    pub pids_limit: i64,
    /// Size of `/dev/shm` in bytes.
    pub shm_bytes: u64,
}

/// Values that environment variables may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `data` of config maps of the Pod's namespace, by name; a name that is missing does not exist.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// `data` of secrets of the Pod's namespace, by name.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Variables of services (`KUBERNETES_SERVICE_HOST` and so on), lowest precedence.
    pub services: Vec<(String, String)>,
}

/// A volume as the node agent prepared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volume {
    /// A directory of the host; files in it carry unshifted ids.
    Dir {
        /// Absolute path on the host.
        path: PathBuf,
        /// Read-only whatever the mount says (secrets, config maps).
        read_only: bool,
    },
    /// A file or directory of the host that the operator allowed. Its ids are not shifted: what is the host root's is not
    /// the sandbox root's.
    Host {
        /// The directory that the operator allowed.
        allowed: PathBuf,
        /// The path below it, without links; empty for the directory itself.
        beneath: String,
    },
    /// A file system in memory, mounted on the host for as long as the Pod lives. Files in it carry the ids that the
    /// sandbox's have on the host, because older kernels cannot shift those of such a file system.
    Memory {
        /// Absolute path on the host.
        path: PathBuf,
    },
}

/// Host files bound into the container. Each is optional; a missing one leaves the image's own.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Becomes `/etc/resolv.conf`.
    pub resolv_conf: Option<PathBuf>,
    /// Becomes `/etc/hosts`.
    pub hosts: Option<PathBuf>,
    /// Becomes `/etc/hostname`.
    pub hostname: Option<PathBuf>,
    /// Becomes the container's `terminationMessagePath`.
    pub termination_log: Option<PathBuf>,
}

/// What stands between the workload and the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// Namespaces, cgroups, seccomp on the host's kernel (runc).
    SharedKernel,
    /// A kernel in user space (gVisor).
    UserKernel,
}

/// Part that a container plays in its sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The only container of its sandbox; every runc container is.
    Alone,
    /// The root container that holds a gVisor sandbox for several containers.
    Pause,
    /// A container inside the sandbox with this runtime id.
    Member {
        /// Runtime id of the pause container.
        sandbox: String,
    },
}

/// A run of host ids that a pod's user namespace maps from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// First host id.
    pub base: u32,
    /// Number of ids, usually 65536.
    pub size: u32,
}

/// A host directory or file shown read-only (nosuid, nodev) inside the root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootBind {
    /// Host path.
    pub source: PathBuf,
    /// Absolute path inside.
    pub target: String,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Policy {
            extra_capabilities: BTreeSet::new(),
            host_paths: Vec::new(),
            pids_limit: 1024,
            shm_bytes: 64 << 20,
        }
    }
}
