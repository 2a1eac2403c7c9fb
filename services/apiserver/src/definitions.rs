//! Follows CustomResourceDefinitions: decides what their status says, publishes their kinds, empties those that go.
//!
//! ```text
//! a CRD is written ─> look_at ─> status (names accepted, established) ─> Registry ─> requests
//!                        └──────> being deleted? ─> Emptier: its objects go, then the CRD
//! ```
//!
//! **Invariants.**
//! - A write of a CRD is answered only once its kinds are served, or no longer are (`caught_up`).
//! - As long as there is no definition but our own, all that this costs is a place in the store's watch window.

mod emptier;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kinds::{
    Body, Kind,
    definition::{self, Names},
};
use parking_lot::Mutex;
use serde_json::Value;
use store::{CommitError, Entry, Expect, Op, Store, Txn};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::emptier::Emptier;
use crate::{
    health::Followers,
    object,
    registry::{Defined, Definition, KindRef, Life, Registry},
    stored,
};

/// The prefix of the keys of CRDs.
pub(crate) const PREFIX: &str = "apiextensions.k8s.io/customresourcedefinitions/";
/// How long the answer to a write of a CRD waits for it to count.
const PATIENCE: Duration = Duration::from_secs(5);
/// After the watch broke, or a write failed.
const PAUSE: Duration = Duration::from_millis(50);

/// The follower.
pub(crate) struct Definitions {
    store: Store,
    registry: Arc<Registry>,
    /// The keys of the CRDs of our own kinds, which are in the table.
    own: Vec<String>,
    known: Mutex<BTreeMap<Arc<str>, Known>>,
    seen: watch::Sender<u64>,
    emptier: Emptier,
    shutdown: CancellationToken,
}

/// What is remembered of a foreign CRD.
struct Known {
    definition: Arc<Definition>,
    kinds: Vec<Arc<Defined>>,
    group: String,
    accepted: Value,
    /// Some of its names are not accepted.
    waiting: bool,
}

// === impl Definitions ===

