//! Watches the disk that holds everything, and carries out what [`lifecycle::disk`] decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kubekit::Reader;
use lifecycle::disk::{Disk, Snapshot, Step, Usage, plan};
use lifecycle::pod::is_terminal;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::pods::Eviction;
use crate::shared::Shared;
use crate::volumes::usage;
use crate::work;

/// How often the disk is looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// How long an evicted Pod has to give back what it uses before another one goes.
const SETTLE: Duration = Duration::from_secs(10);

/// Whether space is short.
#[derive(Default)]
pub(crate) struct Pressure(watch::Sender<bool>);

/// What is remembered from one look to the next.
#[derive(Default)]
struct Watch {
    collected: bool,
    evicted_at: Option<Instant>,
}

// === impl Pressure ===

impl Pressure {
    pub(crate) fn is_pressed(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Looks until shutdown.
pub(crate) async fn run(
    shared: Arc<Shared>,
    pods: Reader<Pod>,
    evictions: mpsc::Sender<Eviction>,
    shutdown: CancellationToken,
) {
    let look = async {
        let mut watch = Watch::default();
        loop {
            watch.look(&shared, &pods, &evictions).await;
            tokio::time::sleep(PERIOD).await;
        }
    };
    shutdown.run_until_cancelled(look).await;
}

// === impl Watch ===

impl Watch {
    async fn look(&mut self, shared: &Arc<Shared>, pods: &Reader<Pod>, evictions: &mpsc::Sender<Eviction>) {
        let Some(disk) = disk(shared) else { return };
        let (pressed, collected) = (shared.disk.is_pressed(), self.collected);
        let threshold = shared.config.disk_reserve;
        let settled = self.evicted_at.is_none_or(|at| at.elapsed() >= SETTLE);
        let pods = if pressed && collected && settled { measure(shared, pods).await } else { Vec::new() };
        for step in plan(&Snapshot { disk, threshold, pressed, collected, pods: &pods }) {
            match step {
                Step::Report(pressed) => {
                    tracing::warn!(pressed, free = disk.free, "space on the disk");
                    shared.disk.0.send_replace(pressed);
                    self.collected = false;
                }
                Step::CollectImages => {
                    self.collected = true;
                    let count = shared.images.collect(&shared.registry.images()).await;
                    tracing::warn!(count, "removed images that no pod uses, for want of space");
                }
                Step::Evict { uid, message } => {
                    tracing::warn!(uid, message, "a pod has to go for want of space");
                    self.evicted_at = Some(Instant::now());
                    let _ = evictions.send((uid, message)).await;
                }
            }
        }
    }
}

fn disk(shared: &Shared) -> Option<Disk> {
    let stat = rustix::fs::statvfs(shared.paths.data()).ok()?;
    Some(Disk {
        total: stat.f_blocks * stat.f_frsize,
        free: stat.f_bavail * stat.f_frsize,
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
    })
}

/// What each Pod that runs has on the disk: its own directory, kept layers and persistent volumes.
async fn measure(shared: &Arc<Shared>, pods: &Reader<Pod>) -> Vec<Usage> {
    let mut wanted = Vec::new();
    for (key, pod) in pods.list() {
        let ended = pod.status.as_ref().is_some_and(is_terminal) || pod.metadata.deletion_timestamp.is_some();
        if ended {
            continue;
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let entry = shared.registry.get(&key.namespace, &key.name).filter(|entry| entry.uid == uid);
        let mut dirs = entry.map(|entry| entry.claims()).unwrap_or_default();
        dirs.push(shared.paths.pod(&uid));
        let spec = pod.spec.as_ref();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let kept = |name: &str| work::start::kept_layer(&shared.paths, &pod, name);
        dirs.extend(containers.iter().filter_map(|container| kept(&container.name)));
        let requested = containers.iter().filter_map(work::requested_disk).sum();
        let priority = spec.and_then(|spec| spec.priority).unwrap_or_default();
        wanted.push((Usage { uid, used: 0, requested, priority }, dirs));
    }
    let measured = tokio::task::spawn_blocking(move || {
        let sum = |dirs: Vec<PathBuf>| dirs.iter().filter_map(|dir| usage(dir).ok()).sum();
        wanted.into_iter().map(|(pod, dirs)| Usage { used: sum(dirs), ..pod }).collect()
    });
    measured.await.unwrap_or_default()
}
