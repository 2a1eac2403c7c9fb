//! The roles and bindings in the store, as one policy that is swapped when they change.
//!
//! **Invariants.** A policy is never older than one that was read before. A write of a role or binding is answered only once
//! it counts (`caught_up`); should following it fail, the answer comes after a second and a log line.

use std::{sync::Arc, time::Duration};

use ::access::{Objects, Plural, Policy, Rule};
use arc_swap::{ArcSwap, Guard};
use kinds::Kind;
use parking_lot::Mutex;
use serde_json::Value;
use store::{Event, EventKind, Expect, Op, Store, Txn};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{health::Followers, stored};

const PLURALS: [(&str, Plural); 4] = [
    ("clusterroles", Plural::ClusterRoles),
    ("clusterrolebindings", Plural::ClusterRoleBindings),
    ("roles", Plural::Roles),
    ("rolebindings", Plural::RoleBindings),
];
const PATIENCE: Duration = Duration::from_secs(1);

/// All rights, always of this moment.
pub(super) struct Authority {
    objects: Mutex<Objects>,
    current: ArcSwap<Policy>,
    /// For each of `PLURALS`, the revision up to which changes count.
    seen: [watch::Sender<u64>; 4],
}

// === impl Authority ===

impl Authority {
    /// Reads everything, and follows changes on `tasks` until `shutdown`.
    pub(super) fn start(
        store: &Store,
        followers: &Followers,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Arc<Self> {
        let authority = Arc::new(Self {
            objects: Mutex::default(),
            current: ArcSwap::default(),
            seen: std::array::from_fn(|_| watch::Sender::new(0)),
        });
        for (index, (plural, _)) in PLURALS.iter().enumerate() {
            let after = authority.load(store, index);
            let (this, store, shutdown) = (Arc::clone(&authority), store.clone(), shutdown.clone());
            let task = tasks.spawn(async move {
                shutdown.run_until_cancelled(this.follow(&store, index, after)).await;
                tracing::trace!(plural, "rights are no longer followed");
            });
            followers.add(plural, task.abort_handle());
        }
        authority
    }

    /// The policy of this moment.
    pub(super) fn policy(&self) -> Guard<Arc<Policy>> {
        self.current.load()
    }

    /// Waits until a committed write of a role or binding counts; returns at once for other kinds.
    pub(super) async fn caught_up(&self, kind: &Kind, revision: u64) {
        if kind.group != ::access::GROUP {
            return;
        }
        let Some(index) = PLURALS.iter().position(|(plural, _)| *plural == kind.plural) else { return };
        let mut seen = self.seen[index].subscribe();
        if tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen >= revision)).await.is_err() {
            tracing::error!(plural = %kind.plural, revision, "a change of rights does not count yet");
        }
    }

    /// Reads all objects of a kind anew; gives the revision they are of.
    fn load(&self, store: &Store, index: usize) -> u64 {
        let plural = PLURALS[index].1;
        let list = store.list(&prefix(index), None, 0);
        let mut objects = self.objects.lock();
        objects.clear(plural);
        for entry in &list.entries {
            put(&mut objects, plural, &entry.key, &entry.value);
        }
        self.publish(&objects, index, list.revision);
        list.revision
    }

    async fn follow(&self, store: &Store, index: usize, mut after: u64) {
        loop {
            self.complete_aggregates(store, index).await;
            let Ok(mut watch) = store.watch(&prefix(index), after) else {
                after = self.load(store, index);
                continue;
            };
            while let Ok(event) = watch.next().await {
                self.take_in(index, &event);
                self.complete_aggregates(store, index).await;
            }
            // Too slow, or the store was closed: begin again, but not in a busy loop.
            tokio::time::sleep(Duration::from_millis(50)).await;
            after = self.load(store, index);
        }
    }

    fn take_in(&self, index: usize, event: &Event) {
        let mut objects = self.objects.lock();
        let plural = PLURALS[index].1;
        match event.kind {
            EventKind::Deleted => {
                let (namespace, name) = stored::name_of(&event.key);
                objects.remove(plural, namespace, name);
            }
            _ => put(&mut objects, plural, &event.key, &event.value),
        }
        self.publish(&objects, index, event.revision);
    }

    /// Called with the lock, so that policies come one after the other.
    fn publish(&self, objects: &Objects, index: usize, revision: u64) {
        self.current.store(Arc::new(objects.policy()));
        self.seen[index].send_replace(revision);
    }

    /// Writes into ClusterRoles that are made of others what they hold, for people to read: the policy knows it already.
    async fn complete_aggregates(&self, store: &Store, index: usize) {
        if PLURALS[index].1 != Plural::ClusterRoles {
            return;
        }
        let stale = self.objects.lock().stale_aggregates();
        for (name, rules) in stale {
            let key = format!("{}/{name}", prefix(index));
            let Some(entry) = store.get(&key) else { continue };
            let Ok(mut role) = serde_json::from_slice::<Value>(&entry.value) else { continue };
            role["rules"] = rules.iter().map(Rule::to_value).collect();
            let op = Op::Put { key, expect: Expect::At(entry.revision), value: stored::encode(role) };
            // Who wrote in between causes another event, and so another attempt.
            if let Err(error) = store.commit(Txn::one(op)).await {
                tracing::debug!(%name, %error, "the rules of an aggregated role were not written");
            }
        }
    }
}

fn prefix(index: usize) -> String {
    format!("{}/{}/", ::access::GROUP, PLURALS[index].0)
}

fn put(objects: &mut Objects, plural: Plural, key: &str, bytes: &[u8]) {
    let (namespace, name) = stored::name_of(key);
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => objects.put(plural, namespace, name, &value),
        Err(error) => {
            tracing::error!(key, %error, "a role or binding cannot be read and gives no rights");
            objects.remove(plural, namespace, name);
        }
    }
}
