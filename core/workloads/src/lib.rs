//! What ReplicaSets, Deployments and Jobs need next, as Kubernetes' own controllers decide it.
//!
//! Each part is pure: given the object, what it owns and the time, it says which requests follow and how the status reads. Words and
//! numbers that clients see are those of Kubernetes 1.36 (`pkg/controller`).
//!
//! - [`pod`]: what a decision needs to know of a pod, and the pod that a template makes.
//! - [`ownership`]: which objects belong to a controller, which it takes and which it lets go.
//! - [`replica_set`]: pods up to a number.
//! - [`deployment`]: replica sets, one for each template.
//! - [`job`]: pods until enough have succeeded.
//!
//! **Invariant:** no client, no clock, no randomness. Planning the same facts twice gives the same steps.

pub mod deployment;
pub mod job;
pub mod ownership;
pub mod pod;
pub mod replica_set;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Typed;
pub use pod::{Phase, Pod};
use std::collections::BTreeMap;

/// Most pods that one pass makes or deletes.
pub const BURST: usize = 500;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The selector of a workload. One that cannot be read selects nothing: validation let none such in.
pub fn selector(typed: Option<&Typed>) -> wire::LabelSelector {
    let value = typed.and_then(|typed| serde_json::to_value(typed).ok());
    wire::LabelSelector::from_value(value.as_ref()).unwrap_or_else(|_| wire::LabelSelector::nothing())
}

/// Whether labels satisfy a selector. An empty one selects nothing here: a workload that owned everything would delete it.
pub fn selects(selector: &wire::LabelSelector, labels: &Labels) -> bool {
    !selector.is_empty() && selector.matches(|key| labels.get(key).map(String::as_str))
}

/// Sizes of the batches in which `count` pods are made: 1, 2, 4, ... so that a template that is always refused costs one request.
pub fn batches(count: usize) -> impl Iterator<Item = usize> {
    let mut left = count.min(BURST);
    let mut size = 1;
    std::iter::from_fn(move || {
        let batch = size.min(left);
        left -= batch;
        size *= 2;
        (batch > 0).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_made_in_batches_that_double() {
        assert_eq!(batches(0).collect::<Vec<_>>(), Vec::<usize>::new());
        assert_eq!(batches(1).collect::<Vec<_>>(), [1]);
        assert_eq!(batches(10).collect::<Vec<_>>(), [1, 2, 4, 3]);
        assert_eq!(batches(10_000).sum::<usize>(), BURST);
    }
}
