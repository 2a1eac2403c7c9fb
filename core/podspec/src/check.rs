//! What is refused by name, and what is accepted with a warning.

use crate::{
    Refusal, capabilities,
    inputs::{Inputs, Isolation, Policy},
    linux,
};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SeccompProfile, Volume};
use std::path::Path;

/// Checks a whole Pod before anything is pulled or made for it.
///
/// # Errors
/// The first field that is not allowed.
pub fn check(spec: &Pod, policy: &Policy, isolation: Isolation) -> Result<(), Refusal> {
    pod(spec, policy, isolation)?;
    let Some(spec) = &spec.spec else { return Ok(()) };
    for one in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        container(one, policy)?;
        capabilities::resolve(one, policy)?;
    }
    Ok(())
}

/// Pod-level fields.
pub(crate) fn pod(pod: &Pod, policy: &Policy, isolation: Isolation) -> Result<(), Refusal> {
    let Some(spec) = &pod.spec else {
        return Err(Refusal::forbidden("spec", "the pod has no spec", "add one with a container"));
    };
    host_namespaces(spec)?;
    let context = spec.security_context.as_ref();
    seccomp("spec.securityContext.seccompProfile", context.and_then(|c| c.seccomp_profile.as_ref()))?;
    linux::check_sysctls(pod, isolation)?;
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err(Refusal::forbidden(
            "spec.resourceClaims",
            "devices are not given to sandboxes",
            "remove the claims",
        ));
    }
    for volume in spec.volumes.iter().flatten() {
        check_volume(volume, policy)?;
    }
    Ok(())
}

fn host_namespaces(spec: &PodSpec) -> Result<(), Refusal> {
    let own = "a sandbox has its own; remove the field";
    let checks = [
        (spec.host_network, "spec.hostNetwork", "the host's network is not shared with sandboxes", own),
        (spec.host_pid, "spec.hostPID", "the host's processes are not shared with sandboxes", own),
        (spec.host_ipc, "spec.hostIPC", "the host's IPC is not shared with sandboxes", own),
        (spec.host_users, "spec.hostUsers", "sandboxes do not run with the host's user ids", own),
        (
            spec.share_process_namespace,
            "spec.shareProcessNamespace",
            "containers of a sandbox do not share a process namespace",
            "run the processes in one container",
        ),
    ];
    for (value, field, message, remedy) in checks {
        if value == Some(true) {
            return Err(Refusal::forbidden(field, message, remedy));
        }
    }
    Ok(())
}

/// Container-level fields.
pub(crate) fn container(container: &Container, policy: &Policy) -> Result<(), Refusal> {
    let at = |field: &str| format!("spec.containers[{}].{field}", container.name);
    let context = container.security_context.as_ref();
    if context.and_then(|c| c.privileged) == Some(true) {
        return Err(Refusal::forbidden(
            at("securityContext.privileged"),
            "privileged containers are not allowed",
            "remove it; add single capabilities that the operator allows, or choose runtimeClassName: gvisor, where root may do more",
        ));
    }
    if context.and_then(|c| c.proc_mount.as_deref()).is_some_and(|mount| mount != "Default") {
        return Err(Refusal::forbidden(
            at("securityContext.procMount"),
            "procMount Unmasked is not allowed",
            "remove it",
        ));
    }
    if context.and_then(|c| c.windows_options.as_ref()).is_some_and(|w| w.host_process == Some(true)) {
        return Err(Refusal::forbidden(
            at("securityContext.windowsOptions.hostProcess"),
            "host processes are not allowed",
            "remove it",
        ));
    }
    seccomp(&at("securityContext.seccompProfile"), context.and_then(|c| c.seccomp_profile.as_ref()))?;
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Err(Refusal::forbidden(
            at("volumeDevices"),
            "block devices are not given to sandboxes",
            "use a volume with a file system (volumeMounts)",
        ));
    }
    if container.ports.iter().flatten().any(|port| port.host_port.is_some_and(|port| port != 0)) {
        return Err(Refusal::forbidden(
            at("ports.hostPort"),
            "ports of the host are not given to sandboxes",
            "remove it; reach the port with `kubectl port-forward` or through a Service",
        ));
    }
    mounts(container, policy)
}

