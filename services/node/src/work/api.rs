//! Requests to the API server about one Pod.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use kubekit::Failure;
use serde_json::{Value, json};

/// What became of a status.
pub(crate) enum Written {
    /// It is there.
    Done,
    /// The Pod is not; another one may have its name.
    Gone,
    /// Try again later.
    Later(String),
}

/// Writes the status, if the Pod of that name still is this one.
pub(crate) async fn write_status(client: &Client, pod: &Pod, old: &PodStatus, new: &PodStatus) -> Written {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": difference(old, new)});
    match api(client, pod).patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Written::Done,
        Err(error) => match Failure::of(&error) {
            Failure::NotFound | Failure::Conflict => Written::Gone,
            _ => Written::Later(error.to_string()),
        },
    }
}

/// Deletes the object at once, if it still is this one.
pub(crate) async fn delete(client: &Client, pod: &Pod) -> Result<(), String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api(client, pod).delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) => match Failure::of(&error) {
            Failure::NotFound | Failure::Conflict => Ok(()),
            _ => Err(error.to_string()),
        },
    }
}

fn api(client: &Client, pod: &Pod) -> Api<Pod> {
    Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
}

/// The new status as a merge patch: fields that are gone are null.
fn difference(old: &PodStatus, new: &PodStatus) -> Value {
    let mut patch = serde_json::to_value(new).unwrap_or_default();
    let old = serde_json::to_value(old).unwrap_or_default();
    for key in old.as_object().into_iter().flat_map(serde_json::Map::keys) {
        if patch.get(key).is_none() {
            patch[key.as_str()] = Value::Null;
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_gone_is_taken_away() {
        let old = PodStatus {
            reason: Some("x".to_owned()),
            phase: Some("Pending".to_owned()),
            ..Default::default()
        };
        let new = PodStatus { phase: Some("Running".to_owned()), ..Default::default() };
        assert_eq!(difference(&old, &new), json!({"phase": "Running", "reason": null}));
    }
}
