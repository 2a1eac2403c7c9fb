//! Keeps a projection of every object of one kind, fresh by list and watch, and tells what changed.
//!
//! The projection decides what is remembered of an object; the object itself is dropped. Readers never wait for the
//! network. A lost watch is taken up where it stopped; if the server has forgotten that place, everything is listed
//! again and compared, so handlers hear exactly of what changed in between. An object that cannot be parsed is
//! logged and treated as absent; it never hides the others.
//!
//! **Own writes are seen at once:** [`Reader::remember`] puts the server's answer to a write into the cache. Older
//! news about that object is ignored afterwards, so a controller never decides on a state that it changed itself.

mod follow;
mod lines;
mod source;
mod store;

#[cfg(test)]
mod tests;

use crate::{Backoff, Key, Text};
use kube::{Client, Resource};
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use source::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Failures in a row from which on they are not taken for a passing trouble: with the usual waits some seconds.
pub const LASTING: u32 = 6;

/// What to watch and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Only this namespace; unset is all of them, and right for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Only objects that this label selector matches.
    pub labels: Option<String>,
    /// Only objects that this field selector matches.
    pub fields: Option<String>,
    /// Objects per page of a list.
    pub page: u32,
    /// Ask for the first state as watch events; falls back to a list where the server cannot.
    pub streaming: bool,
    /// Waits after failed requests.
    pub backoff: Backoff,
}

/// One change of one object. A replacement by another object of the same name shows as old and new with other uids
/// when both happened while the watch was away.
#[derive(Debug)]
pub struct Change<'a, T> {
    /// Which object.
    pub key: &'a Key,
    /// What was known before; none if it is new.
    pub old: Option<&'a Arc<T>>,
    /// What is known now; none if it is gone.
    pub new: Option<&'a Arc<T>>,
}

type Handler<T> = Box<dyn Fn(&Change<'_, T>) + Send + Sync>;
type Project<K, T> = Box<dyn Fn(K) -> Option<T> + Send + Sync>;

/// The writing side: follows the server for as long as [`Informer::run`] runs.
pub struct Informer<K: Resource, T> {
    source: Source<K>,
    project: Project<K, T>,
    shared: Arc<Shared<T>>,
    backoff: Backoff,
    progressed: bool,
}

/// The reading side. Clones share it.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: RwLock<State<T>>,
    handlers: RwLock<Vec<Handler<T>>>,
    synced: watch::Sender<bool>,
    /// Requests that failed in a row.
    failures: AtomicU32,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: None,
            labels: None,
            fields: None,
            page: 500,
            streaming: true,
            backoff: Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(30) },
        }
    }
}

// === impl Informer ===

impl<K, T> Informer<K, T>
where
    K: Resource + Clone + DeserializeOwned + Send + 'static,
    T: Send + Sync + 'static,
{
    /// An informer that has not asked for anything yet. `project` decides what is kept of an object.
    pub fn new(client: Client, config: Config, project: impl Fn(K) -> T + Send + Sync + 'static) -> Self
    where
        K::DynamicType: Default,
    {
        Self::new_with(client, &K::DynamicType::default(), config, project)
    }

    /// An informer that keeps only objects of which `project` makes something. One of which it makes nothing any more is, for
    /// readers and handlers, gone.
    pub fn filtered(
        client: Client,
        config: Config,
        project: impl Fn(K) -> Option<T> + Send + Sync + 'static,
    ) -> Self
    where
        K::DynamicType: Default,
    {
        Self::build(client, &K::DynamicType::default(), config, Box::new(project))
    }

    /// The same for a kind that is known at run time only.
    pub fn new_with(
        client: Client,
        kind: &K::DynamicType,
        config: Config,
        project: impl Fn(K) -> T + Send + Sync + 'static,
    ) -> Self {
        Self::build(client, kind, config, Box::new(move |object| Some(project(object))))
    }

    fn build(client: Client, kind: &K::DynamicType, config: Config, project: Project<K, T>) -> Self {
        let backoff = config.backoff;
        let shared = Shared {
            state: RwLock::new(State::default()),
            handlers: RwLock::default(),
            synced: watch::Sender::new(false),
            failures: AtomicU32::new(0),
        };
        Self {
            source: Source::new(client, kind, config),
            project,
            shared: Arc::new(shared),
            backoff,
            progressed: false,
        }
    }

    /// Finds objects by what `values` says of them; see [`Reader::by_index`].
    #[must_use]
    pub fn index(
        self,
        name: &'static str,
        values: impl Fn(&Key, &T) -> Vec<Text> + Send + Sync + 'static,
    ) -> Self {
        self.shared.state.write().add_index(name, Box::new(values));
        self
    }

    /// Calls `handle` after each change. It runs in the informer's task: it should do little more than add a key to
    /// a queue. By the time it runs, a reader may know newer things.
    #[must_use]
    pub fn on_change(self, handle: impl Fn(&Change<'_, T>) + Send + Sync + 'static) -> Self {
        self.shared.handlers.write().push(Box::new(handle));
        self
    }

    /// A reader of what this informer knows.
    pub fn reader(&self) -> Reader<T> {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// Follows the server until shutdown. Failures are logged and tried again.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.follow()).await;
    }
}

// === impl Reader ===

impl<T> Reader<T> {
    /// The object of that name.
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.shared.state.read().get(key)
    }

    /// Every object for which the index `name` gave `value`, in order of their keys. Empty for an unknown index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<(Key, Arc<T>)> {
        self.shared.state.read().by_index(name, value)
    }

    /// Every object, in no order.
    pub fn list(&self) -> Vec<(Key, Arc<T>)> {
        self.shared.state.read().list()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.shared.state.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first state is complete.
    pub fn is_synced(&self) -> bool {
        *self.shared.synced.borrow()
    }

    /// Whether the first state is complete and the server lets itself be followed: not, once requests have failed
    /// [`LASTING`] times in a row.
    pub fn is_following(&self) -> bool {
        self.is_synced() && self.shared.failures.load(Ordering::Relaxed) < LASTING
    }

    /// Waits until the first state is complete. Never ends if the informer is dropped before.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives in what this reader holds, so waiting cannot fail.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Puts the server's answer to a write into the cache, unless something newer is known or the object is known to
    /// be gone since. Handlers hear of it. Does nothing if `resource_version` is no number.
    pub fn remember(&self, key: &Key, resource_version: &str, value: T) {
        if let Ok(revision) = resource_version.parse() {
            self.shared.change(key, |state| state.remember(key, revision, value));
        }
    }
}

impl<T> Reader<T> {
    /// Takes an object out of the cache that the server says is gone, unless a newer one than `resource_version` is
    /// known. Handlers hear of it.
    pub fn forget(&self, key: &Key, resource_version: &str) {
        if let Ok(revision) = resource_version.parse::<u64>() {
            self.shared.change(key, |state| state.forget(key, revision));
        }
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

// === impl Shared ===

impl<T> Shared<T> {
    /// Changes the state, then tells the handlers, outside of the lock.
    fn change(&self, key: &Key, change: impl FnOnce(&mut State<T>) -> Option<store::Changed<T>>) {
        let changed = change(&mut self.state.write());
        if let Some(changed) = changed {
            self.tell(key, &changed);
        }
    }

    fn tell(&self, key: &Key, changed: &store::Changed<T>) {
        let change = Change { key, old: changed.old.as_ref(), new: changed.new.as_ref() };
        for handle in self.handlers.read().iter() {
            handle(&change);
        }
    }
}
