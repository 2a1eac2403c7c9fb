//! The older served version of the API: `Sandbox` with a replica count in place of an operating mode.
//!
//! Only what v1alpha1 clients write by hand is typed here; documents are converted as JSON by [`mod@crate::convert`].

use crate::resource::resource;
use crate::v1beta1::{Moment, PodTemplate, ShutdownPolicy, VolumeClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

resource! {
    /// One isolated, stateful workload with a stable name.
    Sandbox in crate::GROUP, "v1alpha1", "sandboxes", SandboxSpec, SandboxStatus
}

/// What a Sandbox should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxSpec {
    /// The Pod that runs the sandbox.
    pub pod_template: PodTemplate,
    /// Volumes that outlive the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
    /// Whether a headless Service is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
    /// 1 (the default) runs, 0 suspends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// When the sandbox expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Moment>,
    /// What happens to the Sandbox object on expiry; unset is Retain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_policy: Option<ShutdownPolicy>,
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
    /// 1 when running is wanted, 0 when suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Label selector text that finds the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Addresses of the Pod.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<String>,
}
