//! Probe counters: how many equal results in a row change the verdict.

use super::spec::Probe;

/// The results of one probe of one running container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    verdict: Option<bool>,
    last: Option<bool>,
    run: u32,
}

// === impl Counter ===

impl Counter {
    /// A counter that starts out with a verdict, as after the node agent's own restart.
    pub fn settled(verdict: bool) -> Self {
        Self { verdict: Some(verdict), last: None, run: 0 }
    }

    /// Counts one result. Returns whether the verdict changed.
    pub fn observe(&mut self, success: bool, probe: &Probe) -> bool {
        if self.last == Some(success) {
            self.run = self.run.saturating_add(1);
        } else {
            self.last = Some(success);
            self.run = 1;
        }
        let threshold = if success { probe.success } else { probe.failure };
        if self.run < threshold || self.verdict == Some(success) {
            return false;
        }
        self.verdict = Some(success);
        true
    }

    /// The verdict; `None` until a threshold is reached for the first time.
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }
}
