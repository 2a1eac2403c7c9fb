//! Rolling update: the new set grows while the old ones shrink, never above `maxSurge` and never below `maxUnavailable`.

use super::work::Work;
use wire::IntOrString;

// === impl Work ===

impl Work<'_> {
    pub(super) fn roll(&mut self) {
        self.find_new(true);
        if self.resize_new() || self.shrink_old() {
            return;
        }
        self.clean_up_when_complete();
    }

    /// Pods that may be made beyond the number wanted.
    pub(super) fn surge(&self) -> i32 {
        if self.is_rolling() { self.bounds().0 } else { 0 }
    }

    /// Pods that may be missing of the number wanted.
    pub(super) fn missing(&self) -> i32 {
        if !self.is_rolling() || self.wanted() == 0 {
            return 0;
        }
        self.bounds().1.min(self.wanted())
    }

    /// Surge is rounded up, absence down; if both come out as nothing, one pod may be absent.
    fn bounds(&self) -> (i32, i32) {
        let rolling = self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let scaled = |amount: Option<&k8s_openapi::apimachinery::pkg::util::intstr::IntOrString>,
                      up: bool| {
            let value = amount.and_then(|amount| serde_json::to_value(amount).ok());
            let amount = value.as_ref().and_then(IntOrString::from_value);
            amount.and_then(|amount| amount.scaled(self.wanted(), up)).unwrap_or(0)
        };
        let surge = scaled(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
        let missing = scaled(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
        if surge == 0 && missing == 0 { (0, 1) } else { (surge, missing) }
    }

    /// The size of the new set as far as the surge allows.
    pub(super) fn new_size(&self) -> i32 {
        let Some(at) = self.new else { return 0 };
        let (wanted, has) = (self.wanted(), self.sets[at].replicas);
        if !self.is_rolling() {
            return wanted;
        }
        let room = wanted + self.surge() - self.sum(|set| set.replicas);
        if room <= 0 { has } else { has + room.min(wanted - has) }
    }

    /// Whether the new set's size changes.
    pub(super) fn resize_new(&mut self) -> bool {
        let Some(at) = self.new else { return false };
        let (wanted, set) = (self.wanted(), &self.sets[at]);
        if !set.exists {
            // It is made with its size.
            return true;
        }
        let size = match set.replicas.cmp(&wanted) {
            std::cmp::Ordering::Equal => return false,
            std::cmp::Ordering::Greater => wanted,
            std::cmp::Ordering::Less => self.new_size(),
        };
        size != self.sets[at].replicas && self.resize(at, size)
    }

    /// Pods of old sets that are not available go first, then as many as the new set's pods allow.
    fn shrink_old(&mut self) -> bool {
        let (Some(new), old) = (self.new, self.active(self.old())) else { return false };
        if old.is_empty() {
            return false;
        }
        let least = self.wanted() - self.missing();
        let waiting = self.sets[new].replicas - self.sets[new].available();
        let most = self.sum(|set| set.replicas) - least - waiting;
        if most <= 0 {
            return false;
        }
        let mut gone = 0;
        for at in &old {
            let (has, available) = (self.sets[*at].replicas, self.sets[*at].available());
            let sick = (has - available).clamp(0, most - gone);
            if sick > 0 {
                self.resize(*at, has - sick);
                gone += sick;
            }
        }
        let mut spare = self.sum(super::work::Draft::available) - least;
        for at in old {
            let has = self.sets[at].replicas;
            let fewer = has.min(spare);
            if fewer > 0 {
                self.resize(at, has - fewer);
                spare -= fewer;
                gone += fewer;
            }
        }
        gone > 0
    }
}
