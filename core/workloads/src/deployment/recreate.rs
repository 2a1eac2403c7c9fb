//! Recreate: the pods of old templates go before the first of the new one comes.

use super::work::Work;
use crate::Phase;

// === impl Work ===

impl Work<'_> {
    pub(super) fn recreate(&mut self) {
        self.find_new(false);
        let old = self.active(self.old());
        let mut shrunk = false;
        for at in old {
            shrunk |= self.resize(at, 0);
        }
        if shrunk || self.old_pods_run() {
            return;
        }
        if self.new.is_none() {
            self.find_new(true);
        }
        self.resize_new();
        self.clean_up_when_complete();
    }

    /// Also those that are on their way out: they may hold what the new ones need.
    fn old_pods_run(&self) -> bool {
        let old = self.old();
        if old.iter().any(|at| self.sets[*at].actual() > 0) {
            return true;
        }
        let new = self.new.and_then(|at| self.sets[at].object.metadata.uid.as_deref());
        self.facts
            .pods
            .iter()
            .any(|(set, pod)| Some(*set) != new && !matches!(pod.phase, Phase::Succeeded | Phase::Failed))
    }
}
