//! What an informer knows: objects by key, and indexes over them. No waiting, no network.

use crate::{Key, Text};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

type Values<T> = Box<dyn Fn(&Key, &T) -> Vec<Text> + Send + Sync>;

pub(super) struct State<T> {
    /// A process has many of these. A tree grows with its objects; a hash table would be half empty after each doubling.
    objects: BTreeMap<Key, Item<T>>,
    indexes: Vec<Index<T>>,
    /// The watch has told everything up to this revision.
    told: u64,
}

struct Item<T> {
    /// The object's resourceVersion; 0 if it is no number, then order cannot be told and the last word counts.
    revision: u64,
    value: Arc<T>,
}

struct Index<T> {
    name: &'static str,
    values: Values<T>,
    entries: BTreeSet<(Text, Key)>,
}

/// What one object was and is.
pub(super) struct Changed<T> {
    pub(super) old: Option<Arc<T>>,
    pub(super) new: Option<Arc<T>>,
}

// === impl State ===

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), indexes: Vec::new(), told: 0 }
    }
}

impl<T> State<T> {
    pub(super) fn add_index(&mut self, name: &'static str, values: Values<T>) {
        let mut index = Index { name, values, entries: BTreeSet::new() };
        for (key, item) in &self.objects {
            index.insert(key, &item.value);
        }
        self.indexes.push(index);
    }

    /// The watch or a list says that an object is so; no value is one that nobody wants to know of. None if that is no news.
    pub(super) fn put(&mut self, key: &Key, revision: u64, value: Option<T>) -> Option<Changed<T>> {
        let known = self.objects.get(key).map_or(0, |item| item.revision);
        if revision != 0 && revision <= known {
            return None;
        }
        let Some(value) = value else { return self.remove(key) };
        let value = Arc::new(value);
        let old = self.objects.insert(key.clone(), Item { revision, value: Arc::clone(&value) });
        let old = old.map(|item| item.value);
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(key, old);
            }
            index.insert(key, &value);
        }
        Some(Changed { old, new: Some(value) })
    }

    /// The watch says that an object is gone. None if a newer one of that name is known.
    pub(super) fn delete(&mut self, key: &Key, revision: u64) -> Option<Changed<T>> {
        let known = self.objects.get(key)?.revision;
        if revision != 0 && revision < known {
            return None;
        }
        self.remove(key)
    }

    /// The answer to a write of our own. An object that is not there although the watch has told later things
    /// was deleted since.
    pub(super) fn remember(&mut self, key: &Key, revision: u64, value: T) -> Option<Changed<T>> {
        if !self.objects.contains_key(key) && revision <= self.told {
            return None;
        }
        self.put(key, revision, Some(value))
    }

    /// The server says that the object of this revision, or an older one, is gone.
    pub(super) fn forget(&mut self, key: &Key, revision: u64) -> Option<Changed<T>> {
        let known = self.objects.get(key)?.revision;
        if known > revision { None } else { self.remove(key) }
    }

    /// The watch has come as far as `revision`.
    pub(super) fn told(&mut self, revision: u64) {
        self.told = self.told.max(revision);
    }

    /// A list as of `revision` held exactly `seen`: what else is known is gone, unless it is newer than the list.
    pub(super) fn retain(&mut self, seen: &HashSet<Key>, revision: u64) -> Vec<(Key, Changed<T>)> {
        self.told = revision;
        let gone: Vec<Key> = self
            .objects
            .iter()
            .filter(|(key, item)| !seen.contains(*key) && (item.revision <= revision || revision == 0))
            .map(|(key, _)| key.clone())
            .collect();
        gone.into_iter().filter_map(|key| self.remove(&key).map(|changed| (key, changed))).collect()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.objects.get(key).map(|item| Arc::clone(&item.value))
    }

    pub(super) fn by_index(&self, name: &str, value: &str) -> Vec<(Key, Arc<T>)> {
        let Some(index) = self.indexes.iter().find(|index| index.name == name) else { return Vec::new() };
        let value = Text::from(value);
        let from = index.entries.range((value.clone(), Key::default())..);
        let entries = from.take_while(|(entry, _)| *entry == value);
        entries.filter_map(|(_, key)| Some((key.clone(), self.get(key)?))).collect()
    }

    pub(super) fn list(&self) -> Vec<(Key, Arc<T>)> {
        self.objects.iter().map(|(key, item)| (key.clone(), Arc::clone(&item.value))).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    fn remove(&mut self, key: &Key) -> Option<Changed<T>> {
        let old = self.objects.remove(key)?.value;
        for index in &mut self.indexes {
            index.remove(key, &old);
        }
        Some(Changed { old: Some(old), new: None })
    }
}

// === impl Index ===

impl<T> Index<T> {
    fn insert(&mut self, key: &Key, value: &T) {
        for entry in (self.values)(key, value) {
            self.entries.insert((entry, key.clone()));
        }
    }

    fn remove(&mut self, key: &Key, value: &T) {
        for entry in (self.values)(key, value) {
            self.entries.remove(&(entry, key.clone()));
        }
    }
}
