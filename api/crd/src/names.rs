//! Label and annotation keys, names of generated objects, and the hash behind every "hash" label.
//!
//! **Invariant:** these strings are read by published clients and by older controllers; none may change.

/// Label keys.
pub mod label {
    /// On Pod, Service and PVC, and the Service's selector: [`super::hash`] of the Sandbox name.
    pub const SANDBOX_NAME_HASH: &str = "agents.x-k8s.io/sandbox-name-hash";
    /// On Sandbox: `warm` or `cold`.
    pub const LAUNCH_TYPE: &str = "agents.x-k8s.io/launch-type";
    /// On claim, Sandbox and Pod: which client asked.
    pub const CREATED_BY: &str = "agents.x-k8s.io/created-by";
    /// On Sandbox and its pod template: uid of the claim it serves.
    pub const CLAIM_UID: &str = "agents.x-k8s.io/claim-uid";
    /// On template, Sandbox, pod template and Pod: [`super::hash`] of the template name.
    pub const TEMPLATE_REF_HASH: &str = "agents.x-k8s.io/sandbox-template-ref-hash";
    /// On pooled Sandbox, its pod template and Pod: [`super::hash`] of the pool name.
    pub const WARM_POOL: &str = "agents.x-k8s.io/warm-pool-sandbox";
    /// On pooled Sandbox: hash of the template's blueprint.
    pub const TEMPLATE_HASH: &str = "agents.x-k8s.io/sandbox-template-hash";
    /// On pooled Sandbox: hash of the template's pod template; kept for readers outside.
    pub const POD_TEMPLATE_HASH: &str = "agents.x-k8s.io/sandbox-pod-template-hash";
    /// On a Pod, Service or PVC made beforehand: `true` allows its adoption.
    pub const ADOPTABLE: &str = "agents.x-k8s.io/adoptable";
    /// On SandboxClaim, written by old controllers: name of the adopted Sandbox.
    pub const LEGACY_SANDBOX_NAME: &str = "agents.x-k8s.io/sandbox-name";
}

/// Annotation keys.
pub mod annotation {
    /// On Sandbox: name of the backing Pod, where it is not the Sandbox's own.
    pub const POD_NAME: &str = "agents.x-k8s.io/pod-name";
    /// On Sandbox: name of its template.
    pub const TEMPLATE_REF: &str = "agents.x-k8s.io/sandbox-template-ref";
    /// On Pod: comma-joined sorted label keys that came from the pod template.
    pub const PROPAGATED_LABELS: &str = "agents.x-k8s.io/propagated-labels";
    /// On Pod: comma-joined sorted annotation keys that came from the pod template.
    pub const PROPAGATED_ANNOTATIONS: &str = "agents.x-k8s.io/propagated-annotations";
    /// On SandboxClaim: name of the assigned Sandbox.
    pub const SANDBOX_NAME: &str = "agents.x-k8s.io/sandbox-name";
    /// On SandboxClaim: when a controller first saw it, RFC 3339 with nanoseconds.
    pub const FIRST_OBSERVED_AT: &str = "agents.x-k8s.io/controller-first-observed-at";
    /// On SandboxClaim: when it was first Ready, or `unknown`.
    pub const FIRST_READY_AT: &str = "agents.x-k8s.io/claim-first-ready-at";
    /// On SandboxClaim, set by client libraries.
    pub const CLIENT_REQUESTED_AT: &str = "agents.x-k8s.io/client-first-requested-at";
    /// On SandboxClaim, set by a webhook outside.
    pub const WEBHOOK_OBSERVED_AT: &str = "agents.x-k8s.io/webhook-first-observed-at";
    /// On claims and Sandboxes: JSON object of W3C trace headers.
    pub const TRACE_CONTEXT: &str = "opentelemetry.io/trace-context";
    /// On pooled Pods: lets the cluster autoscaler evict them.
    pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    /// On Sandboxes written through v1alpha1: what v1beta1 cannot hold.
    pub const SANDBOX_STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandbox-state";
    /// On claims written through v1alpha1.
    pub const CLAIM_STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxclaim-state";
    /// On templates written through v1alpha1.
    pub const TEMPLATE_STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxtemplate-state";
    /// On pools written through v1alpha1.
    pub const POOL_STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxwarmpool-state";
    /// On pod templates, honoured on standalone: `true` keeps each container's writable layer while the Sandbox exists.
    pub const KEEP_ROOT: &str = "sandbox.agent-sandbox.dev/keep-root";
    /// On pod templates, honoured on standalone: `true` runs containers under an init that reaps and forwards signals.
    pub const INIT: &str = "sandbox.agent-sandbox.dev/init";
    /// On RuntimeClasses of standalone: `true` on the one that stands in where a Pod names none.
    pub const DEFAULT_RUNTIME: &str = "sandbox.agent-sandbox.dev/default-runtime";
    /// On templates as seen at v1alpha1: the v1beta1-only policy.
    pub const CLAIM_TEMPLATES_POLICY: &str = "api.agents.x-k8s.io/v1beta1-volume-claim-templates-policy";
}

