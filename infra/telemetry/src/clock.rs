//! The wall clock as a dependency, so that a test decides what time it is.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::fmt::Debug;
use std::sync::Arc;

/// Where the wall-clock time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

// === impl SystemClock ===

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

// === impl ManualClock ===

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    /// Shows `time` from now on, which may lie in the past.
    pub fn set(&self, time: Timestamp) {
        *self.0.lock() = time;
    }

    /// Moves the clock by `step`; stays where it is at the ends of time.
    pub fn advance(&self, step: SignedDuration) {
        let mut time = self.0.lock();
        *time = time.checked_add(step).unwrap_or(*time);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_for_all_its_holders() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        assert_eq!(shared.now(), Timestamp::UNIX_EPOCH);
        clock.advance(SignedDuration::from_secs(90));
        assert_eq!(shared.now(), Timestamp::from_second(90).unwrap());
        clock.set(Timestamp::from_second(3).unwrap());
        assert_eq!(shared.now(), Timestamp::from_second(3).unwrap());
    }

    #[test]
    fn the_system_clock_does_not_stand_still() {
        let start = SystemClock.now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(SystemClock.now() > start);
    }
}
