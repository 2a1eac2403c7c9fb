//! Quotas: whether a namespace has room for what a write adds.
//!
//! What is used is what the store holds, never a number that could drift: finished pods and deleted objects make room at once.
//!
//! **Invariant:** writes that use something of a namespace's quotas pass one at a time, from the count to the commit ([`Gate`]), so
//! however many come at once, no quota is ever exceeded. The numbers in `status.used` are written by the controller, later.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use kinds::{
    Kind,
    quota::{self, Amounts},
};
use parking_lot::Mutex;
use serde_json::Value;
use store::Store;
use tokio::sync::OwnedMutexGuard;
use wire::{Quantity, Status};

use crate::{object, stored};

const QUOTAS: &str = "core/resourcequotas/";

/// One lock for each namespace that has quotas, for as long as somebody holds it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// Held by a write from the count of what is used to its commit.
#[derive(Debug)]
pub(crate) struct Pass {
    _held: OwnedMutexGuard<()>,
}

// === impl Gate ===

impl Gate {
    /// Waits for the turn of a write to a namespace; nobody waits where no quota is.
    pub(super) async fn pass(&self, store: &Store, kind: &Kind, namespace: &str) -> Option<Pass> {
        if !kind.namespaced || !has_quotas(store, namespace) {
            return None;
        }
        let lock = {
            let mut locks = self.locks.lock();
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(namespace).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                locks.insert(namespace.to_owned(), Arc::downgrade(&new));
                new
            })
        };
        Some(Pass { _held: lock.lock_owned().await })
    }
}

/// Refuses a write that a quota has no room for. `old`: what it replaces.
pub(super) fn admit(
    store: &Store,
    kind: &Kind,
    namespace: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if !kind.namespaced || !has_quotas(store, namespace) {
        return Ok(());
    }
    let refused = |why: String| Err(Status::forbidden(kind.resource(), object::name(new), why));
    let (group, plural) = (&*kind.group, &*kind.plural);
    let asked = quota::usage(group, plural, new);
    let before = old.map(|old| quota::usage(group, plural, old)).unwrap_or_default();
    let more = increase(&asked, &before);
    for quota in quotas(store, namespace) {
        if !quota::covers(&quota, group, plural, new) {
            continue;
        }
        if let (None, "pods", "") = (old, plural, group)
            && let Some(why) = quota::unnamed(&quota, new)
        {
            return refused(why);
        }
        if quota::mask(&more, &quota::hard(&quota)).is_empty() {
            continue;
        }
        let used = used(store, kind, namespace, &quota);
        if let Some(why) = quota::refusal(&quota, &used, &more) {
            return refused(why);
        }
    }
    Ok(())
}

/// What all objects of a kind use of a quota.
fn used(store: &Store, kind: &Kind, namespace: &str, limit: &Value) -> Amounts {
    let (group, plural) = (&*kind.group, &*kind.plural);
    let prefix = stored::namespace_prefix(kind, namespace);
    if quota::uses_only_counts(group, plural) {
        let count = i64::try_from(store.count(&prefix, None)).unwrap_or(i64::MAX);
        let one = quota::usage(group, plural, &Value::Null);
        return one.into_keys().map(|name| (name, Quantity::units(count))).collect();
    }
    let mut sum = Amounts::new();
    for entry in store.list(&prefix, None, 0).entries {
        let Ok(object) = serde_json::from_slice::<Value>(&entry.value) else { continue };
        if quota::covers(limit, group, plural, &object) {
            quota::add(&mut sum, &quota::usage(group, plural, &object));
        }
    }
    sum
}

/// What a change uses beyond what it used before.
fn increase(new: &Amounts, old: &Amounts) -> Amounts {
    let before = |name: &str| old.get(name).copied().unwrap_or(Quantity::ZERO);
    let more = new.iter().map(|(name, amount)| (name.clone(), amount.minus(before(name))));
    more.filter(|(_, amount)| amount.sign() > 0).collect()
}

fn has_quotas(store: &Store, namespace: &str) -> bool {
    store.count(&format!("{QUOTAS}{namespace}/"), None) > 0
}

fn quotas(store: &Store, namespace: &str) -> Vec<Value> {
    let entries = store.list(&format!("{QUOTAS}{namespace}/"), None, 0).entries;
    entries.iter().filter_map(|entry| serde_json::from_slice(&entry.value).ok()).collect()
}