fn mounts(container: &Container, _policy: &Policy) -> Result<(), Refusal> {
    for mount in container.volume_mounts.iter().flatten() {
        if mount.mount_propagation.as_deref() == Some("Bidirectional") {
            return Err(Refusal::forbidden(
                format!("spec.containers[{}].volumeMounts[{}].mountPropagation", container.name, mount.name),
                "Bidirectional propagation is not allowed",
                "remove it",
            ));
        }
    }
    Ok(())
}

fn seccomp(field: &str, profile: Option<&SeccompProfile>) -> Result<(), Refusal> {
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("RuntimeDefault") => Ok(()),
        Some(other) => Err(Refusal::forbidden(
            field,
            format!("seccomp profile {other} is not allowed"),
            "use RuntimeDefault, which is what every sandbox gets",
        )),
    }
}

fn check_volume(volume: &Volume, policy: &Policy) -> Result<(), Refusal> {
    let field = |kind: &str| format!("spec.volumes[{}].{kind}", volume.name);
    if let Some(host) = &volume.host_path {
        let path = Path::new(&host.path);
        let plain =
            path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir);
        if plain && policy.host_paths.iter().any(|allowed| path.starts_with(allowed)) {
            return Ok(());
        }
        return Err(Refusal::forbidden(
            field("hostPath"),
            format!("host path {} is not allowed", host.path),
            "use a persistentVolumeClaim or emptyDir, or let the operator allow the directory (node option hostPaths)",
        ));
    }
    if volume.empty_dir.as_ref().and_then(|dir| dir.medium.as_deref()).is_some_and(|m| m.starts_with("Huge"))
    {
        return Err(Refusal::forbidden(
            field("emptyDir.medium"),
            "huge pages are not given to sandboxes",
            "use medium Memory",
        ));
    }
    let supported = volume.empty_dir.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
        || volume.ephemeral.is_some();
    if supported {
        return Ok(());
    }
    let kind = kind_of(volume);
    if kind == "emptyDir" {
        return Ok(()); // Kubernetes: a volume without a source is an emptyDir.
    }
    Err(Refusal::forbidden(
        field(&kind),
        format!("volumes of type {kind} are not supported on this node"),
        "use persistentVolumeClaim, emptyDir, configMap, secret, downwardAPI or projected",
    ))
}

/// Name of the volume's source as written in the manifest.
fn kind_of(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let names = value.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    names.into_iter().find(|key| key != "name").unwrap_or_else(|| "emptyDir".to_owned())
}

/// Fields accepted without effect.
pub(crate) fn warnings(inputs: &Inputs<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let name = &inputs.container.name;
    let own = inputs.container.security_context.as_ref();
    let pod = inputs.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let mut add = |yes: bool, text: &str| {
        if yes {
            out.push(format!("container {name}: {text}"));
        }
    };
    add(
        own.and_then(|c| c.allow_privilege_escalation) == Some(true),
        "allowPrivilegeEscalation has no effect: processes in a sandbox never gain privileges",
    );
    add(
        own.is_some_and(|c| c.se_linux_options.is_some())
            || pod.is_some_and(|p| p.se_linux_options.is_some()),
        "seLinuxOptions has no effect on this node",
    );
    add(
        own.is_some_and(|c| c.app_armor_profile.is_some())
            || pod.is_some_and(|p| p.app_armor_profile.is_some()),
        "appArmorProfile has no effect on this node",
    );
    let propagated = |m: &k8s_openapi::api::core::v1::VolumeMount| {
        m.mount_propagation.as_deref() == Some("HostToContainer")
    };
    add(
        inputs.container.volume_mounts.iter().flatten().any(propagated),
        "mountPropagation HostToContainer has no effect on this node",
    );
    add(
        inputs.isolation == Isolation::UserKernel && linux::has_net_sysctls(inputs.pod),
        "network sysctls have no effect under gVisor",
    );
    out
}
