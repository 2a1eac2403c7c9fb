//! The stored version of claims, templates and warm pools.

use super::{Moment, PodMetadata, PodTemplate, VolumeClaimTemplate};
use crate::resource::resource;
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// `apiVersion` of the stored extension kinds, as written in owner references.
pub const API_VERSION: &str = "extensions.agents.x-k8s.io/v1beta1";

resource! {
    /// A request for one sandbox out of a warm pool.
    SandboxClaim in crate::EXTENSIONS_GROUP, "v1beta1", "sandboxclaims", SandboxClaimSpec, SandboxClaimStatus
}

resource! {
    /// What the sandboxes of a pool are made from.
    SandboxTemplate in crate::EXTENSIONS_GROUP, "v1beta1", "sandboxtemplates", SandboxTemplateSpec, NoStatus
}

resource! {
    /// A number of sandboxes kept ready to be claimed.
    SandboxWarmPool in crate::EXTENSIONS_GROUP, "v1beta1", "sandboxwarmpools", SandboxWarmPoolSpec, SandboxWarmPoolStatus
}

/// The status of a kind that has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoStatus {}

/// A reference by name, in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRef {
    /// The name referred to.
    pub name: String,
}

/// What a claim asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxClaimSpec {
    /// The pool to take from.
    pub warm_pool_ref: NameRef,
    /// When the claim ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<ClaimLifecycle>,
    /// Labels and annotations added to the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_pod_metadata: Option<PodMetadata>,
    /// Environment variables for the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<ClaimEnv>>,
    /// Volumes for the sandbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
}

/// When a claim ends and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimLifecycle {
    /// When the claim expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Moment>,
    /// Seconds after the sandbox finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i32>,
    /// What becomes of the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_policy: Option<ClaimShutdownPolicy>,
}

/// What becomes of an expired claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimShutdownPolicy {
    /// Deleted in the background.
    Delete,
    /// Deleted once everything it owns is gone.
    DeleteForeground,
    /// Kept without its sandbox.
    #[default]
    Retain,
}

/// One environment variable of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimEnv {
    /// Name of the variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Container that gets it; unset is the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
}

/// What was observed of a claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxClaimStatus {
    /// Ready and Finished.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The sandbox that serves the claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<ClaimSandbox>,
}

/// The sandbox that serves a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimSandbox {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its addresses.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<String>,
}

/// What a template says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxTemplateSpec {
    /// The Pod of its sandboxes.
    pub pod_template: PodTemplate,
    /// Volumes of its sandboxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
    /// Whether its sandboxes have a Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
    /// Traffic allowed to and from its sandboxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<TemplateNetworkPolicy>,
    /// `Managed` (the default) or `Unmanaged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy_management: Option<String>,
    /// `Allowed`, `Overrides` or `Disallowed` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_vars_injection_policy: Option<String>,
    /// `Allowed`, `Overrides` or `Disallowed` (the default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates_policy: Option<String>,
}

/// Traffic rules of a template; an empty list denies all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateNetworkPolicy {
    /// Traffic allowed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<NetworkPolicyIngressRule>>,
    /// Traffic allowed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<NetworkPolicyEgressRule>>,
}

/// What a pool should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxWarmPoolSpec {
    /// How many sandboxes are kept ready; unset is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The template of its sandboxes.
    pub sandbox_template_ref: NameRef,
    /// How template changes reach the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<UpdateStrategy>,
}

/// How template changes reach a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateStrategy {
    /// `Recreate` or `OnReplenish` (the default).
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// What was observed of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxWarmPoolStatus {
    /// Members that are not terminating.
    pub replicas: i32,
    /// Members that are Ready.
    pub ready_replicas: i32,
    /// Label selector text that finds the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Generation that the numbers belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
