//! Which happenings are new, which repeat, and which are too many.

use super::Happening;
use crate::Key;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::Duration;
use tokio::time::Instant;

/// A series ends after this much silence.
const SILENCE: Duration = Duration::from_secs(6 * 60);
/// A series is written at most this often.
const REFRESH: Duration = Duration::from_secs(10);
/// Different events that one object may cause at once, and how long until it may cause one more.
const BURST: f64 = 25.0;
const ONE_MORE_EVERY: Duration = Duration::from_secs(10);
/// Series and objects that are remembered.
const REMEMBERED: usize = 2048;

/// What to do about a happening.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write an event.
    New,
    /// It was counted.
    Repeats,
    /// Its object causes too many.
    Muted,
}

/// A series to be written.
#[derive(Debug)]
pub(super) struct Due {
    /// The event that it was written as.
    pub(super) written: Key,
    pub(super) count: i32,
}

#[derive(Default)]
pub(super) struct Ledger {
    series: HashMap<Print, Series>,
    objects: HashMap<Print, Allowance>,
    hashers: [RandomState; 2],
}

/// 128 bits that stand for a text or several: what is remembered is as small for a long note as for a short one.
type Print = [u64; 2];

/// Kind, namespace, name and uid.
type Object<'a> = [Option<&'a str>; 4];

struct Series {
    written: Option<Key>,
    count: i32,
    last: Instant,
    /// Count and time of the last write.
    told: (i32, Instant),
}

struct Allowance {
    events: f64,
    at: Instant,
}

// === impl Ledger ===

impl Ledger {
    /// Enters a happening at time `now`.
    pub(super) fn enter(&mut self, happening: &Happening, now: Instant) -> Verdict {
        let same = self.series_of(happening);
        if let Some(series) = self.series.get_mut(&same)
            && now - series.last < SILENCE
        {
            series.count = series.count.saturating_add(1);
            series.last = now;
            return Verdict::Repeats;
        }
        if !self.allow(self.print(&object(happening)), now) {
            return Verdict::Muted;
        }
        if self.series.len() >= REMEMBERED {
            drop_oldest(&mut self.series, |series| series.last);
        }
        self.series.insert(same, Series { written: None, count: 1, last: now, told: (1, now) });
        Verdict::New
    }

    /// The event for a new happening was written.
    pub(super) fn written(&mut self, happening: &Happening, written: Key) {
        let same = self.series_of(happening);
        if let Some(series) = self.series.get_mut(&same) {
            series.written = Some(written);
        }
    }

    /// The event for a new happening could not be written: the next one is new again.
    pub(super) fn forget(&mut self, happening: &Happening) {
        self.series.remove(&self.series_of(happening));
    }

    /// The event of a series was deleted by somebody.
    pub(super) fn gone(&mut self, written: &Key) {
        self.series.retain(|_, series| series.written.as_ref() != Some(written));
    }

    /// The series whose count should be written now; `all` does not wait for their time.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<Due> {
        let mut due = Vec::new();
        self.series.retain(|_, series| {
            let news = series.count > series.told.0;
            if news && (all || now - series.told.1 >= REFRESH) {
                series.told = (series.count, now);
                due.extend(series.written.clone().map(|written| Due { written, count: series.count }));
            }
            news || now - series.last < SILENCE
        });
        due
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.series.len(), self.objects.len())
    }

    /// Happenings that differ in none of these are one series.
    fn series_of(&self, happening: &Happening) -> Print {
        let Happening { warning, reason, action, note, .. } = happening;
        self.print(&(object(happening), warning, reason, action, note))
    }

    fn print(&self, what: &impl Hash) -> Print {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(what))
    }

    fn allow(&mut self, object: Print, now: Instant) -> bool {
        if self.objects.len() >= REMEMBERED && !self.objects.contains_key(&object) {
            drop_oldest(&mut self.objects, |allowance| allowance.at);
        }
        let allowance = self.objects.entry(object).or_insert(Allowance { events: BURST, at: now });
        let earned = (now - allowance.at).as_secs_f64() / ONE_MORE_EVERY.as_secs_f64();
        allowance.events = (allowance.events + earned).min(BURST);
        allowance.at = now;
        if allowance.events < 1.0 {
            return false;
        }
        allowance.events -= 1.0;
        true
    }
}

fn object(happening: &Happening) -> Object<'_> {
    let object = &happening.regarding;
    [&object.kind, &object.namespace, &object.name, &object.uid].map(Option::as_deref)
}

/// Makes room by dropping the eighth that was quiet longest, so that the search is paid for once in a while only.
fn drop_oldest<K: Clone + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, last: impl Fn(&V) -> Instant) {
    let mut times: Vec<Instant> = map.values().map(&last).collect();
    times.sort_unstable();
    if let Some(limit) = times.get(times.len() / 8).copied() {
        map.retain(|_, value| last(value) > limit);
    }
}
