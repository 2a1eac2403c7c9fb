//! Removing what a Pod has on this machine.

use std::io;
use std::path::Path;

use crate::shared::Shared;
use crate::volumes::release_memory;

/// Removes cgroups, memory file systems and the Pod's directory, its record with it. Containers must have ended.
/// Kept writable layers and persistent volumes stay.
pub(crate) async fn pod(shared: &Shared, uid: &str) -> Result<(), String> {
    let (paths, runtimes, owned) = (shared.paths.clone(), shared.runtimes.clone(), uid.to_owned());
    let trash = shared.trash.clone();
    let removed = tokio::task::spawn_blocking(move || {
        runtimes.remove_pod(&owned);
        release_memory(&paths, &owned)?;
        trash.discard(&paths.pod(&owned))
    });
    let removed = removed.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    removed.map_err(|error| format!("directory of the pod: {error}"))
}

/// Removes a directory with everything in it; one that is not there is fine. Links are removed, not followed.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    match image::remove_tree(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
