//! Counts pods, each once.

use super::indexes;
use crate::{Phase, Pod};
use k8s_openapi::api::batch::v1::{JobSpec, JobStatus, UncountedTerminatedPods};
use std::collections::{BTreeSet, HashSet};

/// Most pods listed in one pass.
const LIST_MAX: usize = 500;

/// The numbers of a pass.
pub(super) struct Tally<'a> {
    /// Pods that run or will.
    pub(super) active: Vec<&'a Pod>,
    /// Of those, how many serve.
    ready: i32,
    /// Pods on their way out.
    pub(super) terminating: i32,
    /// Pods that are listed or counted and still have their finalizer.
    pub(super) listed: Vec<&'a Pod>,
    counted_succeeded: i64,
    counted_failed: i64,
    uncounted_succeeded: Vec<String>,
    uncounted_failed: Vec<String>,
    /// Indexes that are done, in an indexed Job.
    pub(super) done: Option<BTreeSet<i32>>,
    completions: i32,
    left_out: bool,
}

// === impl Tally ===

impl<'a> Tally<'a> {
    pub(super) fn take(spec: &JobSpec, status: &JobStatus, pods: &[&'a Pod]) -> Tally<'a> {
        let indexed = spec.completion_mode.as_deref() == Some("Indexed");
        let completions = spec.completions.unwrap_or(0);
        let done = indexed
            .then(|| indexes::parse(status.completed_indexes.as_deref().unwrap_or_default(), completions));
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let active: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_active()).collect();
        let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
        let mut tally = Tally {
            ready: number(active.iter().filter(|pod| pod.ready).count()),
            terminating: number(pods.iter().filter(|pod| pod.deleting && !pod.is_over()).count()),
            active,
            listed: Vec::new(),
            counted_succeeded: status.succeeded.unwrap_or(0).into(),
            counted_failed: status.failed.unwrap_or(0).into(),
            uncounted_succeeded: uncounted.succeeded.unwrap_or_default(),
            uncounted_failed: uncounted.failed.unwrap_or_default(),
            done,
            completions,
            left_out: false,
        };
        tally.settle(pods);
        let replace_failed_only = spec.pod_replacement_policy.as_deref() == Some("Failed");
        tally.list(pods, replace_failed_only);
        tally
    }

    /// Listed pods that have lost their finalizer become numbers.
    fn settle(&mut self, pods: &[&Pod]) {
        let tracked: HashSet<&str> =
            pods.iter().filter(|pod| pod.is_tracked()).map(|pod| pod.uid.as_str()).collect();
        let settle = |list: &mut Vec<String>, count: &mut i64| {
            let before = list.len();
            list.retain(|uid| tracked.contains(uid.as_str()));
            *count += i64::try_from(before - list.len()).unwrap_or(0);
        };
        settle(&mut self.uncounted_succeeded, &mut self.counted_succeeded);
        settle(&mut self.uncounted_failed, &mut self.counted_failed);
    }

    /// Pods that have ended are listed. `failed_only`: one that is being deleted has not failed yet.
    fn list(&mut self, pods: &[&'a Pod], failed_only: bool) {
        for pod in pods.iter().copied().filter(|pod| pod.is_tracked()) {
            let failed = pod.phase == Phase::Failed || (pod.deleting && !failed_only && !pod.is_over());
            if pod.phase != Phase::Succeeded && !failed {
                continue;
            }
            if self.listed.len() == LIST_MAX {
                self.left_out = true;
                return;
            }
            self.listed.push(pod);
            match (&mut self.done, failed) {
                (_, true) => push(&mut self.uncounted_failed, &pod.uid),
                (Some(done), false) => {
                    done.extend(pod.index.filter(|index| (0..self.completions).contains(index)))
                }
                (None, false) => push(&mut self.uncounted_succeeded, &pod.uid),
            }
        }
    }

    pub(super) fn succeeded(&self) -> i64 {
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        match &self.done {
            Some(done) => count(done.len()),
            None => self.counted_succeeded + count(self.uncounted_succeeded.len()),
        }
    }

    pub(super) fn failed(&self) -> i64 {
        self.counted_failed + i64::try_from(self.uncounted_failed.len()).unwrap_or(i64::MAX)
    }

    /// Nothing is left to be counted.
    pub(super) fn is_settled(&self) -> bool {
        self.listed.is_empty()
            && self.uncounted_failed.is_empty()
            && self.uncounted_succeeded.is_empty()
            && !self.left_out
    }

    /// Writes the numbers down.
    pub(super) fn fill(&mut self, status: &mut JobStatus) {
        let some = |count: i64| (count != 0).then(|| i32::try_from(count).unwrap_or(i32::MAX));
        status.active = some(i64::try_from(self.active.len()).unwrap_or(0));
        status.ready = Some(self.ready);
        status.terminating = Some(self.terminating);
        status.failed = some(self.counted_failed);
        status.succeeded = match &self.done {
            Some(_) => some(self.succeeded()),
            None => some(self.counted_succeeded),
        };
        if let Some(done) = &self.done {
            status.completed_indexes = Some(indexes::print(done)).filter(|text| !text.is_empty());
        }
        let list = |uids: &[String]| (!uids.is_empty()).then(|| uids.to_vec());
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            succeeded: list(&self.uncounted_succeeded),
            failed: list(&self.uncounted_failed),
        });
    }
}

fn push(list: &mut Vec<String>, uid: &str) {
    if !list.iter().any(|known| known == uid) {
        list.push(uid.to_owned());
    }
}
