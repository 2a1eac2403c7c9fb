//! The controllers of agent-sandbox, for standalone and for clusters alike: they hold a `kube::Client` and know
//! neither who serves it nor who runs Pods.
//!
//! ```text
//!  informers -> queue of names -> worker: observe -> lifecycle::sandbox::plan -> execute, until nothing is to do
//! ```
//!
//! **Invariants.** No policy here: what to do is decided by [`lifecycle`], this crate only carries it out. Workers start
//! when every cache is complete. The server's answer to each write is in the cache before the next decision.

mod metrics;
mod sandboxes;

pub use metrics::Metrics;

use kube::Client;
use kubekit::Board;
use std::sync::Arc;
use telemetry::{Check, Clock, SystemClock};
use tokio_util::sync::CancellationToken;

/// How to run the controllers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sandboxes worked on at the same time.
    pub workers: usize,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Only this namespace; unset is all of them.
    pub namespace: Option<String>,
    /// Name of this instance in events, for example the host's.
    pub instance: String,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where their queues are shown. Default: nobody looks.
    pub board: Board,
    /// Where they are counted. Default: nobody looks.
    pub metrics: telemetry::Metrics,
}

/// The controllers, ready to run.
pub struct Controller {
    sandboxes: sandboxes::Sandboxes,
    metrics: Arc<Metrics>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 100,
            cluster_domain: "cluster.local".to_owned(),
            namespace: None,
            instance: "agent-sandbox".to_owned(),
            clock: Arc::new(SystemClock),
            board: Board::default(),
            metrics: telemetry::Metrics::default(),
        }
    }
}

// === impl Controller ===

impl Controller {
    /// Controllers that act through `client`. Nothing is asked of it yet.
    pub fn build(config: Config, client: Client) -> Self {
        let metrics = Arc::new(Metrics::default());
        Self { sandboxes: sandboxes::Sandboxes::build(config, client, Arc::clone(&metrics)), metrics }
    }

    /// What they did so far.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// What tells whether they work, once they run.
    pub fn checks(&self) -> Vec<Check> {
        self.sandboxes.checks()
    }

    /// Runs until shutdown; every worker finishes what it is at.
    pub async fn run(self, shutdown: CancellationToken) {
        self.sandboxes.run(shutdown).await;
    }
}
