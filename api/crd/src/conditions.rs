//! Condition types and reasons, as clients match them.

/// Condition type: the sandbox can be used.
pub const READY: &str = "Ready";
/// Condition type: the sandbox is stopped on request.
pub const SUSPENDED: &str = "Suspended";
/// Condition type: the sandbox's main process ended by itself.
pub const FINISHED: &str = "Finished";
/// Condition type: mirror of the Pod's own.
pub const POD_SCHEDULED: &str = "PodScheduled";

/// Reasons found in conditions of Sandboxes and claims.
pub mod reason {
    /// Ready True.
    pub const DEPENDENCIES_READY: &str = "DependenciesReady";
    /// Ready False: something is still coming up.
    pub const DEPENDENCIES_NOT_READY: &str = "DependenciesNotReady";
    /// Ready False: suspended or suspending.
    pub const SANDBOX_SUSPENDED: &str = "SandboxSuspended";
    /// Ready False, Finished True: the Pod ended well.
    pub const POD_SUCCEEDED: &str = "PodSucceeded";
    /// Ready False, Finished True: the Pod ended badly.
    pub const POD_FAILED: &str = "PodFailed";
    /// Ready False: several Pods are controlled by one Sandbox.
    pub const MULTIPLE_PODS: &str = "MultiplePods";
    /// Ready False: a step failed for a reason that will not go away by itself.
    pub const RECONCILER_ERROR: &str = "ReconcilerError";
    /// Ready False: `shutdownTime` was reached.
    pub const SANDBOX_EXPIRED: &str = "SandboxExpired";
    /// Suspended False: running mode.
    pub const NOT_SUSPENDED: &str = "NotSuspended";
    /// Suspended Unknown.
    pub const POD_STATE_UNKNOWN: &str = "PodStateUnknown";
    /// Suspended True.
    pub const POD_TERMINATED: &str = "PodTerminated";
    /// Suspended False: a Pod of that name belongs to somebody else.
    pub const POD_NOT_OWNED: &str = "PodNotOwned";
    /// Suspended False: the Pod is still there.
    pub const POD_TERMINATING: &str = "PodTerminating";
    /// PodScheduled True where the Pod gives no reason.
    pub const POD_SCHEDULED: &str = "PodScheduled";
    /// PodScheduled Unknown.
    pub const POD_SCHEDULING_UNKNOWN: &str = "PodSchedulingUnknown";
    /// Claim: its template does not exist.
    pub const TEMPLATE_NOT_FOUND: &str = "TemplateNotFound";
    /// Claim: its pool does not exist.
    pub const WARM_POOL_NOT_FOUND: &str = "WarmPoolNotFound";
    /// Claim: another writer was faster.
    pub const ADOPTION_CONFLICT: &str = "AdoptionConflict";
    /// Claim: its Sandbox was created and is not seen yet.
    pub const SANDBOX_CREATE_PENDING: &str = "SandboxCreatePending";
    /// Claim: bad `additionalPodMetadata`.
    pub const INVALID_METADATA: &str = "InvalidMetadata";
    /// Claim: the template forbids its environment variables.
    pub const ENV_REJECTED: &str = "EnvVarsInjectionRejected";
    /// Claim: expired.
    pub const CLAIM_EXPIRED: &str = "ClaimExpired";
    /// Claim: the template forbids its volume claim templates.
    pub const VOLUME_CLAIM_TEMPLATES_ERROR: &str = "VolumeClaimTemplatesError";
    /// Claim: its Sandbox is gone.
    pub const SANDBOX_MISSING: &str = "SandboxMissing";
    /// Claim: its Sandbox has no Ready condition yet.
    pub const SANDBOX_NOT_READY: &str = "SandboxNotReady";
}
