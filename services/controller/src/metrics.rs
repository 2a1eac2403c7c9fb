//! What the controllers did: requests by what they were and how they ended, passes, failures.

use kubekit::Outcome;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;
use telemetry::metrics::{
    Collector, ConstCounter, ConstGauge, DescriptorEncoder, EncodeMetric as _, Histogram, MetricType,
};

/// Counters since the start of the process.
#[derive(Debug)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Request, u64>>,
    passes: AtomicU64,
    retries: AtomicU64,
    active: AtomicI64,
    results: [AtomicU64; 4],
    seconds: Histogram,
}

/// A pass that has begun.
pub(crate) struct Pass<'a> {
    metrics: &'a Metrics,
    begun: Instant,
}

/// Passes by the names that controller-runtime, which upstream's controller is built with, gives them.
#[derive(Debug)]
pub(crate) struct Reconciles {
    metrics: Arc<Metrics>,
    workers: usize,
}

/// A kind of request and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `create`, `patch`, `delete` or `get`.
    pub verb: &'static str,
    /// Plural of the kind, with the subresource if any.
    pub resource: &'static str,
    /// `ok`, `conflict`, `transient`, `refused`, `not_found`, `already_exists` or `expired`.
    pub result: &'static str,
}

/// Where a pass is counted.
const RESULTS: [&str; 4] = ["success", "error", "requeue", "requeue_after"];

/// Upper bounds in seconds, as controller-runtime's.
const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25,
    1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0,
    50.0, 60.0,
];

const CONTROLLER: (&str, &str) = ("controller", "sandbox");

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Mutex::default(),
            passes: AtomicU64::default(),
            retries: AtomicU64::default(),
            active: AtomicI64::default(),
            results: Default::default(),
            seconds: Histogram::new(SECONDS),
        }
    }
}

impl Metrics {
    /// Requests sent to the API server, without events.
    pub fn requests(&self) -> BTreeMap<Request, u64> {
        self.requests.lock().clone()
    }

    /// All requests together.
    pub fn total(&self) -> u64 {
        self.requests.lock().values().sum()
    }

    /// Looks at one Sandbox, with whatever had to be done.
    pub fn passes(&self) -> u64 {
        self.passes.load(Ordering::Relaxed)
    }

    /// Passes that ended with something to try again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn request(&self, verb: &'static str, resource: &'static str, result: &'static str) {
        *self.requests.lock().entry(Request { verb, resource, result }).or_default() += 1;
    }

    pub(crate) fn pass(&self) -> Pass<'_> {
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Pass { metrics: self, begun: Instant::now() }
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Pass ===

impl Pass<'_> {
    pub(crate) fn ended(self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Done => 0,
            Outcome::Retry | Outcome::RetryWithin(_) => 1,
            Outcome::After(_) => 3,
        };
        self.metrics.results[result].fetch_add(1, Ordering::Relaxed);
        self.metrics.seconds.observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.metrics.active.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Reconciles ===

impl Reconciles {
    pub(crate) fn of(metrics: &Arc<Metrics>, workers: usize) -> Self {
        Self { metrics: Arc::clone(metrics), workers }
    }
}

impl Collector for Reconciles {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let results = self.metrics.results.each_ref().map(|count| count.load(Ordering::Relaxed));
        let help = "Total number of reconciliations per controller.";
        let mut metric =
            encoder.encode_descriptor("controller_runtime_reconcile", help, None, MetricType::Counter)?;
        for (result, count) in RESULTS.iter().zip(results) {
            ConstCounter::new(count).encode(metric.encode_family(&[CONTROLLER, ("result", result)])?)?;
        }
        let help = "Total number of reconciliation errors per controller.";
        let mut metric = encoder.encode_descriptor(
            "controller_runtime_reconcile_errors",
            help,
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(results[1]).encode(metric.encode_family(&[CONTROLLER])?)?;
        let help = "Length of time per reconciliation per controller.";
        let name = "controller_runtime_reconcile_time_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        self.metrics.seconds.encode(metric.encode_family(&[CONTROLLER])?)?;
        let workers = i64::try_from(self.workers).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "controller_runtime_active_workers",
                "Number of currently used workers per controller.",
                self.metrics.active.load(Ordering::Relaxed),
            ),
            (
                "controller_runtime_max_concurrent_reconciles",
                "Maximum number of concurrent reconciles per controller.",
                workers,
            ),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric.encode_family(&[CONTROLLER])?)?;
        }
        Ok(())
    }
}
