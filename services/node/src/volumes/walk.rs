//! A walk through a tree in which a sandbox works meanwhile.
//!
//! **Invariants.** No link is followed and no path is used below the top, so nothing outside is reached and no tree is too deep.
//! Three descriptors, whatever the depth. The tree's file system is not left.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way down.
struct Level {
    /// Its name in the one above; the top has none.
    name: Option<CString>,
    inode: u64,
    /// Directories in it that were not looked at yet.
    left: Vec<CString>,
}

/// What is done with each entry: the directory it is in, its name there, and what it is.
pub(super) type Visit<'a> = dyn FnMut(BorrowedFd<'_>, &CStr, &Stat) + 'a;

struct Walk<'a> {
    top: OwnedFd,
    current: OwnedFd,
    levels: Vec<Level>,
    device: u64,
    visit: &'a mut Visit<'a>,
}

/// Visits what lies beneath a directory, which itself is not visited. Blocking.
///
/// # Errors
/// What the file system says of the directory itself; what vanishes meanwhile is not visited.
pub(super) fn walk<'a>(path: &Path, visit: &'a mut Visit<'a>) -> io::Result<()> {
    let top = openat(CWD, path, DIRECTORY, Mode::empty())?;
    let stat = fstat(&top)?;
    let current = top.try_clone()?;
    let mut walk = Walk { top, current, levels: Vec::new(), device: stat.st_dev, visit };
    let left = walk.list()?;
    walk.levels.push(Level { name: None, inode: stat.st_ino, left });
    walk.run();
    Ok(())
}

// === impl Walk ===

impl Walk<'_> {
    fn run(&mut self) {
        while let Some(level) = self.levels.last_mut() {
            match level.left.pop() {
                Some(name) => self.enter(name),
                None => self.leave(),
            }
        }
    }

    /// Visits what is in the current directory, and gives the directories in it.
    fn list(&mut self) -> io::Result<Vec<CString>> {
        let mut directories = Vec::new();
        for entry in Dir::read_from(&self.current)? {
            let Ok(entry) = entry else { break };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = statat(&self.current, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_dev != self.device {
                continue;
            }
            (self.visit)(self.current.as_fd(), name, &stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                directories.push(name.to_owned());
            }
        }
        Ok(directories)
    }

    fn enter(&mut self, name: CString) {
        let Some((directory, inode)) = self.open(self.current.as_fd(), &name) else { return };
        let above = std::mem::replace(&mut self.current, directory);
        match self.list() {
            Ok(left) => self.levels.push(Level { name: Some(name), inode, left }),
            Err(_) => self.current = above,
        }
    }

    fn leave(&mut self) {
        self.levels.pop();
        let Some(above) = self.levels.last() else { return };
        match self.open(self.current.as_fd(), c"..") {
            Some((directory, inode)) if inode == above.inode => self.current = directory,
            // Somebody moved the directory meanwhile: it is found again from the top.
            _ => self.find_again(),
        }
    }

    /// Goes from the top to the deepest level that is still where it was.
    fn find_again(&mut self) {
        let Ok(mut directory) = self.top.try_clone() else { return self.levels.clear() };
        let mut reached = 1;
        for level in self.levels.iter().skip(1) {
            let next = level.name.as_deref().and_then(|name| self.open(directory.as_fd(), name));
            match next.filter(|(_, inode)| *inode == level.inode) {
                Some((next, _)) => directory = next,
                None => break,
            }
            reached += 1;
        }
        self.levels.truncate(reached);
        self.current = directory;
    }

    fn open(&self, parent: BorrowedFd<'_>, name: &CStr) -> Option<(OwnedFd, u64)> {
        let directory = openat(parent, name, DIRECTORY, Mode::empty()).ok()?;
        let stat = fstat(&directory).ok()?;
        (stat.st_dev == self.device).then_some((directory, stat.st_ino))
    }
}
