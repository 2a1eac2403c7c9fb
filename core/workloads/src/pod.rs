//! What a decision needs to know of a pod, and the pod that a template makes.

use crate::Labels;
use crate::ownership::Candidate;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod as Typed, PodStatus, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

/// How dear it is to delete a pod; cheaper ones go first.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The finalizer by which a Job keeps a pod until it has counted it.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Which of an indexed Job's completions a pod is for; both an annotation and a label.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// How far a pod is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not started, or nothing is known.
    #[default]
    Pending,
    /// The node has not said.
    Unknown,
    /// Running.
    Running,
    /// All containers ended well.
    Succeeded,
    /// Ended, not well.
    Failed,
}

/// A pod, as far as the controllers of workloads ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The version this was read from.
    pub resource_version: String,
    /// Its labels.
    pub labels: Labels,
    /// Its owners.
    pub owners: Vec<OwnerReference>,
    /// Its finalizers.
    pub finalizers: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It is being deleted.
    pub deleting: bool,
    /// Where it runs; empty while it has no node.
    pub node: String,
    /// How far it is.
    pub phase: Phase,
    /// Whether it serves.
    pub ready: bool,
    /// When that changed last.
    pub ready_changed: Option<Timestamp>,
    /// Most restarts of one of its containers.
    pub restarts: i32,
    /// Restarts of all its containers.
    pub all_restarts: i32,
    /// How dear its deletion is.
    pub cost: i32,
    /// Its completion index.
    pub index: Option<i32>,
    /// When its last container ended.
    pub ended: Option<Timestamp>,
}

// === impl Pod ===

impl Pod {
    /// Reads a pod.
    pub fn of(pod: &Typed) -> Pod {
        let meta = &pod.metadata;
        let annotation = |name: &str| meta.annotations.as_ref().and_then(|all| all.get(name));
        let empty = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&empty);
        let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let restarts = || containers(status).map(|container| container.restart_count);
        Pod {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            phase: Phase::of(status.phase.as_deref()),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            ready_changed: ready.and_then(|condition| condition.last_transition_time.as_ref()).map(|t| t.0),
            restarts: restarts().max().unwrap_or(0),
            all_restarts: restarts().sum(),
            cost: annotation(COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
            index: annotation(INDEX).and_then(|index| index.parse().ok()),
            ended: ended(status, ready.and_then(|c| c.last_transition_time.as_ref()), meta),
        }
    }

    /// Neither over nor on its way out.
    pub fn is_active(&self) -> bool {
        !self.deleting && !self.is_over()
    }

    /// Succeeded or failed.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether it has been ready for `seconds`.
    pub fn is_available(&self, seconds: i32, now: Timestamp) -> bool {
        self.ready && (seconds <= 0 || self.available_at(seconds).is_some_and(|at| at <= now))
    }

    /// When it will have been ready for `seconds`, if it stays so.
    pub fn available_at(&self, seconds: i32) -> Option<Timestamp> {
        let since = self.ready_changed.filter(|_| self.ready)?;
        since.checked_add(jiff::SignedDuration::from_secs(i64::from(seconds))).ok()
    }

    /// What ownership is decided on.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate { labels: &self.labels, owners: &self.owners, deleting: self.deleting }
    }

    /// Whether a Job has still to count it.
    pub fn is_tracked(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == TRACKING)
    }
}

// === impl Phase ===

impl Phase {
    fn of(phase: Option<&str>) -> Phase {
        match phase {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some("Unknown") => Phase::Unknown,
            _ => Phase::Pending,
        }
    }
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.init_container_statuses.iter().chain(&status.container_statuses).flatten()
}

/// When a pod ended: its last container's end, else when it ceased to be ready, else its deletion or creation.
fn ended(status: &PodStatus, ready: Option<&Time>, meta: &ObjectMeta) -> Option<Timestamp> {
    let all: Option<Vec<Timestamp>> = status
        .container_statuses
        .iter()
        .flatten()
        .map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .collect();
    let last = all.and_then(|ends| ends.into_iter().max());
    let other = ready.or(meta.deletion_timestamp.as_ref()).or(meta.creation_timestamp.as_ref());
    last.or(other.map(|time| time.0))
}

/// A new pod of a template, controlled by `owner`. Its name is the owner's with five characters that the server chooses.
pub fn from_template(template: &PodTemplateSpec, owner: OwnerReference) -> Typed {
    let meta = template.metadata.clone().unwrap_or_default();
    Typed {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The reference by which a controller owns what it makes.
pub fn owner_reference(api_version: &str, kind: &str, meta: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
