//! What there is to see of queues: Kubernetes' `workqueue_*` metrics, and whether a worker is stuck.

use std::{
    fmt::Error,
    hash::Hash,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use telemetry::metrics::{
    Collector, ConstCounter, ConstGauge, Counter, DescriptorEncoder, EncodeMetric, Histogram, MetricType,
};
use tokio::time::Instant;

use super::{Queue, Shared};

/// Upper bounds of times in seconds, as client-go's.
const SECONDS: &[f64] = &[1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0];

/// The queues of a process, by name. Clones share it. It keeps no queue alive.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Line>>>);

#[derive(Debug)]
struct Line {
    name: &'static str,
    queue: Weak<dyn Observed>,
}

/// What a queue counts.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) retries: Counter,
    /// Seconds from when a key is ready to when a worker has it.
    pub(super) waited: Histogram,
    /// Seconds that a worker has a key.
    pub(super) worked: Histogram,
}

/// The present of a queue of any keys.
trait Observed: std::fmt::Debug + Send + Sync {
    fn counts(&self) -> &Counts;
    fn now(&self) -> Now;
}

struct Now {
    added: u64,
    ready: usize,
    /// For how long workers have had their keys: all together, and the longest.
    held: Duration,
    longest: Duration,
}

// === impl Counts ===

impl Default for Counts {
    fn default() -> Self {
        Self { retries: Counter::default(), waited: Histogram::new(SECONDS), worked: Histogram::new(SECONDS) }
    }
}

// === impl Shared ===

impl<K> Observed for Shared<K>
where
    K: Clone + Eq + Hash + Ord + Send + Sync + std::fmt::Debug,
{
    fn counts(&self) -> &Counts {
        &self.counts
    }

    fn now(&self) -> Now {
        let (now, state) = (Instant::now(), self.state.lock());
        let held = state.held(now).sum();
        Now {
            added: state.added(),
            ready: state.depth().0,
            held,
            longest: state.held(now).max().unwrap_or_default(),
        }
    }
}

// === impl Board ===

impl Board {
    /// Shows a queue under a name that no other queue of the process has.
    pub fn show<K>(&self, name: &'static str, queue: &Queue<K>)
    where
        K: Clone + Eq + Hash + Ord + Send + Sync + std::fmt::Debug + 'static,
    {
        let shared: Arc<dyn Observed> = Arc::clone(&queue.shared) as Arc<dyn Observed>;
        self.0.lock().push(Line { name, queue: Arc::downgrade(&shared) });
    }

    /// The queues of which a worker has had one key for longer than `limit`, and for how long.
    pub fn stuck(&self, limit: Duration) -> Vec<(&'static str, Duration)> {
        let longest = self.present().into_iter().map(|(name, queue)| (name, queue.now().longest));
        longest.filter(|(_, longest)| *longest > limit).collect()
    }

    fn present(&self) -> Vec<(&'static str, Arc<dyn Observed>)> {
        let mut lines = self.0.lock();
        lines.retain(|line| line.queue.strong_count() > 0);
        lines.iter().filter_map(|line| Some((line.name, line.queue.upgrade()?))).collect()
    }
}

impl Collector for Board {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let queues: Vec<(&'static str, Arc<dyn Observed>, Now)> =
            self.present().into_iter().map(|(name, queue)| (name, Arc::clone(&queue), queue.now())).collect();
        if queues.is_empty() {
            return Ok(());
        }
        let mut all =
            |name: &str, help: &str, kind, metric: &dyn Fn(&dyn Observed, &Now) -> Box<dyn EncodeMetric>| {
                let mut family = encoder.encode_descriptor(name, help, None, kind)?;
                for (name, queue, now) in &queues {
                    metric(&**queue, now).encode(family.encode_family(&[("name", *name)])?)?;
                }
                Ok::<(), Error>(())
            };
        let (counter, gauge, histogram) = (MetricType::Counter, MetricType::Gauge, MetricType::Histogram);
        all("workqueue_adds", "Total number of adds handled by workqueue", counter, &|_, now| {
            Box::new(ConstCounter::new(now.added))
        })?;
        all("workqueue_retries", "Total number of retries handled by workqueue", counter, &|queue, _| {
            Box::new(queue.counts().retries.clone())
        })?;
        all("workqueue_depth", "Current depth of workqueue", gauge, &|_, now| {
            Box::new(ConstGauge::new(now.ready))
        })?;
        let help = "How many seconds of work has been done that is in progress and hasn't been observed by work_duration";
        all("workqueue_unfinished_work_seconds", help, gauge, &|_, now| {
            Box::new(ConstGauge::new(now.held.as_secs_f64()))
        })?;
        let help = "How many seconds has the longest running processor for workqueue been running";
        all("workqueue_longest_running_processor_seconds", help, gauge, &|_, now| {
            Box::new(ConstGauge::new(now.longest.as_secs_f64()))
        })?;
        let help = "How long in seconds an item stays in workqueue before being requested";
        all("workqueue_queue_duration_seconds", help, histogram, &|queue, _| {
            Box::new(queue.counts().waited.clone())
        })?;
        let help = "How long in seconds processing an item from workqueue takes";
        all("workqueue_work_duration_seconds", help, histogram, &|queue, _| {
            Box::new(queue.counts().worked.clone())
        })
    }
}
