//! Makes what a backup holds, beneath one directory: every path is resolved by the kernel, which follows no link and leads
//! nowhere else.

use crate::{Error, Record, error::failed, record::bad, segments::Segments};
use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};
use tar::EntryType;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory that is being filled.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    root: OwnedFd,
    /// The last parent: a backup lists a directory's files together.
    recent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories and their times, set at the end because filling a directory changes its time.
    directories: Vec<(Vec<u8>, Timestamps)>,
}

// === impl Target ===

impl Target {
    /// Fills the directory `path`, which is there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let root = fs::open(path, DIRECTORY, Mode::empty());
        let root = root.map_err(|error| failed("open", path)(error.into()))?;
        Ok(Self { path: path.to_owned(), root, recent: None, directories: Vec::new() })
    }

    /// Makes one entry.
    ///
    /// # Errors
    /// Its path leads elsewhere or is taken, or the file system does not take it.
    pub fn put(&mut self, record: &Record, content: &mut dyn Read) -> Result<(), Error> {
        let place = self.path.join(OsStr::from_bytes(&record.path));
        self.make(record, content).map_err(failed("make", place))
    }

    /// Sets the times of directories, and waits until everything is on the disk.
    ///
    /// # Errors
    /// The file system does not take it.
    pub fn finish(mut self) -> Result<(), Error> {
        let fail = || failed("write to", &self.path);
        for (path, times) in self.directories.drain(..).rev() {
            let directory = beneath(self.root.as_fd(), &path).map_err(fail())?;
            fs::futimens(&directory, &times).map_err(|error| fail()(error.into()))?;
        }
        fs::syncfs(&self.root).map_err(|error| fail()(error.into()))
    }

    fn make(&mut self, record: &Record, content: &mut dyn Read) -> io::Result<()> {
        let parts: Vec<&[u8]> =
            record.path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        let odd = |part: &&[u8]| matches!(*part, b"." | b"..");
        let (name, parents) = parts.split_last().ok_or_else(|| bad("it has no name"))?;
        if parts.iter().any(odd) || record.path.starts_with(b"/") {
            return Err(bad("its path leads elsewhere"));
        }
        let key = parents.join(&b'/');
        if self.recent.as_ref().is_none_or(|(known, _)| *known != key) {
            self.recent = Some((key.clone(), beneath(self.root.as_fd(), &key)?));
        }
        let parent =
            self.recent.as_ref().map(|(_, parent)| parent.as_fd()).ok_or_else(|| bad("no parent"))?;
        let name = OsStr::from_bytes(name);
        match record.kind {
            EntryType::Directory => {
                fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
                dress(fs::openat(parent, name, DIRECTORY, Mode::empty())?.as_fd(), record)?;
                self.directories.push((parts.join(&b'/'), times(record)));
                Ok(())
            }
            EntryType::Regular => write_file(parent, name, record, content),
            EntryType::Link => {
                let (from, old) = split(&record.link);
                let from = beneath(self.root.as_fd(), from)?;
                Ok(fs::linkat(&from, OsStr::from_bytes(old), parent, name, AtFlags::empty())?)
            }
            EntryType::Symlink => {
                fs::symlinkat(OsStr::from_bytes(&record.link), parent, name)?;
                own(parent, name, record)
            }
            EntryType::Fifo => special(parent, name, record, FileType::Fifo),
            EntryType::Char if record.device == (0, 0) => {
                special(parent, name, record, FileType::CharacterDevice)
            }
            _ => Err(bad("its type is not known")),
        }
    }
}

/// Opens a directory that is there, following no link.
fn beneath(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(path) };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(fs::openat2(root, name, DIRECTORY, Mode::empty(), how)?)
}

/// The directory and the name of a path.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

fn write_file(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    record: &Record,
    content: &mut dyn Read,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
    match record.holes {
        Some(size) => Segments::restore(content, &file, size)?,
        None => io::copy(content, &mut file).map(drop)?,
    }
    dress(file.as_fd(), record)?;
    Ok(fs::futimens(&file, &times(record))?)
}

fn special(parent: BorrowedFd<'_>, name: &OsStr, record: &Record, kind: FileType) -> io::Result<()> {
    fs::mknodat(parent, name, kind, Mode::from_raw_mode(record.mode), 0)?;
    own(parent, name, record)
}

/// What is not opened gets its owner and its times by name.
fn own(parent: BorrowedFd<'_>, name: &OsStr, record: &Record) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(record.uid), Gid::from_raw(record.gid));
    fs::chownat(parent, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(fs::utimensat(parent, name, &times(record), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives an open file or directory its owner, mode and attributes, in the order in which none undoes another.
fn dress(file: BorrowedFd<'_>, record: &Record) -> io::Result<()> {
    fs::fchown(file, Some(Uid::from_raw(record.uid)), Some(Gid::from_raw(record.gid)))?;
    fs::fchmod(file, Mode::from_raw_mode(record.mode))?;
    for (name, value) in &record.xattrs {
        match fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            // A file system without such attributes; no program can rely on them there.
            Err(Errno::NOTSUP) if name.starts_with("user.") => {}
            set => set?,
        }
    }
    Ok(())
}

fn times(record: &Record) -> Timestamps {
    let time = Timespec { tv_sec: record.mtime, tv_nsec: record.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
