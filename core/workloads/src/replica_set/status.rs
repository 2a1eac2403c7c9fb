//! The status of a ReplicaSet.

use crate::{Pod, selects};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use std::time::Duration;

/// Says that pods could not be made or deleted.
const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Why the last pass over the pods failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// While making pods; else while deleting them.
    pub creating: bool,
    /// What the server said.
    pub message: String,
}

/// The status of a set that owns `pods`, after a pass that ended in `trouble`.
pub fn status(
    set: &ReplicaSet,
    pods: &[&Pod],
    trouble: Option<&Trouble>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let spec = set.spec.clone();
    let labels = spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels);
    let whole = crate::selector(Some(&LabelSelector { match_labels: labels, match_expressions: None }));
    let seconds = spec.min_ready_seconds.unwrap_or(0);
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_active()).collect();
    let count = |wanted: &dyn Fn(&Pod) -> bool| number(active.iter().filter(|pod| wanted(pod)).count());
    ReplicaSetStatus {
        replicas: number(active.len()),
        fully_labeled_replicas: some(count(&|pod| selects(&whole, &pod.labels))),
        ready_replicas: some(count(&|pod| pod.ready)),
        available_replicas: some(count(&|pod| pod.is_available(seconds, now))),
        terminating_replicas: Some(number(pods.iter().filter(|pod| pod.deleting && !pod.is_over()).count())),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, trouble, now),
    }
}

/// When a pod that is ready becomes available, if one will.
pub fn next_look(set: &ReplicaSet, pods: &[&Pod], now: Timestamp) -> Option<Duration> {
    let seconds = set.spec.min_ready_seconds.unwrap_or(0);
    let times = pods.iter().filter(|pod| pod.is_active()).filter_map(|pod| pod.available_at(seconds));
    let next = times.filter(|at| *at > now).min()?;
    Duration::try_from(next.duration_since(now)).ok()
}

/// Failure stays as it was first seen, and goes when a pass succeeds.
fn conditions(
    set: &ReplicaSet,
    trouble: Option<&Trouble>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let old = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let known = old.iter().find(|condition| condition.type_.as_deref() == Some(REPLICA_FAILURE)).cloned();
    let mut conditions: Vec<_> =
        old.into_iter().filter(|condition| condition.type_.as_deref() != Some(REPLICA_FAILURE)).collect();
    if let Some(trouble) = trouble {
        conditions.push(known.unwrap_or_else(|| ReplicaSetCondition {
            type_: Some(REPLICA_FAILURE.to_owned()),
            status: Some("True".to_owned()),
            reason: Some(if trouble.creating { "FailedCreate" } else { "FailedDelete" }.to_owned()),
            message: Some(trouble.message.clone()),
            last_transition_time: Some(Time(now)),
        }));
    }
    (!conditions.is_empty()).then_some(conditions)
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Kubernetes leaves zeros out.
fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
