//! Whether watches told the truth. etcd's guarantees (https://etcd.io/docs/v3.5/learning/api_guarantees/, "Watch APIs"):
//!
//! - *ordered*: events come in the order of their revisions;
//! - *unique*: no event comes twice;
//! - *reliable*: of the events between two that came, none is missing;
//! - *atomic*: what changed at one revision comes whole;
//! - *resumable*: a broken watch goes on after the last revision received, if the events are still held;
//! - *bookmarkable*: a bookmark at a revision says that all events up to it came.

use super::{Act, Answer, Call, Kind, Listing, Record, Segment, State, Step, Version};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How much was there to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Events told, over all watches.
    pub events: usize,
    /// Bookmarks told.
    pub bookmarks: usize,
    /// Watches that went on after their connection ended.
    pub resumed: usize,
    /// Acknowledged writes that a watch covered.
    pub writes: usize,
    /// Lists that a watch covered.
    pub lists: usize,
    /// Pairs of watches with revisions in common.
    pub pairs: usize,
}

type Told = BTreeMap<u64, (Kind, String, Version)>;

/// A segment, read through.
struct Read<'a> {
    segment: &'a Segment,
    told: Told,
    /// All up to this revision was told.
    until: u64,
}

/// Checks what the watches told against each other, against the lists and against the calls.
pub fn watches_hold(record: &Record) -> (Count, Vec<String>) {
    let (mut count, mut wrong) = (Count::default(), Vec::new());
    let reads: Vec<Read<'_>> =
        record.segments.iter().map(|segment| read(segment, &mut count, &mut wrong)).collect();
    for read in &reads {
        covers_writes(read, &record.calls, &mut count, &mut wrong);
        covers_lists(read, &record.listings, &mut count, &mut wrong);
    }
    for (at, one) in reads.iter().enumerate() {
        for other in &reads[at + 1..] {
            agree(one, other, &mut count, &mut wrong);
        }
    }
    (count, wrong)
}

/// Ordered and unique; each kind of event fits the state; bookmarks do not go back.
fn read<'a>(segment: &'a Segment, count: &mut Count, wrong: &mut Vec<String>) -> Read<'a> {
    let (mut until, mut state, mut told) = (segment.from, segment.state.clone(), Told::new());
    for step in &segment.steps {
        match step {
            Step::Resumed => count.resumed += 1,
            Step::Bookmark(revision) => {
                count.bookmarks += 1;
                if *revision < until {
                    wrong.push(format!("a bookmark at {revision} came after {until} was told"));
                }
                until = until.max(*revision);
            }
            Step::Event(kind, key, version) => {
                count.events += 1;
                if version.revision <= until {
                    wrong.push(format!("{kind:?} {key} {version:?} came after {until} was told"));
                }
                until = until.max(version.revision);
                apply(&mut state, *kind, key, version, wrong);
                told.insert(version.revision, (*kind, key.clone(), version.clone()));
            }
        }
    }
    Read { segment, told, until }
}

fn apply(state: &mut State, kind: Kind, key: &str, version: &Version, wrong: &mut Vec<String>) {
    let before = match kind {
        Kind::Deleted => state.remove(key),
        Kind::Added | Kind::Modified => state.insert(key.to_owned(), version.clone()),
    };
    let fits = match kind {
        Kind::Added => before.is_none(),
        Kind::Modified => before.is_some(),
        Kind::Deleted => before.as_ref().is_some_and(|before| before.value == version.value),
    };
    if !fits {
        wrong.push(format!("{kind:?} {key} {version:?} does not follow {before:?}"));
    }
}

/// Reliable: what was acknowledged was told. And nothing was told that nobody wrote, or that was refused.
fn covers_writes(read: &Read<'_>, calls: &[Call], count: &mut Count, wrong: &mut Vec<String>) {
    let (mut possible, mut refused) = (HashMap::new(), HashSet::new());
    for call in calls {
        let (Act::Create(value) | Act::Replace { value, .. }) = &call.act else { continue };
        match &call.answer {
            Answer::Lost => drop(possible.insert(value, &call.key)),
            Answer::Written(revision) => {
                possible.insert(value, &call.key);
                if !(read.segment.from < *revision && *revision <= read.until) {
                    continue;
                }
                count.writes += 1;
                let told = read.told.get(revision).filter(|(kind, _, _)| *kind != Kind::Deleted);
                let told = told.map(|(_, key, version)| (key, &version.value));
                if told != Some((&call.key, value)) {
                    wrong.push(format!("{call:?} was acknowledged, and the watch told {told:?}"));
                }
            }
            _ => drop(refused.insert(value)),
        }
    }
    for (_, key, version) in read.told.values() {
        if refused.contains(&version.value) || possible.get(&version.value) != Some(&key) {
            wrong.push(format!("{key} {version:?} was told, and nobody wrote it"));
        }
    }
}

/// A list is the state at its revision.
fn covers_lists(read: &Read<'_>, listings: &[Listing], count: &mut Count, wrong: &mut Vec<String>) {
    for list in listings.iter().filter(|list| (read.segment.from..=read.until).contains(&list.revision)) {
        count.lists += 1;
        let mut state = read.segment.state.clone();
        for (kind, key, version) in read.told.range(..=list.revision).map(|(_, event)| event) {
            match kind {
                Kind::Deleted => drop(state.remove(key)),
                _ => drop(state.insert(key.clone(), version.clone())),
            }
        }
        if state != list.state {
            wrong.push(format!("the list at {} shows {:?}, the watch {state:?}", list.revision, list.state));
        }
    }
}

/// Two watches told the same of the revisions that both covered.
fn agree(one: &Read<'_>, other: &Read<'_>, count: &mut Count, wrong: &mut Vec<String>) {
    let (from, until) = (one.segment.from.max(other.segment.from), one.until.min(other.until));
    if from >= until {
        return;
    }
    count.pairs += 1;
    let told = |read: &Read<'_>| -> Told {
        read.told.range(from + 1..=until).map(|(revision, event)| (*revision, event.clone())).collect()
    };
    let (mine, theirs) = (told(one), told(other));
    for revision in mine.keys().chain(theirs.keys()).filter(|it| mine.get(it) != theirs.get(it)) {
        let (one, other) = (mine.get(revision), theirs.get(revision));
        wrong.push(format!("at {revision} one watch told {one:?}, another {other:?}"));
    }
}
