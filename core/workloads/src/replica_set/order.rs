//! Which pod goes first when there are too many, as Kubernetes orders them: what costs least to lose.

use crate::Pod;
use jiff::Timestamp;
use std::cmp::Ordering;

/// Orders two pods, each with the number of related pods on its node; the lesser goes first.
pub(super) fn before(a: (&Pod, usize), b: (&Pod, usize), now: Timestamp) -> Ordering {
    let ((a, crowd_a), (b, crowd_b)) = (a, b);
    let placed = |pod: &Pod| !pod.node.is_empty();
    placed(a)
        .cmp(&placed(b))
        .then(a.phase.cmp(&b.phase))
        .then(a.ready.cmp(&b.ready))
        .then(a.cost.cmp(&b.cost))
        .then(crowd_b.cmp(&crowd_a))
        .then_with(|| {
            if a.ready { younger(a.ready_changed, b.ready_changed, (a, b), now) } else { Ordering::Equal }
        })
        .then(b.restarts.cmp(&a.restarts))
        .then_with(|| younger(a.created, b.created, (a, b), now))
}

/// The one that has been so for a shorter time goes first. Ages are compared by their order of magnitude, and those alike by uid, so
/// that not always the newest go.
fn younger(a: Option<Timestamp>, b: Option<Timestamp>, pods: (&Pod, &Pod), now: Timestamp) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Ordering::Equal,
        (Some(a), Some(b)) => {
            magnitude(a, now).cmp(&magnitude(b, now)).then_with(|| pods.0.uid.cmp(&pods.1.uid))
        }
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// The binary logarithm of an age in nanoseconds; -1 for none.
fn magnitude(since: Timestamp, now: Timestamp) -> i64 {
    let age = now.duration_since(since).as_nanos();
    if age > 0 { i64::from(age.ilog2()) } else { -1 }
}