impl Definitions {
    /// Reads all definitions, and follows changes on `tasks` until `shutdown`. `own`: the CRDs of the kinds in the table.
    pub(crate) async fn start(
        store: &Store,
        registry: &Arc<Registry>,
        own: &[Value],
        followers: &Followers,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            store: store.clone(),
            registry: Arc::clone(registry),
            own: own.iter().map(|crd| key(object::name(crd))).collect(),
            known: Mutex::default(),
            seen: watch::Sender::new(0),
            emptier: Emptier::new(store, tasks, shutdown),
            shutdown: shutdown.clone(),
        });
        let after = this.load().await;
        let follower = Arc::clone(&this);
        let task = tasks.spawn(async move {
            let shutdown = follower.shutdown.clone();
            shutdown.run_until_cancelled(follower.follow(after)).await;
        });
        followers.add("customresourcedefinitions", task.abort_handle());
        this
    }

    /// Waits until a committed write of a CRD counts; returns at once for other kinds.
    pub(crate) async fn caught_up(&self, kind: &Kind, revision: u64) {
        if !matches!(kind.body, Body::CustomResourceDefinition) {
            return;
        }
        let mut seen = self.seen.subscribe();
        if tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen >= revision)).await.is_err() {
            tracing::error!(revision, "a change of a definition does not count yet");
        }
    }

    /// A write lost because its definition was written at the same time: waits until that counts.
    pub(crate) async fn changed(&self, kind: &KindRef, lost: &str) {
        if kind.definition().is_none_or(|definition| definition.key != lost) {
            return;
        }
        let Some(entry) = self.store.get(lost) else { return };
        let mut seen = self.seen.subscribe();
        drop(tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen >= entry.revision)).await);
    }

    /// Reads all definitions anew; gives the revision they are of.
    async fn load(&self) -> u64 {
        let revision = self.store.revision();
        let mut keys: VecDeque<Arc<str>> = self.known.lock().keys().cloned().collect();
        // Only the names: a page of CRDs may be big.
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = self.store.list(PREFIX, after.as_deref(), 16);
            after = page.entries.last().map(|entry| entry.key.clone());
            keys.extend(page.entries.into_iter().map(|entry| entry.key).filter(|key| !self.is_own(key)));
            if !page.more {
                break;
            }
        }
        Box::pin(self.settle(keys)).await;
        self.seen.send_replace(revision);
        revision
    }

    async fn follow(&self, mut after: u64) {
        loop {
            let Ok(mut watch) = self.store.watch(PREFIX, after) else {
                after = self.load().await;
                continue;
            };
            while let Ok(event) = watch.next().await {
                if !self.is_own(&event.key) {
                    // On the heap: most of its life this task waits.
                    Box::pin(self.settle([event.key.clone()].into())).await;
                }
                self.seen.send_replace(event.revision);
            }
            // Too slow, or the store was closed: begin again, but not in a busy loop.
            tokio::time::sleep(PAUSE).await;
            after = self.load().await;
        }
    }

    fn is_own(&self, key: &str) -> bool {
        self.own.iter().any(|own| own == key)
    }

    /// Looks at definitions as they are now, and at those that their change concerns.
    async fn settle(&self, mut keys: VecDeque<Arc<str>>) {
        let mut changed = false;
        while let Some(key) = keys.pop_front() {
            let (before, after) = match self.store.get(&key) {
                None => (self.forget(&key), None),
                Some(entry) => self.look_at(&key, entry).await,
            };
            changed |= before != after;
            // Names that came free may be what others wait for.
            if let Some((group, _)) = before.filter(|before| after.as_ref() != Some(before)) {
                let known = self.known.lock();
                let waiting =
                    known.iter().filter(|(other, k)| k.waiting && k.group == group && **other != key);
                keys.extend(waiting.map(|(other, _)| other.clone()));
            }
        }
        if changed {
            let known = self.known.lock();
            self.registry.publish(known.values().flat_map(|known| known.kinds.iter().cloned()));
        }
    }

    fn forget(&self, key: &str) -> Option<(String, Value)> {
        let known = self.known.lock().remove(key)?;
        known.definition.ended.cancel();
        Some((known.group.clone(), known.mark()))
    }

    /// Brings one definition's status up to date and takes it in. Gives group and mark of what was known before and now.
    async fn look_at(
        &self,
        key: &Arc<str>,
        mut entry: Entry,
    ) -> (Option<(String, Value)>, Option<(String, Value)>) {
        let before = self.known.lock().get(key).map(|known| (known.group.clone(), known.mark()));
        loop {
            let Ok(mut crd) = serde_json::from_slice::<Value>(&entry.value) else {
                tracing::error!(key = &**key, "a definition cannot be read and serves nothing");
                return (self.forget(key), None);
            };
            let group = crd["spec"]["group"].as_str().unwrap_or_default().to_owned();
            let used = self.used(&group, key);
            let Some(status) = definition::settled(&crd, &used, Timestamp::now()) else {
                let after = self.take_in(key, entry.revision, &mut crd);
                return (before, Some((group, after)));
            };
            crd["status"] = status;
            let value = stored::encode(crd);
            let op = Op::Put { key: key.to_string(), expect: Expect::At(entry.revision), value };
            match self.store.commit(Txn::one(op)).await {
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => {
                    tracing::error!(key = &**key, %error, "the status of a definition was not written");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            match self.store.get(key) {
                Some(now) if !self.shutdown.is_cancelled() => entry = now,
                _ => return (self.forget(key), None),
            }
        }
    }

    /// The names in use in a group, but for those of one definition.
    fn used(&self, group: &str, except: &str) -> Names {
        let mut names = Names::built_in(group);
        let known = self.known.lock();
        let others = known.iter().filter(|(key, known)| &***key != except && known.group == group);
        others.for_each(|(_, known)| names.take(&known.accepted));
        names
    }

    fn take_in(&self, key: &Arc<str>, revision: u64, crd: &mut Value) -> Value {
        let terminating = object::is_deleting(crd);
        let mut known = self.known.lock();
        let new = Known::of(key, crd, known.get(&**key), &self.shutdown);
        new.definition.life.note(revision, terminating);
        if terminating {
            self.emptier.begin(key);
        }
        let mark = new.mark();
        known.insert(key.clone(), new);
        mark
    }
}

// === impl Known ===

impl Known {
    fn of(key: &Arc<str>, crd: &mut Value, old: Option<&Self>, shutdown: &CancellationToken) -> Self {
        let accepted = crd["status"]["acceptedNames"].clone();
        let waiting = accepted != crd["spec"]["names"];
        let group = crd["spec"]["group"].as_str().unwrap_or_default().to_owned();
        let served = definition::is_served(crd);
        if let Some(old) = old {
            let same = old.definition.uid == object::uid(crd)
                && old.definition.generation == crd["metadata"]["generation"].as_i64().unwrap_or(0)
                && old.accepted == accepted
                && old.kinds.is_empty() != served;
            if same {
                let (definition, kinds) = (Arc::clone(&old.definition), old.kinds.clone());
                return Self { definition, kinds, group, accepted, waiting };
            }
            old.definition.ended.cancel();
        }
        let reborn = old.is_none_or(|old| old.definition.uid != object::uid(crd));
        let life =
            old.filter(|_| !reborn).map_or_else(Arc::<Life>::default, |old| Arc::clone(&old.definition.life));
        let definition = Arc::new(Definition::new(key.to_string(), crd, shutdown.child_token(), life));
        // What is discovered are the names that were accepted.
        crd["spec"]["names"] = accepted.clone();
        let kinds = if served { Kind::from_crd(crd) } else { Vec::new() };
        let kinds =
            kinds.into_iter().map(|kind| Arc::new(Defined::new(kind, Arc::clone(&definition)))).collect();
        Self { definition, kinds, group, accepted, waiting }
    }

    /// Differs whenever something is served in another way.
    fn mark(&self) -> Value {
        serde_json::json!([
            self.definition.uid,
            self.definition.generation,
            self.accepted,
            self.kinds.is_empty()
        ])
    }
}

/// The key of a CRD.
pub(crate) fn key(name: &str) -> String {
    format!("{PREFIX}/{name}")
}
