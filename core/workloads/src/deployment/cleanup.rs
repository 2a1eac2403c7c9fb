//! Old sets that have nothing any more go, but for as many as the history keeps.

use super::revision;
use super::work::Work;

// === impl Work ===

impl Work<'_> {
    pub(super) fn clean_up_when_complete(&mut self) {
        if self.is_complete(&self.deployment.status.clone().unwrap_or_default()) {
            self.clean_up();
        }
    }

    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
        let mut old = self.old();
        old.retain(|at| self.sets[*at].object.metadata.deletion_timestamp.is_none());
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        let age = |at: &usize| (revision::of(&self.sets[*at]).unwrap_or(0), self.sets[*at].created());
        old.sort_by_key(age);
        for at in old.into_iter().take(surplus) {
            let set = &self.sets[at];
            let seen = set.object.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
            let current = set.object.metadata.generation.unwrap_or(0) <= seen;
            if set.actual() == 0 && set.before() == 0 && set.replicas == 0 && current {
                self.deleted.push(set.name().to_owned());
            }
        }
    }
}
