//! Gives every Pod of this node its actor, and at the start clears away what no Pod owns.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kubekit::{Informer, Key, Reader, informer};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actor, Command, Handle};
use crate::record::Record;
use crate::shared::Shared;
use crate::sweep;
use crate::vitals::Questions;

/// A request to stop all containers.
#[derive(Debug)]
pub(crate) struct Halt {
    pub(crate) grace: Duration,
    pub(crate) done: oneshot::Sender<()>,
}

/// All Pods of this node.
pub(crate) struct Pods {
    shared: Arc<Shared>,
    informer: Option<Informer<Pod, Pod>>,
    reader: Reader<Pod>,
    dirty: Arc<Dirty>,
    /// By uid.
    actors: HashMap<String, Handle>,
    /// Whose name it is now.
    current: HashMap<Key, String>,
    tasks: JoinSet<String>,
    evictions: (mpsc::Sender<Eviction>, mpsc::Receiver<Eviction>),
}

/// The uid of a Pod that has to go, and why.
pub(crate) type Eviction = (String, String);

/// Names of Pods that changed.
#[derive(Default)]
struct Dirty {
    keys: Mutex<HashSet<Key>>,
    news: Notify,
}

// === impl Pods ===

impl Pods {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let dirty = Arc::new(Dirty::default());
        let told = Arc::clone(&dirty);
        let fields = Some(format!("spec.nodeName={}", shared.config.name));
        let config = informer::Config { fields, ..informer::Config::default() };
        let informer = Informer::new(shared.client.clone(), config, |mut pod: Pod| {
            pod.metadata.managed_fields = None;
            pod
        });
        let informer = informer.on_change(move |change| told.add(change.key.clone()));
        let reader = informer.reader();
        Self {
            shared,
            informer: Some(informer),
            reader,
            dirty,
            actors: HashMap::new(),
            current: HashMap::new(),
            tasks: JoinSet::new(),
            evictions: mpsc::channel(4),
        }
    }

    /// Where to say that a Pod has to go.
    pub(crate) fn evictions(&self) -> mpsc::Sender<Eviction> {
        self.evictions.0.clone()
    }

    pub(crate) fn reader(&self) -> Reader<Pod> {
        self.reader.clone()
    }

    pub(crate) async fn run(
        mut self,
        mut halts: mpsc::Receiver<Halt>,
        mut questions: Questions,
        shutdown: CancellationToken,
    ) {
        let mut parts = JoinSet::new();
        if let Some(informer) = self.informer.take() {
            parts.spawn(informer.run(shutdown.clone()));
        }
        let stopped = shutdown.run_until_cancelled(self.begin(&mut parts, &shutdown)).await.is_none();
        if !stopped {
            self.shared.vitals.follows(true);
            self.follow(&mut halts, &mut questions, &shutdown).await;
            self.shared.vitals.follows(false);
        }
        while self.tasks.join_next().await.is_some() {}
        while parts.join_next().await.is_some() {}
    }

    /// The first complete list decides what is swept and what is taken over.
    async fn begin(&mut self, parts: &mut JoinSet<()>, shutdown: &CancellationToken) {
        let paths = self.shared.paths.clone();
        let read = tokio::task::spawn_blocking(move || sweep::records(&paths));
        let (records, ()) = tokio::join!(read, async {
            tokio::join!(self.reader.synced(), self.shared.classes.synced());
        });
        let mut records = records.unwrap_or_default();
        self.dirty.take();
        let pods = self.reader.list();
        let keep: BTreeSet<String> = pods.iter().filter_map(|(_, pod)| pod.metadata.uid.clone()).collect();
        sweep::network(&self.shared, &keep).await;
        let kept: BTreeMap<String, Record> =
            keep.iter().filter_map(|uid| records.remove_entry(uid)).collect();
        let ids = kept.iter().flat_map(|(uid, record)| record.ids(uid)).collect();
        for (key, pod) in pods {
            let record = pod.metadata.uid.as_ref().and_then(|uid| kept.get(uid).cloned());
            self.adopt(key, pod, record, shutdown);
        }
        self.shared.registry.set_listed();
        parts.spawn(sweep::leftovers(Arc::clone(&self.shared), keep, ids));
        parts.spawn(settle(Arc::clone(&self.shared), shutdown.clone()));
    }

    async fn follow(
        &mut self,
        halts: &mut mpsc::Receiver<Halt>,
        questions: &mut Questions,
        shutdown: &CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.dirty.news.notified() => {
                    for key in self.dirty.take() {
                        self.changed(key, shutdown);
                    }
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(uid) = ended {
                        self.actors.remove(&uid);
                        self.current.retain(|_, current| *current != uid);
                    }
                }
                Some((uid, message)) = self.evictions.1.recv() => {
                    if let Some(actor) = self.actors.get(&uid) {
                        // One that is too busy to listen is asked again when the disk is looked at again.
                        let _ = actor.commands.try_send(Command::Evict(message));
                    }
                }
                Some(question) = questions.recv() => drop(question.send(())),
                Some(halt) = halts.recv() => {
                    self.shared.vitals.follows(false);
                    self.halt(halt.grace).await;
                    let _ = halt.done.send(());
                    shutdown.cancelled().await;
                    return;
                }
            }
        }
    }

    fn changed(&mut self, key: Key, shutdown: &CancellationToken) {
        let pod = self.reader.get(&key);
        let uid = pod.as_ref().and_then(|pod| pod.metadata.uid.clone());
        if let Some(former) = self.current.get(&key).filter(|former| Some(*former) != uid.as_ref()) {
            if let Some(actor) = self.actors.get(former) {
                actor.feed.send_replace(None);
            }
            self.current.remove(&key);
        }
        let (Some(pod), Some(uid)) = (pod, uid) else { return };
        match self.actors.get(&uid) {
            Some(actor) => {
                actor.feed.send_replace(Some(pod));
            }
            None => self.adopt(key, pod, None, shutdown),
        }
    }

    fn adopt(&mut self, key: Key, pod: Arc<Pod>, record: Option<Record>, shutdown: &CancellationToken) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if !crate::paths::is_plain(&uid) {
            tracing::error!(pod = %key, "the pod's uid cannot name a directory");
            return;
        }
        let (feed, fed) = watch::channel(Some(Arc::clone(&pod)));
        let (commands, commanded) = mpsc::channel(4);
        let actor = Actor::new(Arc::clone(&self.shared), pod, record);
        let (stop, owned) = (shutdown.clone(), uid.clone());
        self.tasks.spawn(async move {
            actor.run(fed, commanded, stop).await;
            owned
        });
        self.current.insert(key, uid.clone());
        self.actors.insert(uid, Handle { feed, commands });
    }

    async fn halt(&mut self, grace: Duration) {
        let stops = self.actors.values().map(|actor| async {
            let (done, stopped) = oneshot::channel();
            if actor.commands.send(Command::Halt(grace, done)).await.is_ok() {
                let _ = stopped.await;
            }
        });
        futures::future::join_all(stops).await;
    }
}

/// Layers may be deleted once every Pod that was here before holds those of what runs in it.
async fn settle(shared: Arc<Shared>, shutdown: CancellationToken) {
    if shutdown.run_until_cancelled(shared.registry.all_settled()).await.is_some() {
        shared.images.set_settled().await;
    }
}

// === impl Dirty ===

impl Dirty {
    fn add(&self, key: Key) {
        self.keys.lock().insert(key);
        self.news.notify_one();
    }

    fn take(&self) -> HashSet<Key> {
        std::mem::take(&mut self.keys.lock())
    }
}