/// Values of [`label::CREATED_BY`] that are passed on to Pods as they are.
const KNOWN_CLIENTS: [&str; 3] = ["go-client", "python-client", "controller"];

/// The 32-bit FNV-1a hash of `text` as eight lower-case hexadecimal digits.
pub fn hash(text: &str) -> String {
    let digest =
        text.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{digest:08x}")
}

/// Whether a label key belongs to the system, so that users cannot set it through a pod template.
pub fn is_reserved_label(key: &str) -> bool {
    key.starts_with("agents.x-k8s.io/") || key.starts_with("extensions.agents.x-k8s.io/")
}

/// Whether an annotation key belongs to the system.
pub fn is_reserved_annotation(key: &str) -> bool {
    is_reserved_label(key) || key == annotation::TRACE_CONTEXT
}

/// What a Pod says in [`label::CREATED_BY`] for a Sandbox that says `raw`.
pub fn created_by(raw: &str) -> &'static str {
    KNOWN_CLIENTS.into_iter().find(|known| *known == raw).unwrap_or("unknown")
}

/// Name of the PersistentVolumeClaim made from the volume claim template `template` of Sandbox `sandbox`.
pub fn volume_claim(template: &str, sandbox: &str) -> String {
    format!("{template}-{sandbox}")
}

/// The label selector text that finds the Pod of Sandbox `sandbox`.
pub fn selector(sandbox: &str) -> String {
    format!("{}={}", label::SANDBOX_NAME_HASH, hash(sandbox))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_published_one() {
        let published = [
            ("", "811c9dc5"),
            ("my-sandbox", "374de8f5"),
            ("vct-sandbox", "6936fe48"),
            ("test-template", "69155462"),
            ("warmpool", "8c6a35c6"),
            ("test-warmpool", "abdcc27b"),
        ];
        for (text, expected) in published {
            assert_eq!(hash(text), expected, "hash of {text:?}");
        }
    }

    #[test]
    fn only_the_two_groups_and_the_trace_are_reserved() {
        assert!(is_reserved_label("agents.x-k8s.io/anything"));
        assert!(is_reserved_label("extensions.agents.x-k8s.io/anything"));
        assert!(!is_reserved_label("api.agents.x-k8s.io/anything"));
        assert!(!is_reserved_label("agents.x-k8s.io.example/anything"));
        assert!(is_reserved_annotation(annotation::TRACE_CONTEXT));
        assert!(!is_reserved_label(annotation::TRACE_CONTEXT));
    }

    #[test]
    fn clients_not_known_by_name_are_unknown() {
        assert_eq!(created_by("python-client"), "python-client");
        assert_eq!(created_by("curl"), "unknown");
    }
}
