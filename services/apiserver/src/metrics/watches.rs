//! The events that watches have sent.

use std::{fmt::Error, sync::Arc};

use kinds::{Kind, Text};
use telemetry::metrics::{
    Collector, ConstCounter, DescriptorEncoder, EncodeMetric as _, Histogram, MetricType,
};

use super::{requests::LIMIT, table::Table};

/// Upper bounds in bytes.
const BYTES: &[f64] = &[1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// Counts of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Watches(Table<Sent>);

/// What was sent of one kind.
#[derive(Debug)]
pub(crate) struct Sent {
    group: Text,
    version: Text,
    resource: Text,
    sizes: Histogram,
}

// === impl Watches ===

impl Watches {
    /// The counts of a kind; none once there are too many kinds.
    pub(crate) fn of(&self, kind: &Kind) -> Option<Arc<Sent>> {
        let names = |sent: &Sent| {
            [&sent.group, &sent.version, &sent.resource] == [&kind.group, &kind.version, &kind.plural]
        };
        let make = || Sent {
            group: kind.group.clone(),
            version: kind.version.clone(),
            resource: kind.plural.clone(),
            sizes: Histogram::new(BYTES),
        };
        self.0.row((&kind.group, &kind.version, &kind.plural), LIMIT, names, make)
    }
}

impl Collector for Watches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.all();
        let help = "Number of events sent in watch clients.";
        let mut metric =
            encoder.encode_descriptor("apiserver_watch_events", help, None, MetricType::Counter)?;
        for sent in &all {
            ConstCounter::new(sent.sizes.count()).encode(metric.encode_family(&sent.labels())?)?;
        }
        let help = "Watch event size distribution in bytes.";
        let mut metric =
            encoder.encode_descriptor("apiserver_watch_events_sizes", help, None, MetricType::Histogram)?;
        for sent in &all {
            sent.sizes.encode(metric.encode_family(&sent.labels())?)?;
        }
        Ok(())
    }
}

// === impl Sent ===

impl Sent {
    /// One event of so many bytes.
    pub(crate) fn event(&self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "no event has 2^53 bytes")]
        self.sizes.observe(bytes as f64);
    }

    fn labels(&self) -> [(&'static str, &str); 3] {
        [("group", &self.group), ("version", &self.version), ("resource", &self.resource)]
    }
}
