//! The `linux` section: namespaces, cgroup, seccomp, masked paths, sysctls.

use crate::{
    Refusal,
    inputs::{Inputs, Isolation, Role},
    resources::{self, Limits},
    seccomp,
};
use k8s_openapi::api::core::v1::{Container, Pod, Sysctl};
use serde_json::{Map, Value, json};

/// Hidden from containers (containerd's list).
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Shown read-only (containerd's list).
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Sysctls that Kubernetes calls safe: each concerns only the pod's own namespaces.
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// What [`build`] makes.
pub(crate) struct Linux {
    pub(crate) section: Value,
    pub(crate) net_sysctls: Vec<(String, String)>,
}

pub(crate) fn build(inputs: &Inputs<'_>, limits: &Limits) -> Result<Linux, Refusal> {
    check_sysctls(inputs.pod, inputs.isolation)?;
    let mut section = json!({
        "namespaces": namespaces(inputs),
        "cgroupsPath": cgroups_path(inputs, &inputs.container.name),
        "resources": resources::section(limits, inputs.host.swap_accounting),
        "seccomp": seccomp::profile(inputs.isolation),
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
        "sysctl": ipc_sysctls(inputs),
    });
    if let Some(ids) = inputs.ids {
        let map = json!([{ "containerID": 0, "hostID": ids.base, "size": ids.size }]);
        section["uidMappings"] = map.clone();
        section["gidMappings"] = map;
    }
    Ok(Linux { section, net_sysctls: net_sysctls(inputs) })
}

/// `/agent-sandbox-<instance>/<pod uid>/<container>`.
pub(crate) fn cgroups_path(inputs: &Inputs<'_>, container: &str) -> String {
    let uid = inputs.pod.metadata.uid.as_deref().unwrap_or("unknown");
    format!("/agent-sandbox-{}/{uid}/{container}", inputs.host.instance)
}

/// On a shared kernel the network namespace is not in the list: the runtime runs inside it and the container inherits
/// it. Named in the list, `runc exec` would enter the user namespace first and then have no right to the network's.
pub(crate) fn namespaces(inputs: &Inputs<'_>) -> Value {
    let mut list: Vec<Value> =
        ["pid", "ipc", "uts", "mount"].into_iter().map(|kind| json!({ "type": kind })).collect();
    if inputs.isolation == Isolation::UserKernel {
        list.push(json!({ "type": "network", "path": inputs.netns }));
    }
    if inputs.isolation == Isolation::SharedKernel {
        list.push(json!({ "type": "cgroup" }));
        if inputs.ids.is_some() {
            list.push(json!({ "type": "user" }));
        }
    }
    Value::Array(list)
}

/// What tells runsc which containers share a sandbox.
pub(crate) fn annotations(inputs: &Inputs<'_>) -> Value {
    match inputs.role {
        Role::Alone => json!({}),
        Role::Pause => json!({ "io.kubernetes.cri.container-type": "sandbox" }),
        Role::Member { sandbox } => json!({
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.sandbox-id": sandbox,
            "io.kubernetes.cri.container-name": inputs.container.name,
        }),
    }
}

pub(crate) fn read_only_root(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|c| c.read_only_root_filesystem) == Some(true)
}

/// Kubernetes refuses unsafe sysctls with `SysctlForbidden`.
pub(crate) fn check_sysctls(pod: &Pod, _isolation: Isolation) -> Result<(), Refusal> {
    match asked(pod).find(|sysctl| !SAFE_SYSCTLS.contains(&plain(&sysctl.name).as_str())) {
        None => Ok(()),
        Some(sysctl) => Err(Refusal::forbidden(
            "spec.securityContext.sysctls",
            format!("forbidden sysctl: \"{}\" not allowlisted", sysctl.name),
            format!("allowed are {}", SAFE_SYSCTLS.join(", ")),
        )),
    }
}

pub(crate) fn has_net_sysctls(pod: &Pod) -> bool {
    asked(pod).any(|sysctl| plain(&sysctl.name).starts_with("net."))
}

/// Written by the supervisor: inside a user namespace the runtime may not.
///
/// The first two make up for what the user namespace takes away: it has no power over the network namespace, so
/// neither `NET_BIND_SERVICE` nor raw sockets work; low ports and ping then need these.
fn net_sysctls(inputs: &Inputs<'_>) -> Vec<(String, String)> {
    if inputs.isolation == Isolation::UserKernel {
        return Vec::new();
    }
    let mut list = vec![
        ("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned()),
        ("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned()),
    ];
    for sysctl in asked(inputs.pod).filter(|sysctl| plain(&sysctl.name).starts_with("net.")) {
        list.push((plain(&sysctl.name), sysctl.value.clone()));
    }
    list
}

fn ipc_sysctls(inputs: &Inputs<'_>) -> Value {
    let own = asked(inputs.pod).filter(|sysctl| !plain(&sysctl.name).starts_with("net."));
    let map: Map<String, Value> =
        own.map(|sysctl| (plain(&sysctl.name), sysctl.value.clone().into())).collect();
    Value::Object(map)
}

fn asked(pod: &Pod) -> impl Iterator<Item = &Sysctl> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    context.into_iter().flat_map(|context| context.sysctls.iter().flatten())
}

/// Kubernetes accepts `/` as separator too.
fn plain(name: &str) -> String {
    name.replace('/', ".")
}
