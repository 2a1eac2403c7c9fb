//! How long a Job waits before it replaces pods that failed one after the other.

use crate::{Phase, Pod};
use jiff::{SignedDuration, Timestamp};

const FIRST: i64 = 10;
const LONGEST: i64 = 600;

/// When the next pod may be made; none if now.
pub(super) fn next(pods: &[&Pod]) -> Option<Timestamp> {
    let mut ends: Vec<(Timestamp, bool)> = pods
        .iter()
        .filter(|pod| pod.is_over())
        .filter_map(|pod| Some((pod.ended?, pod.phase == Phase::Failed)))
        .collect();
    ends.sort_unstable();
    let failures = ends.iter().rev().take_while(|(_, failed)| *failed).count();
    let (last, _) = ends.last().filter(|_| failures > 0)?;
    let doublings = u32::try_from(failures - 1).unwrap_or(u32::MAX).min(10);
    last.checked_add(SignedDuration::from_secs((FIRST << doublings).min(LONGEST))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(at: i64, phase: Phase) -> Pod {
        Pod { phase, ended: Timestamp::from_second(at).ok(), ..Pod::default() }
    }

    /// Fact: 10 s, doubled with each failure in a row up to 10 minutes; a success forgets them.
    #[test]
    fn failures_in_a_row_make_a_job_wait_longer() {
        let check = |pods: &[Pod], expected: Option<i64>| {
            let pods: Vec<&Pod> = pods.iter().collect();
            assert_eq!(next(&pods).map(Timestamp::as_second), expected);
        };
        let failed = |at| pod(at, Phase::Failed);
        check(&[], None);
        check(&[pod(5, Phase::Running)], None);
        check(&[failed(100)], Some(110));
        check(&[failed(200), failed(100)], Some(220));
        check(&[failed(100), failed(200), failed(300)], Some(340));
        check(&[failed(100), pod(150, Phase::Succeeded), failed(200)], Some(210));
        check(&[failed(100), pod(150, Phase::Succeeded)], None);
        let many: Vec<Pod> = (0..40).map(failed).collect();
        check(&many, Some(39 + 600));
    }
}
