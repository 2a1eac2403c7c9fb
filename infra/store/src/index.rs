//! The current objects, in memory. Changed by the writer only, after the disk has the change.

use crate::{
    txn::{Entry, List},
    value::Value,
};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

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

    /// The key as the index holds it, so that the events of an object share one.
    pub(crate) fn key(&self, key: &str) -> Option<Arc<str>> {
        self.entries.get_key_value(key).map(|(own, _)| own.clone())
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

    /// Makes a change and gives the value before it.
    pub(crate) fn apply(
        &mut self,
        key: &Arc<str>,
        revision: u64,
        value: Option<Arc<Value>>,
    ) -> Option<Arc<Value>> {
        let key_len = key.len() as u64;
        let previous = match value {
            Some(value) => {
                self.bytes += key_len + value.len() as u64;
                self.entries.insert(key.clone(), Slot { value, revision })
            }
            None => self.entries.remove(&**key),
        };
        if let Some(previous) = &previous {
            self.bytes -= key_len + previous.value.len() as u64;
        }
        previous.map(|slot| slot.value)
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
