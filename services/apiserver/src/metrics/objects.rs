//! How many objects the store holds of each kind, counted when somebody asks.

use std::{collections::BTreeSet, fmt::Error, sync::Arc};

use store::Store;
use telemetry::metrics::{Collector, ConstGauge, DescriptorEncoder, EncodeMetric as _, MetricType};

use crate::{registry::Registry, stored};

/// Looks at the store.
#[derive(Debug)]
pub(super) struct Objects {
    store: Store,
    registry: Arc<Registry>,
}

// === impl Objects ===

impl Objects {
    pub(super) fn new(store: &Store, registry: &Arc<Registry>) -> Self {
        Self { store: store.clone(), registry: Arc::clone(registry) }
    }

    /// Group, plural and number; the versions of a kind are the same objects.
    fn counted(&self) -> Vec<(String, String, u64)> {
        let all = self.registry.all();
        let mut seen = BTreeSet::new();
        let stored = all.iter().filter(|kind| kind.storage.is_some());
        stored
            .filter_map(|kind| {
                let prefix = stored::namespace_prefix(kind, "");
                if !seen.insert(prefix.clone()) {
                    return None;
                }
                let count = self.store.count(&prefix, None) as u64;
                Some((kind.group.to_string(), kind.plural.to_string(), count))
            })
            .collect()
    }
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let counted = self.counted();
        let help = "Number of stored objects at the time of last check split by kind.";
        let mut metric =
            encoder.encode_descriptor("apiserver_resource_objects", help, None, MetricType::Gauge)?;
        for (group, resource, count) in &counted {
            let labels = [("group", group.as_str()), ("resource", resource.as_str())];
            ConstGauge::new(*count).encode(metric.encode_family(&labels)?)?;
        }
        let help =
            "(Deprecated since 1.34) Number of stored objects at the time of last check split by kind.";
        let mut metric =
            encoder.encode_descriptor("apiserver_storage_objects", help, None, MetricType::Gauge)?;
        for (group, resource, count) in &counted {
            let name = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
            ConstGauge::new(*count).encode(metric.encode_family(&[("resource", name.as_str())])?)?;
        }
        Ok(())
    }
}
