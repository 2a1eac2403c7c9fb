//! What the container's file system is made of, beyond its root.

use crate::{
    INIT_PATH, Refusal,
    bundle::Prepared,
    env::expand,
    inputs::{Inputs, Isolation, Role, Volume},
    linux,
};
use k8s_openapi::api::core::v1::VolumeMount;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What [`build`] makes.
pub(crate) struct Mounts {
    pub(crate) oci: Vec<Value>,
    pub(crate) prepared: Vec<Prepared>,
}

/// A file that every container gets.
struct OwnFile<'a> {
    name: &'static str,
    source: &'a Path,
    target: &'a str,
    read_only: bool,
}

/// What is mounted in the order of its depth: a volume over `/etc` must not hide the Pod's `/etc/hosts`.
enum Wanted<'a> {
    File(OwnFile<'a>),
    Volume(usize, &'a VolumeMount),
}

/// System mounts, then the root's binds, then files and volumes from the shallowest to the deepest path.
pub(crate) fn build(inputs: &Inputs<'_>, variables: &[(String, String)]) -> Result<Mounts, Refusal> {
    let mut mounts = Mounts { oci: system(inputs), prepared: Vec::new() };
    for (index, bind) in inputs.root_binds.iter().enumerate() {
        mounts.bind(inputs, &format!("root{index}"), &bind.source, None, &bind.target, true);
    }
    if let Some(init) = inputs.init {
        mounts.bind(inputs, "init", init, None, INIT_PATH, true);
    }
    let volumes = inputs.container.volume_mounts.iter().flatten().enumerate();
    let volumes = volumes.map(|(index, mount)| Wanted::Volume(index, mount));
    let mut wanted: Vec<Wanted<'_>> = files(inputs).into_iter().chain(volumes).collect();
    wanted.sort_by_key(Wanted::depth);
    for one in wanted {
        match one {
            Wanted::File(file) => {
                mounts.bind(inputs, file.name, file.source, None, file.target, file.read_only);
            }
            Wanted::Volume(index, mount) => add_volume(inputs, variables, index, mount, &mut mounts)?,
        }
    }
    Ok(mounts)
}

/// `/proc`, `/dev`, `/sys` and what lies below.
pub(crate) fn system(inputs: &Inputs<'_>) -> Vec<Value> {
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let shm = format!("size={}", inputs.policy.shm_bytes);
    let mut list = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    match inputs.isolation {
        Isolation::SharedKernel => {
            // A user namespace may not mount sysfs of a network namespace it does not own: the supervisor does.
            let sys = inputs.host.mount_dir.join("sys");
            list.push(mount(
                "/sys",
                "bind",
                &sys.to_string_lossy(),
                &["rbind", "ro", "nosuid", "noexec", "nodev"],
            ));
            list.push(mount(
                "/sys/fs/cgroup",
                "cgroup",
                "cgroup",
                &["nosuid", "noexec", "nodev", "relatime", "ro"],
            ));
        }
        Isolation::UserKernel => {
            list.push(mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]));
            // In a container that joins a sandbox, runsc cannot restart with a cgroup mount ("file exists").
            if inputs.role == &Role::Alone {
                list.push(mount(
                    "/sys/fs/cgroup",
                    "cgroup",
                    "cgroup",
                    &["nosuid", "noexec", "nodev", "relatime", "ro"],
                ));
            }
        }
    }
    list
}

fn files<'a>(inputs: &Inputs<'a>) -> Vec<Wanted<'a>> {
    let ro = linux::read_only_root(inputs.container);
    let message = inputs.container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    let files = inputs.files;
    let all = [
        ("hostname", &files.hostname, "/etc/hostname", ro),
        ("hosts", &files.hosts, "/etc/hosts", ro),
        ("resolv", &files.resolv_conf, "/etc/resolv.conf", ro),
        ("termination", &files.termination_log, message, false),
    ];
    let own = |target: &str| {
        inputs.container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == target)
    };
    let wanted = all.into_iter().filter(|(_, _, target, _)| !target.is_empty() && !own(target));
    let file = |(name, source, target, read_only): (_, &'a Option<PathBuf>, _, _)| {
        Some(Wanted::File(OwnFile { name, source: source.as_deref()?, target, read_only }))
    };
    wanted.filter_map(file).collect()
}

