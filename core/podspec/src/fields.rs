//! The fields that are not honoured: which are refused, which are accepted with a warning, and in which words.
//!
//! What weakens the isolation, or would lose or misplace data if it were ignored, is refused. What can only not help is warned
//! about.

use crate::Refusal;
use k8s_openapi::api::core::v1::{
    Affinity, Container, HTTPGetAction, LifecycleHandler, PodSpec, Probe, TCPSocketAction, Volume,
};

/// A field that a Pod may not have, and what to do instead.
struct Refused<T> {
    field: &'static str,
    message: &'static str,
    remedy: &'static str,
    has: fn(&T) -> bool,
}

/// A field that has no effect.
struct Warned<T> {
    text: &'static str,
    has: fn(&T) -> bool,
}

const OWN: &str = "a sandbox has its own; remove the field";

const POD: &[Refused<PodSpec>] = &[
    Refused {
        field: "hostNetwork",
        message: "the host's network is not shared with sandboxes",
        remedy: OWN,
        has: |spec| spec.host_network == Some(true),
    },
    Refused {
        field: "hostPID",
        message: "the host's processes are not shared with sandboxes",
        remedy: OWN,
        has: |spec| spec.host_pid == Some(true),
    },
    Refused {
        field: "hostIPC",
        message: "the host's IPC is not shared with sandboxes",
        remedy: OWN,
        has: |spec| spec.host_ipc == Some(true),
    },
    Refused {
        field: "hostUsers",
        message: "sandboxes do not run with the host's user ids",
        remedy: OWN,
        has: |spec| spec.host_users == Some(true),
    },
    Refused {
        field: "shareProcessNamespace",
        message: "containers of a sandbox do not share a process namespace",
        remedy: "run the processes in one container",
        has: |spec| spec.share_process_namespace == Some(true),
    },
    Refused {
        field: "resourceClaims",
        message: "devices are not given to sandboxes",
        remedy: "remove the claims",
        has: |spec| spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()),
    },
    Refused {
        field: "resources",
        message: "resources of a whole pod are not enforced on this node",
        remedy: "give each container its own resources",
        has: |spec| {
            let lists = spec.resources.iter().flat_map(|own| [own.limits.as_ref(), own.requests.as_ref()]);
            lists.flatten().any(|list| !list.is_empty())
        },
    },
];

const CONTAINER: &[Refused<Container>] = &[
    Refused {
        field: "securityContext.privileged",
        message: "privileged containers are not allowed",
        remedy: "remove it; add single capabilities that the operator allows, or choose runtimeClassName: gvisor, where root may do more",
        has: |one| one.security_context.as_ref().and_then(|c| c.privileged) == Some(true),
    },
    Refused {
        field: "securityContext.procMount",
        message: "procMount Unmasked is not allowed",
        remedy: "remove it",
        has: |one| {
            let mount = one.security_context.as_ref().and_then(|c| c.proc_mount.as_deref());
            mount.is_some_and(|mount| mount != "Default")
        },
    },
    Refused {
        field: "securityContext.windowsOptions.hostProcess",
        message: "host processes are not allowed",
        remedy: "remove it",
        has: |one| {
            let windows = one.security_context.as_ref().and_then(|c| c.windows_options.as_ref());
            windows.is_some_and(|windows| windows.host_process == Some(true))
        },
    },
    Refused {
        field: "volumeDevices",
        message: "block devices are not given to sandboxes",
        remedy: "use a volume with a file system (volumeMounts)",
        has: |one| one.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()),
    },
    Refused {
        field: "ports.hostPort",
        message: "ports of the host are not given to sandboxes",
        remedy: "remove it; reach the port with `kubectl port-forward` or through a Service",
        has: |one| one.ports.iter().flatten().any(|port| port.host_port.is_some_and(|port| port != 0)),
    },
    Refused {
        field: "volumeMounts.mountPropagation",
        message: "Bidirectional propagation is not allowed",
        remedy: "remove it",
        has: |one| {
            let mut mounts = one.volume_mounts.iter().flatten();
            mounts.any(|mount| mount.mount_propagation.as_deref() == Some("Bidirectional"))
        },
    },
    Refused {
        field: "volumeMounts.recursiveReadOnly",
        message: "recursively read-only mounts are not supported on this node",
        remedy: "use IfPossible, or leave it out: no volume here has a file system mounted inside",
        has: |one| {
            let mut mounts = one.volume_mounts.iter().flatten();
            mounts.any(|mount| mount.recursive_read_only.as_deref() == Some("Enabled"))
        },
    },
    // The agent asks from the host: with a host of the tenant's choice it would reach what is closed to the sandbox.
    Refused {
        field: "*.host",
        message: "probes and hooks reach the pod's own address and no other host",
        remedy: "remove `host` from httpGet and tcpSocket; to name a virtual host, set the header Host",
        has: names_a_host,
    },
];

