//! How long certificates are good for, and when they are replaced. Times are seconds since the epoch.

const DAY: i64 = 24 * 3600;

/// A clock can be set, a machine can sleep: however far the next replacement is, it is looked again after this long.
const LONGEST_LOOK: i64 = DAY / 2;
/// Something that stays due is not tried without a pause.
const SHORTEST_LOOK: i64 = 60;

/// A kind of certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// For how many days one is made.
    pub days: i64,
    /// How many days before its end it is replaced.
    pub renewed_before: i64,
}

/// The authority that signs all others. It is replaced at a start only: what it signed ends with it.
pub const AUTHORITY: Lifetime = Lifetime { days: 10 * 365, renewed_before: 365 };
/// What the server shows.
pub const SERVING: Lifetime = Lifetime { days: 365, renewed_before: 30 };
/// The administrator's, of which there are copies in kubeconfigs that nobody renews: one has a year left when the next is made.
pub const ADMINISTRATOR: Lifetime = Lifetime { days: 2 * 365, renewed_before: 365 };

// === impl Lifetime ===

impl Lifetime {
    /// From when on a certificate that ends at `until` is replaced.
    pub fn due_from(&self, until: i64) -> i64 {
        until - self.renewed_before * DAY
    }

    /// Whether it is to be replaced now.
    pub fn is_due(&self, until: i64, now: i64) -> bool {
        now >= self.due_from(until)
    }
}

/// Seconds until the next look at certificates that are due from these times on.
pub fn next_look(due_from: impl IntoIterator<Item = i64>, now: i64) -> i64 {
    let soonest = due_from.into_iter().min().map_or(LONGEST_LOOK, |due| due.saturating_sub(now));
    soonest.clamp(SHORTEST_LOOK, LONGEST_LOOK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    #[test]
    fn a_certificate_is_replaced_once_and_well_before_its_end() {
        for lifetime in [AUTHORITY, SERVING, ADMINISTRATOR] {
            let until = NOW + lifetime.days * DAY;
            let due: Vec<i64> =
                (0..=lifetime.days).filter(|day| lifetime.is_due(until, NOW + day * DAY)).collect();
            assert_eq!(due.first(), Some(&(lifetime.days - lifetime.renewed_before)), "{lifetime:?}");
            assert_eq!(due.len(), usize::try_from(lifetime.renewed_before).unwrap() + 1, "and from then on");
            assert!(!lifetime.is_due(until, lifetime.due_from(until) - 1));
            assert!(lifetime.is_due(until, until + DAY), "one that has ended is due");
        }
    }

    #[test]
    fn the_next_look_is_at_the_first_that_is_due_and_never_far_away() {
        assert_eq!(next_look([NOW + 7000, NOW + 5000], NOW), 5000);
        assert_eq!(next_look([NOW + 300 * DAY], NOW), 12 * 3600, "a machine may sleep through a year");
        assert_eq!(next_look([NOW - 5], NOW), 60, "what cannot be replaced is tried again, with a pause");
        assert_eq!(next_look([i64::MIN], NOW), 60);
        assert_eq!(next_look([], NOW), 12 * 3600);
    }

    /// Walks a clock through three years, as the server's loop does.
    #[test]
    fn over_the_years_nothing_ends_before_it_is_replaced() {
        let (mut now, end) = (NOW, NOW + 3 * 365 * DAY);
        let mut until = [SERVING, ADMINISTRATOR].map(|kind| (kind, NOW + kind.days * DAY));
        let (mut renewed, mut looks) = ([0, 0], 0);
        while now < end {
            for (at, (kind, until)) in until.iter_mut().enumerate() {
                assert!(now < *until, "{kind:?} ended");
                if kind.is_due(*until, now) {
                    *until = now + kind.days * DAY;
                    renewed[at] += 1;
                }
            }
            now += next_look(until.iter().map(|(kind, until)| kind.due_from(*until)), now);
            looks += 1;
        }
        assert_eq!(renewed, [3, 2]);
        assert!((2190..2210).contains(&looks), "two looks a day: {looks}");
    }
}
