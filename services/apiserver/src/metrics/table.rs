//! Rows found by their labels without making a key: the labels of a request are borrowed from it.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::Arc,
};

use parking_lot::RwLock;

/// Rows, each made when it is first asked for, and never removed.
#[derive(Debug)]
pub(super) struct Table<R> {
    hasher: RandomState,
    rows: RwLock<Rows<R>>,
}

#[derive(Debug)]
struct Rows<R> {
    by_hash: HashMap<u64, Vec<Arc<R>>>,
    count: usize,
}

// === impl Table ===

impl<R> Default for Table<R> {
    fn default() -> Self {
        let rows = Rows { by_hash: HashMap::new(), count: 0 };
        Self { hasher: RandomState::new(), rows: RwLock::new(rows) }
    }
}

impl<R> Table<R> {
    /// The row of `key`, which `is` tells from others of the same hash. None if there is none and the table has `limit` rows.
    pub(super) fn row(
        &self,
        key: impl Hash,
        limit: usize,
        is: impl Fn(&R) -> bool,
        make: impl FnOnce() -> R,
    ) -> Option<Arc<R>> {
        let hash = self.hasher.hash_one(key);
        let find = |rows: &Rows<R>| rows.by_hash.get(&hash)?.iter().find(|row| is(row)).cloned();
        if let Some(found) = find(&self.rows.read()) {
            return Some(found);
        }
        let mut rows = self.rows.write();
        if let Some(found) = find(&rows) {
            return Some(found);
        }
        if rows.count >= limit {
            return None;
        }
        let row = Arc::new(make());
        rows.count += 1;
        rows.by_hash.entry(hash).or_default().push(Arc::clone(&row));
        Some(row)
    }

    /// All rows, in no order.
    pub(super) fn all(&self) -> Vec<Arc<R>> {
        self.rows.read().by_hash.values().flatten().cloned().collect()
    }
}
