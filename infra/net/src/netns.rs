//! Network namespaces, pinned as files.
//!
//! **Invariant:** only a thread made for it ever enters another namespace, and it ends afterwards; no thread of the
//! runtime does.
use crate::error::{Context as _, Error};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;

/// Makes the directory of the pins, as a file system of its own.
///
/// A supervisor works in a mount namespace that is a copy of the host's; it drops all pins by dropping this one mount. Otherwise
/// every sandbox would hold a mount for every other one.
pub(crate) fn prepare_directory(dir: &Path) -> Result<(), Error> {
    let file = |source| Error::File { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(file)?;
    // Pins that stand in a plain directory (of an older version) stay reachable; the next boot finds it empty.
    let empty = std::fs::read_dir(dir).map_err(file)?.next().is_none();
    if !empty || is_mount(dir).map_err(file)? {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", dir, "tmpfs", flags, c"mode=0711,size=4m").map_err(|e| file(e.into()))
}

/// Removes what [`prepare_directory`] made. Not an error if nothing is there.
pub(crate) fn remove_directory(dir: &Path) -> Result<(), Error> {
    let file = |source| Error::File { path: dir.to_owned(), source };
    if dir.exists() && is_mount(dir).map_err(file)? {
        rustix::mount::unmount(dir, UnmountFlags::DETACH).map_err(|e| file(e.into()))?;
    }
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file(e)),
        _ => Ok(()),
    }
}

fn is_mount(dir: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let parent = dir.parent().unwrap_or(dir);
    Ok(dir.metadata()?.dev() != parent.metadata()?.dev())
}

/// Makes a namespace, runs `work` in it on a thread of its own and, when that succeeded, pins it at `path`.
///
/// `path` is pinned last: a pinned namespace is a finished one.
pub(crate) fn create<T: Send>(
    path: &Path,
    work: impl FnOnce(&File) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    on_own_thread(|| {
        // SAFETY: CLONE_NEWNET changes only what network the calling thread sees. The thread was made for this, shares
        // no descriptor table change with others and ends with this closure.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
            .during(|| "make a network namespace".to_owned())?;
        let this = File::open("/proc/thread-self/ns/net").during(|| "open the new namespace".to_owned())?;
        let done = work(&this)?;
        let file = |source| Error::File { path: path.to_owned(), source };
        File::create(path).map_err(file)?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", path).map_err(|e| file(e.into()))?;
        Ok(done)
    })
}

/// Runs `work` in the namespace pinned at `path`, on a thread of its own.
pub(crate) fn enter<T: Send>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    on_own_thread(|| {
        let file = File::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .during(|| format!("enter {}", path.display()))?;
        work()
    })
}

/// Whether a namespace is pinned at `path` (a crash may have left the bare file).
pub(crate) fn exists(path: &Path) -> bool {
    const NSFS_MAGIC: u64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|magic| magic == NSFS_MAGIC))
}

/// Unpins and removes. Not an error if nothing is there. The namespace goes when its last process does.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    while exists(path) {
        rustix::mount::unmount(path, UnmountFlags::DETACH)
            .during(|| format!("unmount {}", path.display()))?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { path: path.to_owned(), source: e })
        }
        _ => Ok(()),
    }
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let spawned = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work);
        let thread = spawned.during(|| "start a thread".to_owned())?;
        thread.join().unwrap_or_else(|_| Err(panicked()))
    })
}

fn panicked() -> Error {
    Error::Kernel { what: "namespace thread".to_owned(), source: io::Error::other("it panicked") }
}
