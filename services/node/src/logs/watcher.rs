//! Tells when something in a directory was written, so that following needs no polling.

use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

/// Watches one directory.
pub(super) struct Watcher {
    /// The kernel's event queue; like a pipe it is readable when there is news.
    events: Receiver,
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(directory: &Path) -> std::io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, directory, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        Ok(Self { events: Receiver::from_owned_fd_unchecked(fd)? })
    }

    /// Waits for the next change, and takes all that happened until now for one.
    pub(super) async fn changed(&self) {
        if self.events.readable().await.is_err() {
            std::future::pending().await
        }
        let mut discarded = [0; 4096];
        while self.events.try_read(&mut discarded).is_ok_and(|size| size > 0) {}
    }
}
