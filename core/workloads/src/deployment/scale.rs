//! Another size in the middle of a rollout, or while it is paused: every set keeps its share.

use super::work::Work;
use std::cmp::Reverse;

// === impl Work ===

impl Work<'_> {
    /// Whether the number of pods wanted changed since the sets were scaled last.
    pub(super) fn is_resized(&self) -> bool {
        let wanted = self.wanted();
        self.active(self.all())
            .into_iter()
            .any(|at| self.desired_of(at).is_some_and(|desired| desired != wanted))
    }

    pub(super) fn keep_proportions(&mut self) {
        let wanted = self.wanted();
        if let Some(only) = self.active_or_latest() {
            // Also at the same size: its notes must say what it is scaled for, or every rollout would look like a resize.
            self.resize(only, wanted);
            return;
        }
        if self.is_saturated() {
            for at in self.active(self.old()) {
                self.resize(at, 0);
            }
            return;
        }
        if self.is_rolling() {
            self.spread();
        }
    }

    /// The one set with pods, or the newest if none has any; nothing if several have.
    fn active_or_latest(&self) -> Option<usize> {
        match self.active(self.all()).as_slice() {
            [] => self.new.or_else(|| self.old().last().copied()),
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The new set has all the pods that are wanted.
    fn is_saturated(&self) -> bool {
        let Some(at) = self.new else { return false };
        let wanted = self.wanted();
        self.sets[at].replicas == wanted
            && self.desired_of(at) == Some(wanted)
            && self.sets[at].available() == wanted
    }

    /// Gives what is to be added or taken to the sets in proportion, and what is left over to the largest.
    fn spread(&mut self) {
        let mut sets = self.active(self.all());
        let allowed = if self.wanted() > 0 { self.wanted() + self.surge() } else { 0 };
        let total = allowed - sets.iter().map(|at| self.sets[*at].replicas).sum::<i32>();
        let newest = |at: &usize| Reverse((self.sets[*at].created(), *at));
        if total > 0 {
            sets.sort_by_key(|at| (Reverse(self.sets[*at].replicas), newest(at)));
        } else {
            sets.sort_by_key(|at| (Reverse(self.sets[*at].replicas), self.sets[*at].created()));
        }
        let mut added = 0;
        let mut sizes = Vec::new();
        for at in sets {
            let share = self.share(at, total, added);
            added += share;
            sizes.push((at, self.sets[at].replicas + share));
        }
        if let Some(largest) = sizes.first_mut() {
            largest.1 = (largest.1 + total - added).max(0);
        }
        for (at, size) in sizes {
            self.resize(at, size);
        }
    }

    /// A set's part of `total`, of which `added` is given away.
    fn share(&self, at: usize, total: i32, added: i32) -> i32 {
        let has = self.sets[at].replicas;
        if has == 0 || total == 0 || total == added {
            return 0;
        }
        let fraction = self.fraction(at);
        let left = total - added;
        if total > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    fn fraction(&self, at: usize) -> i32 {
        let has = self.sets[at].replicas;
        if self.wanted() == 0 {
            return -has;
        }
        let known = self.max_of(at).filter(|max| *max != 0);
        let before = known.unwrap_or_else(|| self.status.replicas.unwrap_or(0));
        if before == 0 {
            return 0;
        }
        let (now, before) = (i64::from(self.wanted() + self.surge()), i64::from(before));
        // Rounded half up: nothing here is negative.
        let size = (2 * i64::from(has) * now + before) / (2 * before);
        i32::try_from(size).unwrap_or(i32::MAX) - has
    }
}
