//! Clears away what no Pod owns, once the first complete list of Pods is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::paths::Paths;
use crate::record::Record;
use crate::shared::Shared;
use crate::volumes::release_memory;

/// Every record on disk by uid.
pub(crate) fn records(paths: &Paths) -> BTreeMap<String, Record> {
    let uids = names(&paths.pods());
    uids.into_iter().filter_map(|uid| Some((uid.clone(), Record::read(&paths.record(&uid))?))).collect()
}

/// Takes away networks that no Pod has. Has to be over before the first new Pod gets one.
pub(crate) async fn network(shared: &Shared, keep: &BTreeSet<String>) {
    let keep = keep.iter().cloned().collect();
    match shared.network.sweep(&keep).await {
        Ok(gone) if gone.is_empty() => {}
        Ok(gone) => tracing::info!(count = gone.len(), "removed networks that no pod owns"),
        Err(error) => tracing::warn!(%error, "networks that no pod owns are not all removed"),
    }
}

/// Kills containers and removes directories that no Pod owns.
pub(crate) async fn leftovers(shared: Arc<Shared>, keep: BTreeSet<String>, ids: BTreeSet<String>) {
    let swept = shared.runtimes.sweep(&ids).await;
    if !swept.containers.is_empty() {
        tracing::info!(count = swept.containers.len(), "removed containers that no pod owns");
    }
    shared.registry.layers.set_swept();
    for failed in swept.failed {
        tracing::warn!(failed, "a container that no pod owns could not be removed");
    }
    let (paths, trash) = (shared.paths.clone(), shared.trash.clone());
    // Pods that came meanwhile have directories, too; they are in the registry before they make any.
    let known = move |uid: &str| keep.contains(uid) || shared.registry.has(uid);
    let removed = tokio::task::spawn_blocking(move || {
        let memory = names(&paths.run().join("volumes"));
        for uid in names(&paths.pods()).into_iter().chain(memory).filter(|uid| !known(uid)) {
            let result = release_memory(&paths, &uid).and_then(|()| trash.discard(&paths.pod(&uid)));
            if let Err(error) = result {
                tracing::warn!(uid, %error, "the directory of a pod that is gone could not be removed");
            }
        }
    });
    let _ = removed.await;
}

/// Names of the entries of a directory.
pub(crate) fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
