//! What a tree takes on disk, measured while the sandbox works in it.
//!
//! **Invariants.** No link is followed and no path is used below the top, so nothing outside is counted and no tree is too deep to
//! be counted. Three descriptors, whatever the depth.

use std::collections::HashSet;
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

/// A walk through one tree.
struct Walk {
    top: OwnedFd,
    current: OwnedFd,
    levels: Vec<Level>,
    device: u64,
    /// Files with several names are counted once.
    linked: HashSet<u64>,
    blocks: u64,
}

/// Bytes in use beneath a directory, without following links and without leaving its file system. Blocking.
///
/// # Errors
/// What the file system says of the directory itself; what vanishes meanwhile counts nothing.
pub(crate) fn usage(path: &Path) -> io::Result<u64> {
    let top = openat(CWD, path, DIRECTORY, Mode::empty())?;
    let stat = fstat(&top)?;
    let current = top.try_clone()?;
    let (levels, linked) = (Vec::new(), HashSet::new());
    let mut walk = Walk { top, current, levels, device: stat.st_dev, linked, blocks: 0 };
    let left = walk.list()?;
    walk.levels.push(Level { name: None, inode: stat.st_ino, left });
    walk.run();
    Ok(walk.blocks.saturating_mul(512))
}

// === impl Walk ===

impl Walk {
    fn run(&mut self) {
        while let Some(level) = self.levels.last_mut() {
            match level.left.pop() {
                Some(name) => self.enter(name),
                None => self.leave(),
            }
        }
    }

    /// Counts what is in the current directory, and gives the directories in it.
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
            self.count(&stat);
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                directories.push(name.to_owned());
            }
        }
        Ok(directories)
    }

    fn count(&mut self, stat: &Stat) {
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if directory || stat.st_nlink < 2 || self.linked.insert(stat.st_ino) {
            self.blocks = self.blocks.saturating_add(u64::try_from(stat.st_blocks).unwrap_or_default());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_lies_deeper_than_any_path_is_counted() {
        let place = tempfile::tempdir().unwrap();
        let mut at = openat(CWD, place.path(), DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deep", Mode::from_raw_mode(0o755)).unwrap();
            at = openat(&at, "deep", DIRECTORY, Mode::empty()).unwrap();
        }
        let before = usage(place.path()).unwrap();
        let made = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&at, "hidden", made, Mode::from_raw_mode(0o600)).unwrap();
        rustix::io::write(&file, &vec![1; 1 << 20]).unwrap();
        rustix::fs::fsync(&file).unwrap();
        assert!(usage(place.path()).unwrap() >= before + (1 << 20));
        image::remove_tree(&place.path().join("deep")).unwrap();
    }

    #[test]
    fn links_lead_nowhere_and_a_file_with_two_names_counts_once() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("inside"), place.path().join("outside"));
        for dir in [&inside, &outside] {
            fs::create_dir(dir).unwrap();
            let file = fs::File::create(dir.join("file")).unwrap();
            std::io::Write::write_all(&mut &file, &vec![1; 1 << 20]).unwrap();
            file.sync_all().unwrap();
        }
        fs::hard_link(inside.join("file"), inside.join("again")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let used = usage(&inside).unwrap();
        assert!((1 << 20..3 << 19).contains(&used), "{used}");
        assert!(usage(&inside.join("link")).is_err(), "not even at the top");
    }
}
