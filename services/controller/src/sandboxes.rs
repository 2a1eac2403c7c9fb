//! The Sandbox controller: caches, a queue of names, workers.

mod caches;
mod census;
mod execute;
mod memory;
mod observe;
mod packed;
mod reconcile;

use crate::metrics::Reconciles;
use crate::{Config, Metrics};
use caches::{Caches, Informers};
use census::Census;
use execute::Executor;
use kube::Client;
use kubekit::{Board, EventRecorder, Key, Queue, events};
use memory::Memories;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{Check, Clock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A pass over one Sandbox takes milliseconds; one that takes this long waits for something that does not come.
const STUCK: Duration = Duration::from_secs(5 * 60);

/// The controller before it runs.
pub(crate) struct Sandboxes {
    worker: Arc<Worker>,
    informers: Informers,
    queue: Queue<Key>,
    events: events::Writer,
    workers: usize,
}

/// What each worker needs.
struct Worker {
    caches: Caches,
    executor: Executor,
    memories: Memories,
    recorder: EventRecorder,
    clock: Arc<dyn Clock>,
    cluster_domain: Arc<str>,
    metrics: Arc<Metrics>,
}

// === impl Sandboxes ===

impl Sandboxes {
    pub(crate) fn build(config: Config, client: Client, metrics: Arc<Metrics>) -> Self {
        let queue = Queue::default();
        config.board.show("sandbox", &queue);
        let informers = Informers::build(&client, config.namespace.as_deref(), &queue);
        let caches = informers.caches();
        let (recorder, events) = EventRecorder::new(client.clone(), "sandbox-controller", &config.instance);
        config.metrics.collect(Census::of(&caches.sandboxes));
        config.metrics.collect(Reconciles::of(&metrics, config.workers));
        let worker = Worker {
            executor: Executor::new(client, caches.clone(), Arc::clone(&metrics)),
            caches,
            memories: Memories::default(),
            recorder,
            clock: config.clock,
            cluster_domain: config.cluster_domain.into(),
            metrics,
        };
        Self { worker: Arc::new(worker), informers, queue, events, workers: config.workers }
    }

    pub(crate) fn checks(&self) -> Vec<Check> {
        let (own, caches) = (Board::default(), self.worker.caches.clone());
        own.show("sandbox", &self.queue);
        let stuck = move || match own.stuck(STUCK).first() {
            None => Ok(()),
            Some((_, held)) => Err(format!("a worker has been at one Sandbox for {} s", held.as_secs())),
        };
        let sync = move || {
            let lost = caches.lost();
            if lost.is_empty() { Ok(()) } else { Err(format!("not followed: {}", lost.join(", "))) }
        };
        vec![
            Check::at_once("sandbox-controller", stuck),
            Check::at_once("sandbox-controller-sync", sync).only_ready(),
        ]
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { worker, informers, queue, events, workers } = self;
        let caches = worker.caches.clone();
        let mut tasks = JoinSet::new();
        informers.spawn(&mut tasks, &shutdown);
        tasks.spawn(events.run(shutdown.clone()));
        if shutdown.run_until_cancelled(caches.synced()).await.is_some() {
            tracing::info!(
                sandboxes = caches.sandboxes.len(),
                "the sandbox controller has seen everything and starts"
            );
            let handle = move |key: Key| {
                let worker = Arc::clone(&worker);
                async move { worker.reconcile(&key).await }
            };
            queue.work(workers, shutdown, handle).await;
        }
        while tasks.join_next().await.is_some() {}
    }
}
