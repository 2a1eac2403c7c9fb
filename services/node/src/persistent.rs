//! Removes the data of persistent volumes that are being deleted, where their reclaim policy says so.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kubekit::{Informer, Key, Queue, Reader, Text, informer, queue};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
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

/// What the name of a directory begins with whose volume was deleted under the policy Retain: out of reach of the sweep, and
/// there for a volume made by hand with this `volumeHandle`.
const RETAINED: &str = "retained-";

/// How long a failed removal is left alone.
const RETRY: Duration = Duration::from_secs(5);

/// What is kept of a volume.
struct Volume {
    /// The name of its directory.
    handle: Text,
    /// The reclaim policy says that the data outlives the object.
    retain: bool,
    finalizers: Box<[Text]>,
    deleting: bool,
    /// A claim still has it: its data is in use, whoever asked for its deletion.
    bound: bool,
}

/// Watches persistent volumes until shutdown.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let queue: Arc<Queue<Key>> = Arc::new(Queue::default());
    let keys = Arc::clone(&queue);
    let informer = Informer::new(shared.client.clone(), informer::Config::default(), Volume::of);
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
                Some(volume) if release(&shared, &key.name, &volume).await.is_err() => {
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
    let known: BTreeSet<String> =
        volumes.list().iter().map(|(_, volume)| volume.handle.to_string()).collect();
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
    fn of(volume: PersistentVolume) -> Self {
        let spec = volume.spec.unwrap_or_default();
        Self {
            handle: spec.csi.map(|csi| csi.volume_handle).unwrap_or_default().into(),
            retain: spec.persistent_volume_reclaim_policy.as_deref() != Some("Delete"),
            finalizers: volume.metadata.finalizers.into_iter().flatten().map(Text::from).collect(),
            deleting: volume.metadata.deletion_timestamp.is_some(),
            bound: volume.status.and_then(|status| status.phase).as_deref() == Some("Bound"),
        }
    }

    fn is_ours_to_remove(&self) -> bool {
        self.deleting && !self.bound && self.finalizers.iter().any(|name| name == FINALIZER)
    }
}

/// Deals with the data, then lets the object go.
async fn release(shared: &Shared, name: &str, volume: &Volume) -> Result<(), ()> {
    if is_plain(&volume.handle) {
        let (dir, trash) = (shared.paths.persistent_volumes(), shared.trash.clone());
        let (handle, retain) = (volume.handle.clone(), volume.retain);
        let done = tokio::task::spawn_blocking(move || reclaim(&dir, &handle, retain, &trash)).await;
        if let Ok(Err(error)) | Err(error) = done.map_err(std::io::Error::other) {
            tracing::warn!(volume = name, %error, "data of a volume could not be reclaimed");
            return Err(());
        }
    }
    let_go(shared, name, volume).await
}

/// Blocking.
fn reclaim(dir: &Path, handle: &str, retain: bool, trash: &Trash) -> io::Result<()> {
    let data = dir.join(handle);
    if !retain {
        return trash.discard(&data);
    }
    if !handle.starts_with(PROVISIONED) {
        return Ok(());
    }
    let kept = dir.join(format!("{RETAINED}{handle}"));
    match renameat_with(CWD, &data, CWD, &kept, RenameFlags::NOREPLACE) {
        Ok(()) => tracing::info!(kept = %kept.display(), "the data of a retained volume stays"),
        // Moved before a crash, or never written to.
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn let_go(shared: &Shared, name: &str, volume: &Volume) -> Result<(), ()> {
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
mod tests;
