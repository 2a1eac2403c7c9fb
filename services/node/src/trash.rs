//! Directories that wait for their deletion.
//!
//! A sandbox can make a tree that takes minutes to delete. So what has to go is moved here, which takes no time, and is deleted
//! in the background. What a crash leaves here goes at the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::sweep;
use crate::work::cleanup;

/// How long what could not be deleted is left alone.
const RETRY: Duration = Duration::from_secs(60);

/// The place where they wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Trash {
    dir: PathBuf,
    next: Arc<AtomicU64>,
    news: Arc<Notify>,
}

// === impl Trash ===

impl Trash {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, next: Arc::default(), news: Arc::default() }
    }

    /// Takes a directory out of its place for good; one that is not there is fine. One on another file system is deleted where
    /// it is, which may take long. Blocking.
    ///
    /// # Errors
    /// What the file system says; the directory is then where it was.
    pub(crate) fn discard(&self, dir: &Path) -> io::Result<()> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            match renameat_with(CWD, dir, CWD, self.dir.join(number.to_string()), RenameFlags::NOREPLACE) {
                // Of an earlier life.
                Err(Errno::EXIST) => {}
                Ok(()) => {
                    self.news.notify_one();
                    return Ok(());
                }
                Err(_) => return cleanup::remove(dir),
            }
        }
    }

    /// Deletes what is here and what comes, until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let (dir, stop) = (self.dir.clone(), shutdown.clone());
            let emptied = tokio::task::spawn_blocking(move || empty(&dir, &stop));
            let _ = emptied.await;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.news.notified() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

fn empty(dir: &Path, stop: &CancellationToken) {
    for name in sweep::names(dir) {
        let removed = image::remove_tree_while(&dir.join(&name), &|| !stop.is_cancelled());
        if stop.is_cancelled() {
            return;
        }
        if let Err(error) = removed {
            tracing::warn!(name, %error, "a directory in the trash could not be deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_discarded_leaves_its_place_at_once_and_is_deleted_soon() {
        let place = tempfile::tempdir().unwrap();
        let (dir, pod) = (place.path().join("trash"), place.path().join("pod"));
        // Left by an earlier life, under the first name of this one.
        std::fs::create_dir_all(dir.join("0/deep/deeper")).unwrap();
        std::fs::create_dir_all(pod.join("layers")).unwrap();
        let trash = Trash::new(dir.clone());
        trash.discard(&pod).unwrap();
        assert!(!pod.exists());
        assert_eq!(sweep::names(&dir).len(), 2, "nothing is deleted by the caller");
        trash.discard(&pod).unwrap();
        let shutdown = CancellationToken::new();
        let mut run = tokio::task::JoinSet::new();
        run.spawn(trash.clone().run(shutdown.clone()));
        std::fs::create_dir(&pod).unwrap();
        trash.discard(&pod).unwrap();
        let gone = async {
            while !sweep::names(&dir).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
        shutdown.cancel();
        run.join_next().await.unwrap().unwrap();
    }

    #[test]
    fn without_a_trash_it_is_deleted_where_it_is() {
        let place = tempfile::tempdir().unwrap();
        let pod = place.path().join("pod");
        std::fs::create_dir_all(pod.join("layers")).unwrap();
        Trash::new(place.path().join("missing")).discard(&pod).unwrap();
        assert!(!pod.exists());
    }
}
