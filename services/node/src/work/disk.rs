//! Disk use of a Pod against its limits, as the kubelet's eviction manager checks it.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::paths::Paths;
use crate::shared::Shared;
use crate::volumes::usage;

const RESOURCE: &str = "ephemeral-storage";

/// What is measured.
pub(crate) struct Request {
    pub(crate) pod: Arc<Pod>,
    /// Writable layers by container.
    pub(crate) roots: Vec<(String, PathBuf)>,
}

/// Whether anything of this Pod has a limit.
pub(crate) fn is_limited(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.empty_dir.as_ref());
    spec.containers.iter().any(|container| limit(container).is_some())
        || volumes.into_iter().any(|empty| empty.size_limit.is_some())
}

/// Measures, and says in the kubelet's words which limit is exceeded.
pub(crate) async fn exceeded(shared: &Shared, request: Request) -> Option<String> {
    let paths = shared.paths.clone();
    tokio::task::spawn_blocking(move || measure(&paths, &request)).await.ok().flatten()
}

fn measure(paths: &Paths, request: &Request) -> Option<String> {
    let spec = request.pod.spec.as_ref()?;
    let uid = request.pod.metadata.uid.as_deref()?;
    let mut total = 0;
    for volume in spec.volumes.iter().flatten() {
        let Some(empty) = volume.empty_dir.as_ref().filter(|empty| empty.medium.as_deref() != Some("Memory"))
        else {
            continue;
        };
        let used = usage(&paths.pod_volumes(uid).join(&volume.name)).unwrap_or_default();
        total += used;
        if let Some(limit) =
            empty.size_limit.as_ref().filter(|limit| bytes(limit).is_some_and(|max| used > max))
        {
            return Some(format!(
                "Usage of EmptyDir volume {:?} exceeds the limit {:?}. ",
                volume.name, limit.0
            ));
        }
    }
    let mut allowed = Some(0);
    for container in &spec.containers {
        let root = request.roots.iter().find(|(name, _)| *name == container.name);
        let layer = root.and_then(|(_, dir)| usage(dir).ok()).unwrap_or_default();
        let used = layer + usage(&paths.logs(uid, &container.name)).unwrap_or_default();
        total += used;
        let limit = limit(container);
        if let Some(limit) = limit.filter(|limit| bytes(limit).is_some_and(|max| used > max)) {
            let name = &container.name;
            return Some(format!(
                "Container {name} exceeded its local ephemeral storage limit {:?}. ",
                limit.0
            ));
        }
        allowed = allowed.zip(limit.and_then(bytes)).map(|(sum, max)| sum + max);
    }
    let limit = allowed.filter(|max| *max > 0 && total > *max)?;
    Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

fn limit(container: &Container) -> Option<&Quantity> {
    container.resources.as_ref()?.limits.as_ref()?.get(RESOURCE)
}

fn bytes(quantity: &Quantity) -> Option<u64> {
    u64::try_from(podspec::quantity::millis(&quantity.0)? / 1000).ok()
}
