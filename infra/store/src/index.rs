//! The current objects, in memory. Changed by the writer only, after the disk has the change.

use crate::{
    txn::{Entry, List},
    value::Value,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, btree_map::Entry as Entered},
    ops::Bound,
    sync::Arc,
};

/// The revision of a store in which nothing was ever written.
pub(crate) const FIRST_REVISION: u64 = 1;

/// Keys to values, and the revision that they show.
#[derive(Debug)]
pub(crate) struct Index {
    entries: BTreeMap<Arc<str>, Slot>,
    revision: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Slot {
    value: Arc<Value>,
    revision: u64,
}

/// A change of one key: a new value, or none for a deletion.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: Arc<str>,
    pub(crate) revision: u64,
    pub(crate) value: Option<Bytes>,
}

// === impl Index ===

impl Index {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), revision: FIRST_REVISION, bytes: 0 }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The size of all keys and values, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get_key_value(key).map(entry)
    }

    pub(crate) fn revision_of(&self, key: &str) -> Option<u64> {
        self.entries.get(key).map(|slot| slot.revision)
    }

    pub(crate) fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> List {
        let mut matching = self.matching(prefix, start_after);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let entries = matching.by_ref().take(limit).map(entry).collect();
        List { revision: self.revision, entries, more: matching.next().is_some() }
    }

    /// How many entries there are. Takes a walk over them.
    pub(crate) fn count(&self, prefix: &str, start_after: Option<&str>) -> usize {
        self.matching(prefix, start_after).count()
    }

    fn matching<'a>(
        &'a self,
        prefix: &'a str,
        start_after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Slot)> {
        let from = match start_after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Up to `limit` entries after the key `after`: a step of a walk that lets writers in between.
    pub(crate) fn chunk(&self, after: Option<&str>, limit: usize) -> Vec<Entry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range::<str, _>((from, Bound::Unbounded)).take(limit).map(entry).collect()
    }

    /// Makes a change. Gives the key as the index holds it, so that the events of an object share one, and the value before.
    pub(crate) fn apply(
        &mut self,
        key: Arc<str>,
        revision: u64,
        value: Option<Arc<Value>>,
    ) -> (Arc<str>, Option<Arc<Value>>) {
        let key_len = key.len() as u64;
        self.bytes += value.as_ref().map_or(0, |value| key_len + value.len() as u64);
        let (key, previous) = match (self.entries.entry(key), value) {
            (Entered::Occupied(mut at), Some(value)) => {
                (at.key().clone(), Some(at.insert(Slot { value, revision })))
            }
            (Entered::Occupied(at), None) => {
                let (key, slot) = at.remove_entry();
                (key, Some(slot))
            }
            (Entered::Vacant(at), Some(value)) => {
                let key = at.key().clone();
                at.insert(Slot { value, revision });
                (key, None)
            }
            (Entered::Vacant(at), None) => (at.into_key(), None),
        };
        self.bytes -= previous.as_ref().map_or(0, |slot| key_len + slot.value.len() as u64);
        (key, previous.map(|slot| slot.value))
    }

    /// All keys and values.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Value>)> {
        self.entries.iter().map(|(key, slot)| (key, &slot.value))
    }

    pub(crate) fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn entry((key, slot): (&Arc<str>, &Slot)) -> Entry {
    Entry { key: key.clone(), value: slot.value.bytes(), revision: slot.revision }
}
