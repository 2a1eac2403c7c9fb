//! How many pods run at a time.

use super::{Work, backoff, until};
use crate::replica_set::cheapest;
use crate::{BURST, Pod};
use std::collections::BTreeSet;

// === impl Work ===

impl Work<'_> {
    pub(super) fn manage(&mut self) {
        if self.suspended() {
            self.plan.withdraw.clone_from(&self.tally.active);
            return;
        }
        let (active, wanted) = (self.tally.active.len(), self.wanted_now());
        self.withdraw_surplus(active.saturating_sub(wanted));
        if !self.plan.withdraw.is_empty() {
            return;
        }
        let busy = active + self.blocking();
        let missing = wanted.saturating_sub(busy).min(BURST);
        if missing == 0 {
            return;
        }
        if let Some(left) = backoff::next(self.facts.pods).and_then(|at| until(at, self.facts.now)) {
            self.again(Some(left));
            return;
        }
        self.plan.create = match &self.tally.done {
            Some(done) => self.open_indexes(done, missing).into_iter().map(Some).collect(),
            None => vec![None; missing],
        };
    }

    /// Pods that are to run now: as many as may at once, and no more than are missing.
    fn wanted_now(&self) -> usize {
        let parallelism = i64::from(self.spec.parallelism.unwrap_or(1));
        let wanted = match self.spec.completions {
            Some(completions) => (i64::from(completions) - self.tally.succeeded()).min(parallelism),
            // The first success ends the making of new pods.
            None if self.tally.succeeded() > 0 => return self.tally.active.len().min(clamp(parallelism)),
            None => parallelism,
        };
        clamp(wanted)
    }

    /// Under the policy Failed, a pod on its way out is replaced when it has gone.
    fn blocking(&self) -> usize {
        let failed_only = self.spec.pod_replacement_policy.as_deref() == Some("Failed");
        if failed_only { clamp(self.tally.terminating.into()) } else { 0 }
    }

    fn withdraw_surplus(&mut self, surplus: usize) {
        let (mut out, rest) = self.misfits();
        let more = surplus.saturating_sub(out.len());
        out.extend(cheapest(rest, more, self.facts.now));
        out.truncate(BURST);
        self.plan.withdraw = out;
    }
}

impl<'a> Work<'a> {
    /// Pods of an indexed Job without an index of their own, and the others.
    fn misfits(&self) -> (Vec<&'a Pod>, Vec<&'a Pod>) {
        let Some(done) = &self.tally.done else { return (Vec::new(), self.tally.active.clone()) };
        let completions = self.spec.completions.unwrap_or(0);
        let mut seen = BTreeSet::new();
        self.tally.active.iter().copied().partition(|pod| {
            let fits = pod.index.is_some_and(|index| {
                (0..completions).contains(&index) && !done.contains(&index) && seen.insert(index)
            });
            !fits
        })
    }

    /// The first indexes that nobody works on.
    fn open_indexes(&self, done: &BTreeSet<i32>, count: usize) -> Vec<i32> {
        let busy: BTreeSet<i32> = self.tally.active.iter().filter_map(|pod| pod.index).collect();
        let all = 0..self.spec.completions.unwrap_or(0);
        all.filter(|index| !done.contains(index) && !busy.contains(index)).take(count).collect()
    }
}

fn clamp(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}