const VOLUME: &[Refused<Volume>] = &[
    Refused {
        field: "emptyDir.medium",
        message: "huge pages are not given to sandboxes",
        remedy: "use medium Memory",
        has: |volume| {
            let medium = volume.empty_dir.as_ref().and_then(|dir| dir.medium.as_deref());
            medium.is_some_and(|medium| medium.starts_with("Huge"))
        },
    },
    Refused {
        field: "ephemeral",
        message: "generic ephemeral volumes are not supported on this node",
        remedy: "use emptyDir, or a persistentVolumeClaim (a Sandbox makes one from volumeClaimTemplates)",
        has: |volume| volume.ephemeral.is_some(),
    },
];

const POD_WARNED: &[Warned<PodSpec>] = &[
    Warned {
        text: "required pod affinity and anti-affinity have no effect: there is one node",
        has: |spec| spec.affinity.as_ref().is_some_and(needs_neighbours),
    },
    Warned {
        text: "topologySpreadConstraints with DoNotSchedule have no effect: there is one node",
        has: |spec| {
            let mut constraints = spec.topology_spread_constraints.iter().flatten();
            constraints.any(|one| one.when_unsatisfiable == "DoNotSchedule")
        },
    },
    Warned {
        text: "seLinuxOptions has no effect on this node",
        has: |spec| spec.security_context.as_ref().is_some_and(|c| c.se_linux_options.is_some()),
    },
    Warned {
        text: "appArmorProfile has no effect on this node",
        has: |spec| spec.security_context.as_ref().is_some_and(|c| c.app_armor_profile.is_some()),
    },
];

const CONTAINER_WARNED: &[Warned<Container>] = &[
    Warned {
        text: "allowPrivilegeEscalation has no effect: processes in a sandbox never gain privileges",
        has: |one| one.security_context.as_ref().and_then(|c| c.allow_privilege_escalation) == Some(true),
    },
    Warned {
        text: "seLinuxOptions has no effect on this node",
        has: |one| one.security_context.as_ref().is_some_and(|c| c.se_linux_options.is_some()),
    },
    Warned {
        text: "appArmorProfile has no effect on this node",
        has: |one| one.security_context.as_ref().is_some_and(|c| c.app_armor_profile.is_some()),
    },
    Warned {
        text: "mountPropagation HostToContainer has no effect on this node",
        has: |one| {
            let mut mounts = one.volume_mounts.iter().flatten();
            mounts.any(|mount| mount.mount_propagation.as_deref() == Some("HostToContainer"))
        },
    },
];

/// The first field of the Pod itself that is refused.
pub(crate) fn pod(spec: &PodSpec) -> Result<(), Refusal> {
    first(POD, spec, |field| format!("spec.{field}"))
}

/// The first field of a container that is refused.
pub(crate) fn container(container: &Container) -> Result<(), Refusal> {
    first(CONTAINER, container, |field| format!("spec.containers[{}].{field}", container.name))
}

/// The first field of a volume that is refused.
pub(crate) fn volume(volume: &Volume) -> Result<(), Refusal> {
    first(VOLUME, volume, |field| format!("spec.volumes[{}].{field}", volume.name))
}

/// What of the Pod itself has no effect.
pub(crate) fn pod_warnings(spec: &PodSpec) -> impl Iterator<Item = &'static str> {
    POD_WARNED.iter().filter(|row| (row.has)(spec)).map(|row| row.text)
}

/// What of a container has no effect.
pub(crate) fn container_warnings(container: &Container) -> impl Iterator<Item = &'static str> {
    CONTAINER_WARNED.iter().filter(|row| (row.has)(container)).map(|row| row.text)
}

fn first<T>(table: &[Refused<T>], asked: &T, at: impl Fn(&str) -> String) -> Result<(), Refusal> {
    match table.iter().find(|row| (row.has)(asked)) {
        Some(row) => Err(Refusal::forbidden(at(row.field), row.message, row.remedy)),
        None => Ok(()),
    }
}

fn needs_neighbours(affinity: &Affinity) -> bool {
    let near = affinity.pod_affinity.as_ref();
    let far = affinity.pod_anti_affinity.as_ref();
    let near = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
    let far = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref());
    near.is_some_and(|terms| !terms.is_empty()) || far.is_some_and(|terms| !terms.is_empty())
}

fn names_a_host(container: &Container) -> bool {
    let http = |get: &HTTPGetAction| is_named(get.host.as_ref());
    let tcp = |tcp: &TCPSocketAction| is_named(tcp.host.as_ref());
    let probe =
        |one: &Probe| one.http_get.as_ref().is_some_and(http) || one.tcp_socket.as_ref().is_some_and(tcp);
    let hook = |one: &LifecycleHandler| {
        one.http_get.as_ref().is_some_and(http) || one.tcp_socket.as_ref().is_some_and(tcp)
    };
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    let hooks = container.lifecycle.iter().flat_map(|life| [&life.post_start, &life.pre_stop]);
    probes.into_iter().flatten().any(probe) || hooks.flatten().any(hook)
}

fn is_named(host: Option<&String>) -> bool {
    host.is_some_and(|host| !host.is_empty())
}
