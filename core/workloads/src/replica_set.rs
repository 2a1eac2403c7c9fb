//! What a ReplicaSet needs next: pods up to its number, and a status.

mod order;
mod status;

pub use status::{Trouble, next_look, status};

use crate::{BURST, Pod};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use std::collections::HashMap;

/// The one thing to do about its pods.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// Make so many.
    Create(usize),
    /// Delete these.
    Delete(Vec<&'a Pod>),
    /// Enough, or it is being deleted.
    Nothing,
}

/// Pods wanted.
pub fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Plans for a set that owns `pods`. `related`: the pods of all sets of the same Deployment, for who shares a node with whom.
pub fn plan<'a>(set: &ReplicaSet, pods: &[&'a Pod], related: &[&Pod], now: Timestamp) -> Step<'a> {
    if set.metadata.deletion_timestamp.is_some() {
        return Step::Nothing;
    }
    let mut active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_active()).collect();
    let target = usize::try_from(wanted(set)).unwrap_or(0);
    if active.len() < target {
        return Step::Create((target - active.len()).min(BURST));
    }
    let surplus = (active.len() - target).min(BURST);
    if surplus == 0 {
        return Step::Nothing;
    }
    let mut neighbours: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pod.is_active()) {
        *neighbours.entry(&pod.node).or_default() += 1;
    }
    let rank = |pod: &Pod| neighbours.get(&*pod.node).copied().unwrap_or(0);
    active.sort_by(|a, b| order::before((a, rank(a)), (b, rank(b)), now));
    active.truncate(surplus);
    Step::Delete(active)
}

/// The pods that go first when `surplus` of them go.
pub(crate) fn cheapest(mut pods: Vec<&Pod>, surplus: usize, now: Timestamp) -> Vec<&Pod> {
    pods.sort_by(|a, b| order::before((a, 0), (b, 0), now));
    pods.truncate(surplus);
    pods
}

#[cfg(test)]
mod tests;
