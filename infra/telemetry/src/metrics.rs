//! What is counted, for Prometheus: one registry for each process, into which its parts put their metrics.
//!
//! Names and labels are those that Kubernetes' components use where they mean the same.
//!
//! **Invariants.** Counting takes atomics and no lock of the registry; what can be computed is computed when somebody asks
//! ([`Collector`]). Whoever registers a metric bounds the values of its labels.

mod histogram;
mod process;

use std::{fmt::Error, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::prometheus_text,
    registry::{Metric, Registry},
};

pub use self::histogram::Histogram;
pub use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All metrics of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Mutex<Registry>>);

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::default())))
    }
}

impl Metrics {
    /// Adds a metric. Of a counter's name `_total` is left out; of the help text the full stop.
    pub fn add(&self, name: &str, help: &str, metric: impl Metric) {
        self.0.lock().register(name, help, metric);
    }

    /// Adds what is computed when somebody asks.
    pub fn collect(&self, collector: impl Collector) {
        self.0.lock().register_collector(Box::new(collector));
    }

    /// Adds what the system knows of this process: time, memory, open files.
    pub fn add_process(&self) {
        self.collect(process::Process);
    }

    /// Everything in Prometheus' text format 0.0.4. Takes the time of all collectors.
    ///
    /// # Errors
    /// A collector's.
    pub fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0.lock())?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
