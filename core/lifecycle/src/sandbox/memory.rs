//! What the controller remembers of a Sandbox between passes. Losing it is harmless: at worst something is told a
//! little later, or once more.

use super::trouble::Trouble;
use super::{Snapshot, Step, write};
use crd::conditions::{READY, reason};
use crd::v1beta1::SandboxStatus;
use jiff::Timestamp;

/// What earlier passes left to remember of one Sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// When the status was last written.
    pub written: Option<Timestamp>,
    /// When the status last told that a Sandbox which was Ready is so no more.
    pub lost: Option<Timestamp>,
    /// Uid of a Pod that the controller deleted itself, while it terminates.
    pub deleted: Option<String>,
    /// What has failed since when.
    pub(super) troubles: Vec<Trouble>,
}

// === impl Memory ===

impl Memory {
    /// The memory after `step`, decided on `snapshot`, was carried out at `now`.
    #[must_use]
    pub fn after_step(mut self, snapshot: &Snapshot, step: &Step, now: Timestamp) -> Self {
        match step {
            Step::PatchStatus(_, _, new) => {
                self.written = Some(now);
                if is_loss(snapshot.sandbox.status.as_ref(), new) {
                    self.lost = Some(now);
                }
            }
            Step::DeletePod(target) => self.deleted = Some(target.version.uid.clone()),
            _ => {}
        }
        self
    }

    /// The memory after a pass whose last look was `snapshot`.
    #[must_use]
    pub fn after_pass(mut self, snapshot: &Snapshot, now: Timestamp) -> Self {
        let is_there = |uid: &String| snapshot.pods.iter().any(|pod| pod.meta.version.uid == *uid);
        self.deleted = self.deleted.filter(is_there);
        self.troubles = snapshot.troubles(now);
        self
    }

    /// Whether there is nothing left in it that still matters at `now`.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.deleted.is_none() && self.troubles.is_empty() && write::is_over(self, now)
    }
}

fn is_loss(old: Option<&SandboxStatus>, new: &SandboxStatus) -> bool {
    write::is_ready(old)
        && new.condition(READY).is_some_and(|ready| ready.reason == reason::DEPENDENCIES_NOT_READY)
}
