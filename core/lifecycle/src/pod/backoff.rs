//! How long to wait before trying again: the kubelet's doubling delays.

use std::time::Duration;

use jiff::Timestamp;

/// The delay after the second crash; the first restart is immediate.
pub const CRASH_FIRST: Duration = Duration::from_secs(10);
/// The longest delay.
pub const CRASH_MAX: Duration = Duration::from_secs(300);

/// The delay that the next failure of a container has to wait out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay, counted from the end of the failed run.
    pub delay: Duration,
    /// When the delay was last lengthened.
    pub updated: Timestamp,
}

// === impl Backoff ===

impl Backoff {
    /// The back-off after one more restart at `now` of a run that ended at `ended`. A run that kept going for twice the
    /// longest delay is forgiven, as client-go's back-off does.
    pub fn next(previous: Option<Self>, ended: Timestamp, now: Timestamp) -> Self {
        let delay = match previous {
            Some(last) if elapsed(last.updated, ended) <= CRASH_MAX * 2 => (last.delay * 2).min(CRASH_MAX),
            _ => CRASH_FIRST,
        };
        Self { delay, updated: now }
    }

    /// When a run that ended at `ended` may be followed by the next.
    pub fn until(&self, ended: Timestamp) -> Timestamp {
        if elapsed(self.updated, ended) > CRASH_MAX * 2 {
            return ended;
        }
        ended + self.delay
    }
}

/// The delay before attempt `count + 1` of something that failed `count` times.
pub(super) fn doubling(count: u32, first: Duration, max: Duration) -> Duration {
    let factor = 1_u32.checked_shl(count.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max)
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
