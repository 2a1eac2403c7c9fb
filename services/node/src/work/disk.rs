//! Disk use of a Pod against its limits, as the kubelet's eviction manager checks it.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::paths::Paths;
use crate::shared::Shared;
use crate::volumes::usage;

const RESOURCE: &str = "ephemeral-storage";

/// What is measured.
pub(crate) struct Request {
    pub(crate) pod: Arc<Pod>,
    /// Containers with their writable layers and the numbers of their runs.
    pub(crate) roots: Vec<(String, PathBuf, u32)>,
}

/// Whether anything of this Pod has a limit.
pub(crate) fn is_limited(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.empty_dir.as_ref());
    all(spec).any(|container| limit(container).is_some())
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
    volume_over(paths, uid, spec)
        .or_else(|| container_over(paths, uid, spec, request))
        .or_else(|| pod_over(paths, uid, spec, request))
}

fn volume_over(paths: &Paths, uid: &str, spec: &PodSpec) -> Option<String> {
    let on_disk = |volume: &Volume| {
        volume.empty_dir.clone().filter(|empty| empty.medium.as_deref() != Some("Memory"))?.size_limit
    };
    spec.volumes.iter().flatten().find_map(|volume| {
        let limit = on_disk(volume)?;
        let used = usage(&paths.pod_volumes(uid).join(&volume.name)).unwrap_or_default();
        bytes(&limit)
            .is_some_and(|max| used > max)
            .then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", volume.name, limit.0))
    })
}

/// A container's own: its writable layer, its logs, and what it wrote into its termination message.
fn container_over(paths: &Paths, uid: &str, spec: &PodSpec, request: &Request) -> Option<String> {
    all(spec).find_map(|container| {
        let (name, limit) = (&container.name, limit(container)?);
        let root = request.roots.iter().find(|(of, _, _)| of == name);
        let last_words = paths.container(uid, name, root.map_or(1, |(_, _, run)| *run));
        let places = [root.map(|(_, dir, _)| dir.clone()), Some(paths.logs(uid, name)), Some(last_words)];
        let used: u64 = places.iter().flatten().filter_map(|dir| usage(dir).ok()).sum();
        bytes(limit)
            .is_some_and(|max| used > max)
            .then(|| format!("Container {name} exceeded its local ephemeral storage limit {:?}. ", limit.0))
    })
}

/// All that the Pod has on disk: its directory, and the layers that are kept elsewhere.
fn pod_over(paths: &Paths, uid: &str, spec: &PodSpec, request: &Request) -> Option<String> {
    let limit = total(spec)?;
    let own = paths.pod(uid);
    let kept = request.roots.iter().map(|(_, dir, _)| dir).filter(|dir| !dir.starts_with(&own));
    let used: u64 = std::iter::once(&own).chain(kept).filter_map(|dir| usage(dir).ok()).sum();
    (used > limit)
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

/// The Pod's limit as Kubernetes computes it: the sum of the limits that its containers and sidecars have, or the largest of
/// an init container with the sidecars that were there before it.
fn total(spec: &PodSpec) -> Option<u64> {
    let of = |container: &Container| limit(container).and_then(bytes).unwrap_or_default();
    let (mut sidecars, mut most) = (0_u64, 0);
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars.saturating_add(of(container));
        } else {
            most = most.max(sidecars.saturating_add(of(container)));
        }
    }
    let sum = spec.containers.iter().map(of).fold(sidecars, u64::saturating_add);
    Some(sum.max(most)).filter(|total| *total > 0)
}

fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn limit(container: &Container) -> Option<&Quantity> {
    container.resources.as_ref()?.limits.as_ref()?.get(RESOURCE)
}

fn bytes(quantity: &Quantity) -> Option<u64> {
    u64::try_from(podspec::quantity::millis(&quantity.0)? / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::Path;

    fn pod(spec: &Value) -> Arc<Pod> {
        Arc::new(serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).unwrap())
    }

    fn limited(name: &str, limit: &str) -> Value {
        json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}})
    }

    fn write(path: &Path, size: usize) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(path).unwrap();
        std::io::Write::write_all(&mut &file, &vec![1; size]).unwrap();
        file.sync_all().unwrap();
    }

    /// Kubernetes (resource helpers, PodLimits): containers without a limit add nothing, sidecars add up with the containers.
    #[test]
    fn the_pods_limit_is_kubernetes_own() {
        let total_of = |spec: Value| total(pod(&spec).spec.as_ref().unwrap());
        assert_eq!(total_of(json!({"containers": [limited("a", "100"), {"name": "b"}]})), Some(100));
        assert_eq!(total_of(json!({"containers": [{"name": "b"}]})), None);
        let mut sidecar = limited("s", "30");
        sidecar["restartPolicy"] = json!("Always");
        let init = json!([sidecar, limited("i", "500")]);
        assert_eq!(total_of(json!({"containers": [limited("a", "100")], "initContainers": init})), Some(530));
        assert_eq!(total_of(json!({"containers": [limited("a", "600")], "initContainers": init})), Some(630));
    }

    #[test]
    fn what_an_init_container_or_a_termination_message_takes_counts() {
        let place = tempfile::tempdir().unwrap();
        let paths = Paths::new(place.path(), place.path());
        let layer = paths.layer("u", "init", 1);
        write(&layer.join("upper/file"), 2 << 20);
        let roots = vec![("init".to_owned(), layer, 1)];
        let init = json!([limited("init", "1Mi")]);
        let spec = json!({"containers": [{"name": "a"}], "initContainers": init});
        let said = measure(&paths, &Request { pod: pod(&spec), roots }).expect("over");
        assert!(said.contains("Container init exceeded"), "{said}");

        write(&paths.container("u", "a", 1).join("termination-log"), 2 << 20);
        let spec = json!({"containers": [limited("a", "1Mi")]});
        let roots = vec![("a".to_owned(), paths.layer("u", "a", 1), 1)];
        let said = measure(&paths, &Request { pod: pod(&spec), roots }).expect("over");
        assert!(said.contains("Container a exceeded"), "{said}");
    }

    #[test]
    fn files_of_the_pod_that_a_container_may_write_count_for_the_pod() {
        let place = tempfile::tempdir().unwrap();
        let paths = Paths::new(place.path(), place.path());
        let spec = json!({"containers": [limited("a", "1Mi")]});
        let request = Request { pod: pod(&spec), roots: Vec::new() };
        write(&paths.pod("u").join("hosts"), 1 << 10);
        assert_eq!(measure(&paths, &request), None);
        write(&paths.pod("u").join("hosts"), 2 << 20);
        let said = measure(&paths, &request).expect("over");
        assert!(said.contains("total limit of containers"), "{said}");
    }
}
