//! What is refused by name, and what is accepted with a warning.

use crate::{
    Refusal, capabilities, fields,
    inputs::{Inputs, Isolation, Policy},
    linux,
};
use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile, Volume};
use std::path::Path;

/// Checks a whole Pod before anything is pulled or made for it.
///
/// # Errors
/// The first field that is not allowed.
pub fn check(spec: &Pod, policy: &Policy, isolation: Isolation) -> Result<(), Refusal> {
    pod(spec, policy, isolation)?;
    let Some(spec) = &spec.spec else { return Ok(()) };
    for one in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        container(one)?;
        capabilities::resolve(one, policy)?;
    }
    Ok(())
}

/// Pod-level fields.
pub(crate) fn pod(pod: &Pod, policy: &Policy, isolation: Isolation) -> Result<(), Refusal> {
    let Some(spec) = &pod.spec else {
        return Err(Refusal::forbidden("spec", "the pod has no spec", "add one with a container"));
    };
    fields::pod(spec)?;
    let context = spec.security_context.as_ref();
    seccomp("spec.securityContext.seccompProfile", context.and_then(|c| c.seccomp_profile.as_ref()))?;
    linux::check_sysctls(pod, isolation)?;
    for volume in spec.volumes.iter().flatten() {
        check_volume(volume, policy)?;
    }
    Ok(())
}

/// Container-level fields.
pub(crate) fn container(container: &Container) -> Result<(), Refusal> {
    fields::container(container)?;
    let field = format!("spec.containers[{}].securityContext.seccompProfile", container.name);
    let context = container.security_context.as_ref();
    seccomp(&field, context.and_then(|c| c.seccomp_profile.as_ref()))
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
    fields::volume(volume)?;
    let field = |kind: &str| format!("spec.volumes[{}].{kind}", volume.name);
    if let Some(host) = &volume.host_path {
        let path = Path::new(&host.path);
        let plain =
            path.is_absolute() && !path.components().any(|part| part == std::path::Component::ParentDir);
        // Links on the way are refused when it is opened: see the node agent's volumes.
        if plain && policy.host_paths.iter().any(|allowed| path.starts_with(allowed)) {
            return Ok(());
        }
        return Err(Refusal::forbidden(
            field("hostPath"),
            format!("host path {} is not allowed", host.path),
            "use a persistentVolumeClaim or emptyDir, or let the operator allow the directory (node option hostPaths)",
        ));
    }
    let supported = volume.empty_dir.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some();
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

/// Fields accepted without effect. Those of the Pod are told with its first container.
pub(crate) fn warnings(inputs: &Inputs<'_>) -> Vec<String> {
    let name = &inputs.container.name;
    let own = fields::container_warnings(inputs.container).map(|text| format!("container {name}: {text}"));
    let spec = inputs.pod.spec.as_ref();
    let first = spec.filter(|spec| spec.containers.first().is_some_and(|first| first.name == *name));
    let mut all: Vec<String> = first.into_iter().flat_map(fields::pod_warnings).map(str::to_owned).collect();
    if first.is_some() && inputs.isolation == Isolation::UserKernel && linux::has_net_sysctls(inputs.pod) {
        all.push("network sysctls have no effect under gVisor".to_owned());
    }
    all.extend(own);
    all
}
