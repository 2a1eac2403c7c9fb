//! Decides what the Sandbox controller does next about one Sandbox.
//!
//! A pass is a few rounds of observe, [`plan`], execute. While something about the claims, the Pod or the Service is to
//! be done, a plan holds that and nothing else; once the children are as they should be (or a request for them has
//! failed in this pass), the next plan holds the status. So the status always tells what is there, including what
//! this pass did, and at most one status write is made per pass.
//!
//! What a failed request means: an answer that will stay the same (403, 422, ...) is published as `ReconcilerError`;
//! one that may pass (429, 5xx, a lost connection, a conflict) only if it has not passed for ten seconds. Addresses and
//! node are those of the owned Pod as long as it exists, whatever failed.
//!
//! A Sandbox whose spec cannot be read keeps its Pod as it is, says what cannot be read, and still expires and suspends.
//!
//! Choices where the published contract leaves room (`docs/compatibility.md` lists what differs from it):
//! - The `pod-name` annotation is written only if the Pod's name differs from the Sandbox's or the annotation exists
//!   with another value: clients fall back to the Sandbox's name, and each create and resume saves a request.
//! - Ready is False while the Pod terminates, with reason `DependenciesNotReady` and the message
//!   `Pod exists with phase: <phase>`, which is true and is one that clients know.
//! - A Pod that ends because the Sandbox is suspended has not finished: `Finished` is published only for a Pod that ended
//!   by itself or by somebody else, and then stays while that Pod exists.
//! - Progress before Ready (scheduling, phase) is held back for a moment, so that a fast start costs one write less.
//!
//! **Invariants.** Nothing is deleted or patched without the uid and resourceVersion it was decided on. The Pod's spec is
//! never changed and an ended Pod never replaced. A Pod is created only if none is owned and none has its name.

mod children;
mod claims;
mod expiry;
mod memory;
mod metadata;
mod names;
mod pods;
mod ports;
mod service;
mod status;
mod trouble;
mod view;
mod write;

#[cfg(test)]
mod tests;

pub use memory::Memory;
pub use view::{ClaimView, Owner, PodView, ScheduledView, ServiceView};

use crd::names::annotation;
use crd::v1beta1::{Sandbox, SandboxStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube_core::ObjectMeta;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything known about one Sandbox.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The Sandbox.
    pub sandbox: Arc<Sandbox>,
    /// Set where the Sandbox's spec cannot be read: why. Then `sandbox` holds what can be read of it.
    pub unreadable: Option<String>,
    /// Every Pod it controls, and the Pods named like the Sandbox or like its `pod-name` annotation, whoever owns them.
    pub pods: Vec<Arc<PodView>>,
    /// The Service named like the Sandbox, whoever owns it.
    pub service: Option<Arc<ServiceView>>,
    /// The claims that its volume claim templates name, whoever owns them, by name.
    pub claims: BTreeMap<String, Arc<ClaimView>>,
    /// Requests that failed in this pass.
    pub failures: Vec<Failure>,
    /// What earlier passes left to remember.
    pub memory: Memory,
    /// DNS domain of the cluster.
    pub cluster_domain: Arc<str>,
}

/// The very version of an object that a step was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Version {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// An object that exists, for a step that changes or deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it must still be.
    pub version: Version,
}

/// One thing to do. Each costs at most one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create a volume claim.
    CreateClaim(Box<PersistentVolumeClaim>),
    /// Merge-patch a volume claim.
    PatchClaim(Target, Value),
    /// Create the Pod.
    CreatePod(Box<Pod>),
    /// Merge-patch a Pod.
    PatchPod(Target, Value),
    /// Delete a Pod, with the grace period of its own.
    DeletePod(Target),
    /// Create the Service.
    CreateService(Box<Service>),
    /// Merge-patch the Service.
    PatchService(Target, Value),
    /// Delete the Service.
    DeleteService(Target),
    /// Merge-patch the Sandbox.
    PatchSandbox(Target, Value),
    /// Merge-patch the Sandbox's status: the patch, and the status it leads to.
    PatchStatus(Target, Value, Box<SandboxStatus>),
    /// Delete the Sandbox.
    DeleteSandbox(Target),
    /// Tell people, as a warning event on the Sandbox.
    Warn {
        /// Reason of the event.
        reason: &'static str,
        /// Its note.
        note: String,
    },
    /// Look again after this time.
    Wake(Duration),
    /// Something failed: look again after a back-off.
    Retry,
}

/// What a failed request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Any volume claim.
    Claims,
    /// A Pod.
    Pods,
    /// The Service.
    Service,
    /// The Sandbox itself.
    Sandbox,
    /// The status of the Sandbox.
    Status,
}

