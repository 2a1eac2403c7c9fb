//! The queue without waiting: plain data behind the lock.

use super::{Lane, Outcome};
use crate::Backoff;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// After this many keys of the high lane in a row, one of the low lane goes first.
const HIGH_IN_A_ROW: u32 = 16;

#[derive(Debug)]
pub(super) struct State<K> {
    /// Ready keys of each lane in order of arrival.
    high: BTreeMap<u64, K>,
    low: BTreeMap<u64, K>,
    /// Where each ready key stands.
    ready: HashMap<K, Place>,
    /// Keys in the hands of workers.
    held: HashMap<K, Held>,
    /// Keys that wait for a time; the same pairs both ways round.
    waiting: BTreeSet<(Instant, K)>,
    deadlines: HashMap<K, Instant>,
    /// Failures in a row.
    failures: HashMap<K, u32>,
    arrivals: u64,
    /// Keys that became ready, each time they did.
    added: u64,
    high_in_a_row: u32,
    closed: bool,
}

/// Where a ready key stands.
#[derive(Debug)]
struct Place {
    lane: Lane,
    number: u64,
    since: Instant,
}

/// What is known of a key in the hands of a worker.
#[derive(Debug)]
struct Held {
    since: Instant,
    /// The lane it goes back to, if it was added meanwhile.
    again: Option<Lane>,
}

// === impl State ===

impl<K> Default for State<K> {
    fn default() -> Self {
        Self {
            high: BTreeMap::new(),
            low: BTreeMap::new(),
            ready: HashMap::new(),
            held: HashMap::new(),
            waiting: BTreeSet::new(),
            deadlines: HashMap::new(),
            failures: HashMap::new(),
            arrivals: 0,
            added: 0,
            high_in_a_row: 0,
            closed: false,
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    /// Adds a key; true if a worker should look.
    pub(super) fn add(&mut self, lane: Lane, key: K, now: Instant) -> bool {
        if self.closed {
            return false;
        }
        if let Some(held) = self.held.get_mut(&key) {
            if held.again != Some(Lane::High) {
                held.again = Some(lane);
            }
            return false;
        }
        let mut since = now;
        match self.ready.get(&key) {
            Some(place) if place.lane == Lane::Low && lane == Lane::High => {
                since = place.since;
                self.low.remove(&place.number);
            }
            Some(_) => return false,
            None => self.added += 1,
        }
        self.arrivals += 1;
        let number = self.arrivals;
        self.ready.insert(key.clone(), Place { lane, number, since });
        self.lane(lane).insert(number, key);
        true
    }

    /// Adds a key at a time, or leaves it at an earlier one.
    pub(super) fn add_at(&mut self, key: K, at: Instant) {
        if self.closed {
            return;
        }
        match self.deadlines.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.waiting.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.deadlines.insert(key.clone(), at);
        self.waiting.insert((at, key));
    }

    /// Makes the keys ready whose time has come.
    pub(super) fn release_due(&mut self, now: Instant) {
        while self.waiting.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.waiting.pop_first() {
                self.deadlines.remove(&key);
                self.add(Lane::High, key, now);
            }
        }
    }

    /// Hands out the next ready key, and tells how long it has been ready.
    pub(super) fn take(&mut self, now: Instant) -> Option<(K, Duration)> {
        let low_turn = self.high.is_empty() || self.high_in_a_row >= HIGH_IN_A_ROW;
        let taken = if low_turn { self.low.pop_first() } else { None };
        self.high_in_a_row = if taken.is_some() { 0 } else { self.high_in_a_row.saturating_add(1) };
        let (_, key) = taken.or_else(|| self.high.pop_first())?;
        let waited = self.ready.remove(&key).map(|place| now.saturating_duration_since(place.since));
        self.held.insert(key.clone(), Held { since: now, again: None });
        Some((key, waited.unwrap_or_default()))
    }

    /// Takes a key back from its worker: whether it is ready again at once, and how long the worker had it.
    pub(super) fn finish(
        &mut self,
        key: K,
        outcome: Outcome,
        backoff: &Backoff,
        now: Instant,
    ) -> (bool, Duration) {
        let held = self.held.remove(&key);
        let worked = held.as_ref().map(|held| now.saturating_duration_since(held.since)).unwrap_or_default();
        let again = held.and_then(|held| held.again);
        match outcome {
            Outcome::Done => {
                self.failures.remove(&key);
            }
            Outcome::After(delay) => {
                self.failures.remove(&key);
                self.add_at(key.clone(), now + delay);
            }
            Outcome::Retry => {
                let wait = backoff.jittered(self.failed(&key));
                self.add_at(key.clone(), now + wait);
            }
            Outcome::RetryWithin(limit) => {
                let wait = backoff.jittered(self.failed(&key)).min(limit);
                self.add_at(key.clone(), now + wait);
            }
        }
        (again.is_some_and(|lane| self.add(lane, key, now)), worked)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    pub(super) fn depth(&self) -> (usize, usize, usize) {
        (self.ready.len(), self.waiting.len(), self.held.len())
    }

    /// For how long workers have had their keys.
    pub(super) fn held(&self, now: Instant) -> impl Iterator<Item = Duration> + '_ {
        self.held.values().map(move |held| now.saturating_duration_since(held.since))
    }

    pub(super) fn added(&self) -> u64 {
        self.added
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn close(&mut self) {
        let held = std::mem::take(&mut self.held);
        *self = Self { held, added: self.added, closed: true, ..Self::default() };
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeMap<u64, K> {
        match lane {
            Lane::High => &mut self.high,
            Lane::Low => &mut self.low,
        }
    }

    fn failed(&mut self, key: &K) -> u32 {
        if self.closed {
            return 1;
        }
        let failures = self.failures.entry(key.clone()).or_default();
        *failures = failures.saturating_add(1);
        *failures
    }
}
