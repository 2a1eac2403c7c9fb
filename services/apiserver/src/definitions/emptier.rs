//! Deletes the objects of a definition that goes, then lets it go.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kinds::definition;
use parking_lot::Mutex;
use serde_json::Value;
use store::{CommitError, Entry, Expect, Op, Store, Txn};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{object, stored};

/// Objects deleted at the same time.
const AT_ONCE: usize = 16;
/// Objects looked at in one step.
const PAGE: usize = 200;
/// Objects that have finalizers are looked at again at least this often.
const PATIENCE: Duration = Duration::from_secs(5);

/// Empties definitions, each in a task of its own.
pub(super) struct Emptier {
    store: Store,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    busy: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

// === impl Emptier ===

impl Emptier {
    pub(super) fn new(store: &Store, tasks: &TaskTracker, shutdown: &CancellationToken) -> Self {
        let (tasks, shutdown) = (tasks.clone(), shutdown.clone());
        Self { store: store.clone(), tasks, shutdown, busy: Arc::default() }
    }

    /// Begins to empty a definition that is being deleted, unless that is under way.
    pub(super) fn begin(&self, key: &Arc<str>) {
        if !self.busy.lock().insert(Arc::clone(key)) {
            return;
        }
        let (store, shutdown) = (self.store.clone(), self.shutdown.clone());
        let (busy, key) = (Arc::clone(&self.busy), Arc::clone(key));
        self.tasks.spawn(async move {
            while shutdown.run_until_cancelled(empty(&store, &key)).await.is_some() {
                busy.lock().remove(&key);
                // One of the same name may have come, and be going, meanwhile.
                if waiting(&store, &key).is_none() || !busy.lock().insert(Arc::clone(&key)) {
                    return;
                }
            }
        });
    }
}

/// The definition, if it waits to be emptied.
fn waiting(store: &Store, key: &str) -> Option<(Entry, Value)> {
    let entry = store.get(key)?;
    let crd: Value = serde_json::from_slice(&entry.value).ok()?;
    let waits = object::is_deleting(&crd) && object::finalizers(&crd).contains(&definition::FINALIZER);
    waits.then_some((entry, crd))
}

async fn empty(store: &Store, key: &Arc<str>) {
    while let Some((entry, crd)) = waiting(store, key) {
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let prefix = format!("{}/{}/", text("/spec/group"), text("/spec/names/plural"));
        let revision = store.revision();
        // What was never served has no objects; those of this prefix may be another's.
        let established = definition::is_established(&crd);
        let left = if established { delete_all(store, &prefix).await } else { 0 };
        let done = if left > 0 {
            definition::emptying(&crd, Timestamp::now())
        } else {
            Some(definition::emptied(crd, established, Timestamp::now()))
        };
        if let Some(new) = done {
            write(store, key, &entry, new).await;
        }
        if left > 0 {
            changed(store, &prefix, revision).await;
        }
    }
}

/// Writes the CRD, or removes it if nothing holds it any more. Who wrote in between causes another attempt.
async fn write(store: &Store, key: &str, entry: &Entry, new: Value) {
    let gone = object::finalizers(&new).is_empty();
    let (key, expect, value) = (key.to_owned(), Expect::At(entry.revision), stored::encode(new));
    let op = if gone { Op::Delete { key, expect, last: value } } else { Op::Put { key, expect, value } };
    pause_on_failure(store.commit(Txn::one(op)).await).await;
}

/// Deletes what has no finalizer, marks the rest. Gives the number of objects that stay.
async fn delete_all(store: &Store, prefix: &str) -> usize {
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.list(prefix, after.as_deref(), PAGE);
        after = page.entries.last().map(|entry| Arc::clone(&entry.key));
        stream::iter(page.entries).for_each_concurrent(AT_ONCE, |entry| delete(store, entry)).await;
        if !page.more {
            return store.count(prefix, None);
        }
    }
}

async fn delete(store: &Store, entry: Entry) {
    let Ok(mut object) = serde_json::from_slice::<Value>(&entry.value) else {
        tracing::error!(key = &*entry.key, "an object cannot be read, and stays");
        return;
    };
    let held = !object::finalizers(&object).is_empty();
    if held && object::is_deleting(&object) {
        return;
    }
    object::set(&mut object, "deletionTimestamp", object::time(Timestamp::now()));
    object::set(&mut object, "deletionGracePeriodSeconds", Value::from(0));
    object::bump_generation(&mut object);
    let (key, expect, value) = (entry.key.to_string(), Expect::At(entry.revision), stored::encode(object));
    let op = if held { Op::Put { key, expect, value } } else { Op::Delete { key, expect, last: value } };
    pause_on_failure(store.commit(Txn::one(op)).await).await;
}

async fn pause_on_failure(committed: Result<u64, CommitError>) {
    match committed {
        Ok(_) | Err(CommitError::Conflict { .. }) => {}
        Err(error) => {
            tracing::error!(%error, "a definition could not be emptied; trying again");
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

/// Waits until something below the prefix has changed since a revision, but not forever.
async fn changed(store: &Store, prefix: &str, since: u64) {
    let Ok(mut watch) = store.watch(prefix, since) else { return };
    drop(tokio::time::timeout(PATIENCE, watch.next()).await);
}
