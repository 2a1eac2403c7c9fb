//! Removes the data of persistent volumes that are being deleted.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kubekit::{Informer, Key, Queue, informer, queue};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::paths::is_plain;
use crate::shared::Shared;
use crate::work::cleanup;

/// The finalizer that holds a volume's object until its data is gone.
pub const FINALIZER: &str = "agent-sandbox.local/volume";

/// How long a failed removal is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// What is kept of a volume: its finalizers, and whether it is being deleted.
struct Volume {
    finalizers: Vec<String>,
    deleting: bool,
}

/// Watches persistent volumes until shutdown.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let queue: Arc<Queue<Key>> = Arc::new(Queue::default());
    let keys = Arc::clone(&queue);
    let informer =
        Informer::new(shared.client.clone(), informer::Config::default(), |volume: PersistentVolume| {
            Volume {
                finalizers: volume.metadata.finalizers.unwrap_or_default(),
                deleting: volume.metadata.deletion_timestamp.is_some(),
            }
        });
    let informer = informer.on_change(move |change| {
        if change.new.is_some_and(|volume| volume.is_ours_to_remove()) {
            keys.add(change.key.clone());
        }
    });
    let reader = informer.reader();
    let mut parts = JoinSet::new();
    parts.spawn(informer.run(shutdown.clone()));
    let work = queue.work(1, shutdown, move |key: Key| {
        let (shared, volume) = (Arc::clone(&shared), reader.get(&key));
        async move {
            match volume.filter(|volume| volume.is_ours_to_remove()) {
                Some(volume) if remove(&shared, &key.name, &volume).await.is_err() => {
                    queue::Outcome::After(RETRY)
                }
                _ => queue::Outcome::Done,
            }
        }
    });
    work.await;
    while parts.join_next().await.is_some() {}
}

// === impl Volume ===

impl Volume {
    fn is_ours_to_remove(&self) -> bool {
        self.deleting && self.finalizers.iter().any(|name| name == FINALIZER)
    }
}

async fn remove(shared: &Shared, name: &str, volume: &Volume) -> Result<(), ()> {
    if is_plain(name) {
        let dir = shared.paths.persistent_volumes().join(name);
        let removed = tokio::task::spawn_blocking(move || cleanup::remove(&dir)).await;
        if let Ok(Err(error)) | Err(error) = removed.map_err(std::io::Error::other) {
            tracing::warn!(volume = name, %error, "data of a volume could not be removed");
            return Err(());
        }
    }
    let rest: Vec<_> = volume.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    let api: Api<PersistentVolume> = Api::all(shared.client.clone());
    let patch = Patch::Merge(json!({"metadata": {"finalizers": rest}}));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Err(error) if kubekit::Failure::of(&error) != kubekit::Failure::NotFound => {
            tracing::warn!(volume = name, %error, "finalizer not removed");
            Err(())
        }
        _ => Ok(()),
    }
}
