//! Waiting times that double, with jitter so that many who failed together do not return together.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How long to wait after the n-th failure in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
}

// === impl Backoff ===

impl Backoff {
    /// The wait after `failures` failures in a row (1 is the first), without jitter.
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The same, shortened by a random part of up to a quarter.
    pub fn jittered(&self, failures: u32) -> Duration {
        let full = self.delay(failures);
        full - full.mul_f64(random_fraction() / 4.0)
    }
}

impl Default for Backoff {
    /// 5 ms doubling up to 60 s.
    fn default() -> Self {
        Self { base: Duration::from_millis(5), cap: Duration::from_secs(60) }
    }
}

/// A random number from 0 up to 1. The standard library seeds each hasher state at random.
pub(crate) fn random_fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_millis(5), cap: Duration::from_secs(1) };
        let waits: Vec<u128> = [1, 2, 3, 8, 9, 4_000_000_000].map(|n| backoff.delay(n).as_millis()).to_vec();
        assert_eq!(waits, [5, 10, 20, 640, 1000, 1000]);
    }

    #[test]
    fn jitter_takes_away_at_most_a_quarter_and_differs() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(1) };
        let waits: Vec<Duration> = (0..50).map(|_| backoff.jittered(1)).collect();
        assert!(waits.iter().all(|wait| (750..=1000).contains(&wait.as_millis())), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
