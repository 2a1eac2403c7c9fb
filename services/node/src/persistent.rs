//! Removes the data of persistent volumes that are being deleted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kubekit::{Informer, Key, Queue, Reader, informer, queue};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::paths::is_plain;
use crate::shared::Shared;
use crate::sweep;
use crate::trash::Trash;

/// The finalizer that holds a volume's object until its data is gone.
pub const FINALIZER: &str = "agent-sandbox.local/volume";

/// How the names of provisioned volumes begin.
const PROVISIONED: &str = "pvc-";

/// How long a failed removal is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// What is kept of a volume.
struct Volume {
    finalizers: Vec<String>,
    deleting: bool,
    /// A claim still has it: its data is in use, whoever asked for its deletion.
    bound: bool,
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
                bound: volume.status.and_then(|status| status.phase).as_deref() == Some("Bound"),
            }
        });
    let informer = informer.on_change(move |change| {
        if change.new.is_some_and(|volume| volume.is_ours_to_remove()) {
            keys.add(change.key.clone());
        }
    });
    let reader = informer.reader();
    let mut parts = JoinSet::new();
    // Read before the list: a volume has its object before its directory, so what is here now and owned is in the list.
    let found = sweep::names(&shared.paths.persistent_volumes());
    parts.spawn(informer.run(shutdown.clone()));
    parts.spawn(sweep_unowned(Arc::clone(&shared), found, reader.clone(), shutdown.clone()));
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

/// Clears away, after the first complete list, the data of provisioned volumes that have no object any more.
async fn sweep_unowned(
    shared: Arc<Shared>,
    names: Vec<String>,
    volumes: Reader<Volume>,
    shutdown: CancellationToken,
) {
    if shutdown.run_until_cancelled(volumes.synced()).await.is_none() {
        return;
    }
    let dir = shared.paths.persistent_volumes();
    let known: BTreeSet<String> = volumes.list().iter().map(|(key, _)| key.name.to_string()).collect();
    let trash = shared.trash.clone();
    let _ = tokio::task::spawn_blocking(move || discard_unowned(&dir, names, &known, &trash)).await;
}

fn discard_unowned(dir: &Path, names: Vec<String>, known: &BTreeSet<String>, trash: &Trash) {
    // Volumes that somebody made by hand are somebody's to remove by hand: their object may come back.
    let unowned = |name: &String| name.starts_with(PROVISIONED) && !known.contains(name);
    for name in names.into_iter().filter(unowned) {
        match trash.discard(&dir.join(&name)) {
            Ok(()) => tracing::warn!(volume = name, "removed the data of a volume that has no object"),
            Err(error) => tracing::warn!(volume = name, %error, "data of a volume could not be removed"),
        }
    }
}

// === impl Volume ===

impl Volume {
    fn is_ours_to_remove(&self) -> bool {
        self.deleting && !self.bound && self.finalizers.iter().any(|name| name == FINALIZER)
    }
}

async fn remove(shared: &Shared, name: &str, volume: &Volume) -> Result<(), ()> {
    if is_plain(name) {
        let (dir, trash) = (shared.paths.persistent_volumes().join(name), shared.trash.clone());
        let removed = tokio::task::spawn_blocking(move || trash.discard(&dir)).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_a_volume_that_a_claim_still_has_stays() {
        let volume = |bound| Volume { finalizers: vec![FINALIZER.to_owned()], deleting: true, bound };
        assert!(!volume(true).is_ours_to_remove());
        assert!(volume(false).is_ours_to_remove());
    }

    #[test]
    fn data_of_provisioned_volumes_without_an_object_goes_and_all_else_stays() {
        let place = tempfile::tempdir().unwrap();
        let (dir, trash) = (place.path().join("volumes"), place.path().join("trash"));
        for name in ["pvc-owned", "pvc-gone", "by-hand"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        std::fs::create_dir(&trash).unwrap();
        let known = BTreeSet::from(["pvc-owned".to_owned()]);
        discard_unowned(&dir, sweep::names(&dir), &known, &Trash::new(trash.clone()));
        let mut left = sweep::names(&dir);
        left.sort();
        assert_eq!(left, ["by-hand", "pvc-owned"]);
        assert_eq!(sweep::names(&trash).len(), 1);
    }
}