fn add_volume(
    inputs: &Inputs<'_>,
    variables: &[(String, String)],
    index: usize,
    mount: &VolumeMount,
    mounts: &mut Mounts,
) -> Result<(), Refusal> {
    let field = format!("spec.containers[{}].volumeMounts[{}]", inputs.container.name, mount.name);
    let volume = inputs.volumes.get(&mount.name).ok_or_else(|| {
        Refusal::config(
            &field,
            format!("volume {:?} of volumeMounts is not one of the pod's volumes", mount.name),
        )
    })?;
    let sub_path = sub_path(mount, variables, &field)?;
    let read_only = mount.read_only == Some(true);
    let target = absolute(&mount.mount_path);
    match volume {
        Volume::Dir { path, read_only: always } => {
            let name = format!("volume{index}");
            mounts.bind(inputs, &name, path, sub_path, &target, read_only || *always);
        }
        Volume::Host { allowed, beneath } => {
            let parts = [Some(beneath.as_str()).filter(|path| !path.is_empty()), sub_path.as_deref()];
            let path = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
            let path = Some(path).filter(|path| !path.is_empty());
            mounts.bind(inputs, &format!("volume{index}"), allowed, path, &target, read_only);
            if let Some(prepared) = mounts.prepared.last_mut() {
                prepared.idmap = false;
                prepared.no_links = true;
            }
        }
        Volume::Memory { path } => {
            mounts.bind(inputs, &format!("volume{index}"), path, sub_path, &target, read_only);
            if let Some(prepared) = mounts.prepared.last_mut() {
                prepared.idmap = false;
            }
        }
    }
    Ok(())
}

fn sub_path(
    mount: &VolumeMount,
    variables: &[(String, String)],
    field: &str,
) -> Result<Option<String>, Refusal> {
    let plain = mount.sub_path.clone().filter(|path| !path.is_empty());
    let expression = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty());
    let Some(path) = expression.map(|text| expand(text, variables)).or(plain) else { return Ok(None) };
    let parts = Path::new(&path).components();
    if path.starts_with('/') || parts.into_iter().any(|part| part == std::path::Component::ParentDir) {
        return Err(Refusal::config(
            field,
            format!("subPath {path:?} must be a relative path and not contain \"..\""),
        ));
    }
    Ok(Some(path))
}

/// Kubernetes takes a relative mount path as one from the root.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

// === impl Wanted ===

impl Wanted<'_> {
    fn depth(&self) -> usize {
        let target = match self {
            Wanted::File(file) => file.target,
            Wanted::Volume(_, mount) => &mount.mount_path,
        };
        Path::new(target.trim_start_matches('/')).components().count()
    }
}

// === impl Mounts ===

impl Mounts {
    /// Binds `source` through a mount that the supervisor prepares.
    pub(crate) fn bind(
        &mut self,
        inputs: &Inputs<'_>,
        name: &str,
        source: &Path,
        sub_path: Option<String>,
        target: &str,
        read_only: bool,
    ) {
        let access = if read_only { "ro" } else { "rw" };
        self.oci.push(json!({
            "destination": target,
            "type": "bind",
            "source": inputs.host.mount_dir.join(name),
            "options": ["bind", "rprivate", "nosuid", "nodev", access],
        }));
        self.prepared.push(Prepared {
            name: name.to_owned(),
            source: source.to_owned(),
            sub_path,
            idmap: inputs.ids.is_some(),
            read_only,
            no_links: false,
        });
    }
}
