//! What one run of a container needs on disk. All of it is made and read in one turn off the async workers.

use std::io;
use std::path::{Path, PathBuf};

use podspec::Files;
use runtime::{RootFs, read_in_rootfs};

use super::files::{Text, texts};
use super::{Request, TERMINATION_LOG, layer};
use crate::shared::Shared;
use crate::sweep;
use crate::work::cleanup;

/// The places, and what was read there.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) rootfs: RootFs,
    pub(super) files: Files,
    pub(super) log: PathBuf,
    /// `/etc/passwd` and `/etc/group` as the container will see them.
    pub(super) passwd: String,
    pub(super) group: String,
}

/// Makes everything. The Pod's record is written first.
///
/// # Errors
/// What could not be made, in plain words.
pub(super) async fn make(shared: &Shared, request: &Request) -> Result<Place, String> {
    let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
    let (paths, name, run) = (&shared.paths, &request.name, request.run);
    let dir = paths.container(uid, name, run);
    let layer = layer(paths, &request.pod, name, run);
    let place = Place {
        rootfs: RootFs {
            lower: request.image.layers.clone(),
            upper: layer.join("upper"),
            work: layer.join("work"),
        },
        files: Files {
            resolv_conf: Some(paths.pod(uid).join("resolv.conf")),
            hosts: Some(paths.pod(uid).join("hosts")),
            hostname: Some(paths.pod(uid).join("hostname")),
            termination_log: Some(dir.join(TERMINATION_LOG)),
        },
        log: paths.log(uid, name, request.restarts),
        dir,
        passwd: String::new(),
        group: String::new(),
    };
    let texts = texts(shared, request);
    let old = (run > 1).then(|| (paths.container(uid, name, run - 1), paths.layer(uid, name, run - 1)));
    let stale = request.restarts.checked_sub(2).map(|newest| (paths.logs(uid, name), newest));
    let (record, pod_dir) = (request.record.clone(), paths.pod(uid));
    let work = move || {
        record.write().map_err(|error| format!("cannot write the record of the pod: {error}"))?;
        prepare(&place, &pod_dir, &texts?, old, stale)
            .map_err(|error| format!("directories of the container: {error}"))?;
        let read = |path: &str| {
            let bytes = read_in_rootfs(&place.rootfs, path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Ok(Place { passwd: read("/etc/passwd"), group: read("/etc/group"), ..place })
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn prepare(
    place: &Place,
    pod_dir: &Path,
    texts: &[Text],
    old: Option<(PathBuf, PathBuf)>,
    stale_logs: Option<(PathBuf, u32)>,
) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = &place.dir;
    cleanup::remove(dir)?;
    if let Some((records, layer)) = old {
        cleanup::remove(&records)?;
        cleanup::remove(&layer)?;
    }
    if let Some((logs, newest)) = stale_logs {
        remove_logs(&logs, newest);
    }
    std::fs::create_dir_all(dir)?;
    std::fs::create_dir_all(place.log.parent().unwrap_or(dir))?;
    let last_words = dir.join(TERMINATION_LOG);
    std::fs::write(&last_words, b"")?;
    std::fs::set_permissions(&last_words, std::fs::Permissions::from_mode(0o666))?;
    for (name, text) in texts {
        std::fs::write(pod_dir.join(name), text)?;
    }
    Ok(())
}

/// Removes the logs of earlier runs up to this one, rotated files with them: `<run>.log`, `<run>.log.1` and so on.
fn remove_logs(dir: &Path, newest: u32) {
    for name in sweep::names(dir) {
        let run = name.split_once(".log").and_then(|(run, _)| run.parse::<u32>().ok());
        if run.is_some_and(|run| run <= newest) {
            let _ = std::fs::remove_file(dir.join(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kubelet keeps the logs of the present run and of the one before.
    #[test]
    fn rotated_logs_of_earlier_runs_go_with_them() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["0.log", "0.log.1", "1.log", "1.log.2", "10.log", "2.log", "2.log.1", "note"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        remove_logs(dir.path(), 1);
        let mut left = sweep::names(dir.path());
        left.sort();
        assert_eq!(left, ["10.log", "2.log", "2.log.1", "note"]);
    }
}