/// A request that failed in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it was about.
    pub subject: Subject,
    /// What the server said.
    pub text: String,
    /// Whether the same request would fail again, however often it is sent.
    pub lasting: bool,
}

/// Longest time without a look at a Sandbox that will expire: the wall clock may be set meanwhile, and that is how late it
/// may be then.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What to do next about the Sandbox of `snapshot` at time `now`. Empty if all is as it should be.
pub fn plan(snapshot: &Snapshot, now: Timestamp) -> Vec<Step> {
    let sandbox = &snapshot.sandbox;
    if sandbox.metadata.deletion_timestamp.is_some() || Version::of(&sandbox.metadata).is_none() {
        return Vec::new();
    }
    let expiry = sandbox.spec.shutdown_time.map(|time| time.0);
    let mut steps = match expiry {
        Some(time) if time <= now => expiry::plan(snapshot, now),
        _ => children::plan(snapshot, now),
    };
    if let Some(left) = expiry.and_then(|time| Duration::try_from(time.duration_since(now)).ok())
        && !left.is_zero()
    {
        steps.push(Step::Wake(left.min(LONGEST_WAIT)));
    }
    // A plan that changes something is followed by another one; only the last one of a pass asks to come back.
    if !snapshot.failures.is_empty() {
        steps.extend(snapshot.until_told(now).map(Step::Wake));
        steps.push(Step::Retry);
    }
    steps
}

// === impl Subject ===

impl Subject {
    const ALL: [Self; 5] = [Self::Claims, Self::Pods, Self::Service, Self::Sandbox, Self::Status];
}

// === impl Failure ===

impl Failure {
    /// The failure of `step`, in the words of the server and of what was tried.
    pub fn of(step: &Step, said: &str, lasting: bool) -> Self {
        Self { subject: step.subject(), text: format!("{}{said}", step.when_failed()), lasting }
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn name(&self) -> &str {
        self.sandbox.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.sandbox.metadata.uid.as_deref().unwrap_or_default()
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.sandbox.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.sandbox.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The Sandbox as a target.
    fn target(&self) -> Target {
        Target {
            name: self.name().to_owned(),
            version: Version::of(&self.sandbox.metadata).unwrap_or_default(),
        }
    }

    /// Whether a request about `subject` has failed in this pass: then it is not sent again in this pass.
    fn failed(&self, subject: Subject) -> bool {
        self.failures.iter().any(|failure| failure.subject == subject)
    }

    /// The Pods that this Sandbox controls.
    fn owned_pods(&self) -> impl Iterator<Item = &Arc<PodView>> {
        self.pods.iter().filter(|pod| pod.meta.is_controlled_by(self.uid()))
    }
}

// === impl Version ===

impl Version {
    /// The version that `meta` describes; none if it never was at a server.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self { uid: meta.uid.clone()?, resource_version: meta.resource_version.clone()? })
    }
}

// === impl Step ===

impl Step {
    /// Whether carrying the step out sends a request to the API server (events apart).
    pub fn is_request(&self) -> bool {
        !matches!(self, Self::Warn { .. } | Self::Wake(_) | Self::Retry)
    }

    /// What a failure of this step is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::CreateClaim(_) | Self::PatchClaim(..) => Subject::Claims,
            Self::CreatePod(_) | Self::PatchPod(..) | Self::DeletePod(_) => Subject::Pods,
            Self::CreateService(_) | Self::PatchService(..) | Self::DeleteService(_) => Subject::Service,
            Self::PatchStatus(..) => Subject::Status,
            _ => Subject::Sandbox,
        }
    }

    /// What stands before the server's words when the step fails. Creates let the server speak for itself.
    fn when_failed(&self) -> &'static str {
        match self {
            Self::PatchClaim(..) => "failed to patch PVC with owner reference: ",
            Self::PatchPod(..) => "failed to patch pod: ",
            Self::DeletePod(_) => "failed to delete pod: ",
            Self::PatchService(_, patch) if patch["metadata"]["ownerReferences"].is_null() => {
                "failed to patch owned service: "
            }
            Self::PatchService(..) => "failed to update service with owner reference: ",
            Self::DeleteService(_) => "failed to delete service: ",
            Self::PatchSandbox(_, patch)
                if patch["metadata"]["annotations"][annotation::POD_NAME].is_null() =>
            {
                "failed to clear pod name annotation: "
            }
            Self::PatchSandbox(..) => "failed to set pod name annotation: ",
            Self::DeleteSandbox(_) => "failed to delete sandbox: ",
            _ => "",
        }
    }
}
