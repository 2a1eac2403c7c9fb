//! Deletes directory trees that strangers made.
//!
//! **Invariants.** Two descriptors and no recursion, however deep the tree is: a sandbox can nest directories deeper than any
//! path is long, and the standard library opens and calls itself once for each. Links are removed, not followed. What is
//! mounted inside a tree is not entered.

use rustix::{
    fs::{self as fs, AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};
use std::{
    ffi::{CStr, OsStr},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How often one directory is read again because somebody still fills it.
const MOST_PASSES: usize = 1000;

/// Removes a file, or a directory with everything in it. Blocking.
///
/// # Errors
/// `NotFound` if there is nothing; else what the file system says of the first thing that cannot be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    remove_tree_while(path, &|| true)
}

/// The same, until `go_on` says no; it is asked before each directory.
///
/// # Errors
/// As [`remove_tree`]; `Interrupted` if it was told to end.
pub fn remove_tree_while(path: &Path, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    remove_at(CWD, path.as_os_str(), go_on)
}

/// The same for a name in an open directory.
pub(crate) fn remove_at(parent: BorrowedFd<'_>, name: &OsStr, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    match fs::openat(parent, name, DIRECTORY, Mode::empty()) {
        Ok(root) => empty(&root, go_on)?,
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(fs::unlinkat(parent, name, AtFlags::empty())?),
        Err(error) => return Err(error.into()),
    }
    Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Empties a directory: what lies in its directories is moved up into it until nothing has depth.
fn empty(root: &OwnedFd, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    let mut next = 0;
    loop {
        let mut found = false;
        let mut entries = Dir::read_from(root)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            if is_dots(entry.file_name()) {
                continue;
            }
            found = true;
            if !is_directory(root.as_fd(), entry.file_name(), entry.file_type())? {
                unlink(root.as_fd(), entry.file_name())?;
            } else if go_on() {
                flatten(root, entry.file_name(), &mut next)?;
            } else {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        if !found {
            return Ok(());
        }
    }
}

/// Removes a directory of `root`: its files go, its directories become `root`'s.
fn flatten(root: &OwnedFd, name: &CStr, next: &mut u64) -> io::Result<()> {
    let directory = match fs::openat(root, name, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    for _ in 0..MOST_PASSES {
        let mut entries = Dir::read_from(&directory)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            if is_dots(entry.file_name()) {
                continue;
            }
            if is_directory(directory.as_fd(), entry.file_name(), entry.file_type())? {
                lift(&directory, entry.file_name(), root, next)?;
            } else {
                unlink(directory.as_fd(), entry.file_name())?;
            }
        }
        match fs::unlinkat(root, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(Errno::NOENT) => return Ok(()),
            removed => return Ok(removed?),
        }
    }
    Err(io::Error::other("somebody fills a directory faster than it can be emptied"))
}

/// Removes an empty directory, or moves it up under a name that is free.
fn lift(from: &OwnedFd, name: &CStr, root: &OwnedFd, next: &mut u64) -> io::Result<()> {
    match fs::unlinkat(from, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(Errno::NOENT) => return Ok(()),
        removed => return Ok(removed?),
    }
    loop {
        *next += 1;
        match fs::renameat_with(from, name, root, format!(".lifted-{next}"), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            moved => return Ok(moved?),
        }
    }
}

fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &CStr, told: FileType) -> io::Result<bool> {
    if told != FileType::Unknown {
        return Ok(told == FileType::Directory);
    }
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        stat => Ok(FileType::from_raw_mode(stat?.st_mode) == FileType::Directory),
    }
}

fn is_dots(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of directories, made as a program makes them: by stepping in, never by a path.
    fn chain(top: &Path, depth: usize) {
        std::fs::create_dir(top).unwrap();
        let mut at = fs::open(top, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..depth {
            fs::mkdirat(&at, "directory", Mode::from_raw_mode(0o755)).unwrap();
            at = fs::openat(&at, "directory", DIRECTORY, Mode::empty()).unwrap();
            let made = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            fs::openat(&at, "file", made, Mode::from_raw_mode(0o600)).unwrap();
        }
    }

    #[test]
    fn a_tree_deeper_than_any_path_and_any_stack_goes() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        chain(&top, 5000);
        // A thread's stack of 64 KiB, and no more descriptors than a program has open anyway.
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        let gone = top.clone();
        thread.spawn(move || remove_tree(&gone)).unwrap().join().unwrap().unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn links_are_removed_and_not_followed_and_names_that_clash_are_no_trouble() {
        let place = tempfile::tempdir().unwrap();
        let (kept, top) = (place.path().join("kept"), place.path().join("top"));
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        std::fs::create_dir_all(top.join("a/.lifted-1/b")).unwrap();
        std::fs::create_dir_all(top.join(".lifted-1/.lifted-2")).unwrap();
        std::fs::write(top.join(".lifted-2"), "x").unwrap();
        std::os::unix::fs::symlink(&kept, top.join("a/link")).unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        remove_tree(&top).unwrap();
        remove_tree(&link).unwrap();
        assert!(!top.exists() && !link.is_symlink() && kept.join("file").exists());
        assert_eq!(remove_tree(&top).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn it_ends_between_two_directories_when_told() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        chain(&top, 20);
        let left = std::cell::Cell::new(5);
        let go_on = || left.replace(left.get() - 1) > 0;
        let ended = remove_tree_while(&top, &go_on).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::Interrupted);
        remove_tree(&top).unwrap();
    }
}
