//! The stored version of the API: `Sandbox` and what it is made of. The other three kinds are in [`extensions`].

use crate::resource::resource;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub mod extensions;
mod lenient;
mod moment;

pub use extensions::{SandboxClaim, SandboxTemplate, SandboxWarmPool};
pub use lenient::{LenientSandbox, Unreadable};
pub use moment::Moment;

/// `apiVersion` of a stored Sandbox, as written in owner references.
pub const API_VERSION: &str = "agents.x-k8s.io/v1beta1";

resource! {
    /// One isolated, stateful workload with a stable name.
    Sandbox in crate::GROUP, "v1beta1", "sandboxes", SandboxSpec, SandboxStatus
}

/// What a Sandbox should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxSpec {
    /// The Pod that runs the sandbox.
    pub pod_template: PodTemplate,
    /// Volumes that outlive the Pod; cannot be changed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
    /// Whether a headless Service is wanted: unset keeps an existing one and never makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
    /// Running (the default) or Suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operating_mode: Option<OperatingMode>,
    /// When the sandbox expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Moment>,
    /// What happens to the Sandbox object on expiry; unset is Retain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_policy: Option<ShutdownPolicy>,
}

/// The Pod of a sandbox: its spec, and the labels and annotations it gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Labels and annotations for the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PodMetadata>,
    /// The Pod's spec, used when a Pod is created; changes do not reach a Pod that exists.
    pub spec: PodSpec,
}

/// The metadata that a pod template may carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodMetadata {
    /// Labels for the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A volume that is claimed once per Sandbox and mounted under the template's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeClaimTemplate {
    /// Name, labels and annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<VolumeClaimMetadata>,
    /// What is claimed.
    pub spec: PersistentVolumeClaimSpec,
}

/// The metadata of a volume claim template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeClaimMetadata {
    /// Name of the volume in the Pod, and the first part of the claim's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels for the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Whether a sandbox runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatingMode {
    /// The Pod exists.
    #[default]
    Running,
    /// The Pod does not exist; volumes and the Service stay.
    Suspended,
}

/// What becomes of an expired Sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownPolicy {
    /// Deleted with everything it owns.
    Delete,
    /// Kept, with its volumes, as a record that can be extended.
    #[default]
    Retain,
}

/// What was observed of a Sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxStatus {
    /// Full DNS name of the Service.
    #[serde(rename = "serviceFQDN", skip_serializing_if = "Option::is_none")]
    pub service_fqdn: Option<String>,
    /// Name of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Suspended, Ready, Finished, PodScheduled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Label selector text that finds the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Addresses of the Pod.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<String>,
    /// Node that runs the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

// === impl SandboxSpec ===

impl SandboxSpec {
    /// Whether the sandbox should not run.
    pub fn is_suspended(&self) -> bool {
        self.operating_mode == Some(OperatingMode::Suspended)
    }
}

// === impl SandboxStatus ===

impl SandboxStatus {
    /// The condition of type `kind`, if present.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_core::Resource;
    use serde_json::json;

    #[test]
    fn a_sandbox_is_written_as_it_was_read() {
        let text = json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
            "metadata": {"name": "s", "namespace": "ns"},
            "spec": {
                "podTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
                "service": false, "operatingMode": "Suspended",
                "shutdownTime": "2026-01-02T03:04:05Z", "shutdownPolicy": "Delete"
            },
            "status": {"serviceFQDN": "s.ns.svc.cluster.local", "service": "s", "podIPs": ["10.0.0.1"], "nodeName": "n", "selector": "a=b"}
        });
        let sandbox: Sandbox = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&sandbox).unwrap(), text);
        assert_eq!(
            Sandbox::url_path(&(), Some("ns")),
            "/apis/agents.x-k8s.io/v1beta1/namespaces/ns/sandboxes"
        );
        assert_eq!(Sandbox::api_version(&()), API_VERSION);
    }
}
