//! Makes files beneath one directory. Every path is resolved by the kernel with that directory as its root, so no link
//! and no `..` leads out of it.

use crate::{
    archive::{Record, bad},
    removal,
};
use rustix::{
    fs::{
        self as fs, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    },
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

/// Overlayfs hides what lies below a directory that carries this.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// A directory that is being filled.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The last parent used: archives list a directory's files together.
    recent: Option<(Vec<u8>, OwnedFd)>,
}

/// A place for an entry: an open directory and a name in it.
pub(crate) struct Place<'a> {
    parent: BorrowedFd<'a>,
    name: &'a OsStr,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

// === impl Tree ===

impl Tree {
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { root: fs::open(root, DIRECTORY, Mode::empty())?, recent: None })
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The place of a path, given as its components. Missing parents are made.
    pub(crate) fn place<'a>(&'a mut self, components: &[&'a [u8]]) -> io::Result<Place<'a>> {
        let (name, parents) = components.split_last().ok_or_else(|| bad("an entry has no name"))?;
        let key = parents.join(&b'/');
        if self.recent.as_ref().is_none_or(|(known, _)| *known != key) {
            let directory = self.directory(parents)?;
            self.recent = Some((key, directory));
        }
        let parent =
            self.recent.as_ref().map(|(_, directory)| directory.as_fd()).ok_or_else(|| bad("no parent"))?;
        Ok(Place { parent, name: OsStr::from_bytes(name) })
    }

    /// Another view of the same directory.
    pub(crate) fn view(&self) -> io::Result<Self> {
        Ok(Self { root: self.root.try_clone()?, recent: None })
    }

    /// Opens a directory that is there, following no link.
    pub(crate) fn existing_directory(&self, components: &[&[u8]]) -> io::Result<OwnedFd> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(fs::openat2(
            &self.root,
            OsStr::from_bytes(&components.join(&b'/')),
            DIRECTORY,
            Mode::empty(),
            how,
        )?)
    }

    /// Forgets the last parent, which may have been replaced.
    pub(crate) fn forget(&mut self) {
        self.recent = None;
    }

    /// Opens a directory, making it and its parents where they are missing.
    pub(crate) fn directory(&self, components: &[&[u8]]) -> io::Result<OwnedFd> {
        if components.is_empty() {
            return Ok(fs::openat(&self.root, ".", DIRECTORY, Mode::empty())?);
        }
        match self.open(&components.join(&b'/'), OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return Ok(other?),
        }
        let (name, parents) = components.split_last().ok_or_else(|| bad("an entry has no name"))?;
        let parent = self.directory(parents)?;
        match fs::mkdirat(&parent, OsStr::from_bytes(name), Mode::from_raw_mode(0o755)) {
            // A dangling link, which would otherwise be followed for ever.
            Err(Errno::EXIST) => return Err(bad("a directory of its path is a link that leads nowhere")),
            other => other?,
        }
        Ok(fs::openat(&parent, OsStr::from_bytes(name), DIRECTORY, Mode::empty())?)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | flags;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        fs::openat2(&self.root, OsStr::from_bytes(path), flags, Mode::empty(), how)
    }

    /// Links `place` to the file at `target`, which must be in this tree already.
    pub(crate) fn hard_link(&self, target: &[&[u8]], place: &Place<'_>) -> io::Result<()> {
        let (name, parents) = target.split_last().ok_or_else(|| bad("a hard link leads to the root"))?;
        let missing = |_| bad("a hard link leads to a file that is not in its layer");
        let parent = match parents {
            [] => fs::openat(&self.root, ".", DIRECTORY, Mode::empty()),
            _ => self.open(&parents.join(&b'/'), OFlags::DIRECTORY),
        };
        let parent = parent.map_err(missing)?;
        fs::linkat(&parent, OsStr::from_bytes(name), place.parent, place.name, AtFlags::empty())
            .map_err(missing)
    }
}

// === impl Place ===

impl Place<'_> {
    /// What is there now.
    pub(crate) fn existing(&self) -> io::Result<Option<Existing>> {
        match fs::statat(self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Existing::Directory,
                // No other device is ever made here.
                FileType::CharacterDevice => Existing::Whiteout,
                _ => Existing::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn remove(&self, existing: Existing) -> io::Result<()> {
        if existing == Existing::Directory {
            return removal::remove_at(self.parent, self.name, &|| true);
        }
        Ok(fs::unlinkat(self.parent, self.name, AtFlags::empty())?)
    }

    /// Makes the directory if it is not there, and gives it.
    pub(crate) fn make_directory(&self) -> io::Result<OwnedFd> {
        match fs::mkdirat(self.parent, self.name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(fs::openat(self.parent, self.name, DIRECTORY, Mode::empty())?)
    }

    pub(crate) fn write_file(&self, record: &Record, content: &mut dyn Read) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(self.parent, self.name, flags, Mode::from_raw_mode(0o600))?);
        io::copy(content, &mut file)?;
        file.flush()?;
        dress(file.as_fd(), record)?;
        Ok(fs::futimens(&file, &times(record))?)
    }

    pub(crate) fn make_symlink(&self, record: &Record) -> io::Result<()> {
        fs::symlinkat(OsStr::from_bytes(&record.link), self.parent, self.name)?;
        self.own(record)?;
        Ok(fs::utimensat(self.parent, self.name, &times(record), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(crate) fn make_fifo(&self, record: &Record) -> io::Result<()> {
        let mode = Mode::from_raw_mode(record.mode & 0o7777);
        fs::mknodat(self.parent, self.name, FileType::Fifo, mode, 0)?;
        self.own(record)
    }

    /// Makes what overlayfs takes for "deleted": a character device 0/0.
    pub(crate) fn make_whiteout(&self) -> io::Result<()> {
        Ok(fs::mknodat(self.parent, self.name, FileType::CharacterDevice, Mode::empty(), fs::makedev(0, 0))?)
    }

    fn own(&self, record: &Record) -> io::Result<()> {
        let (user, group) = (Uid::from_raw(record.uid), Gid::from_raw(record.gid));
        Ok(fs::chownat(self.parent, self.name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Directory,
    Whiteout,
    Other,
}

/// Gives an open file or directory its owner, mode and attributes, in the order in which none undoes another.
pub(crate) fn dress(file: BorrowedFd<'_>, record: &Record) -> io::Result<()> {
    fs::fchown(file, Some(Uid::from_raw(record.uid)), Some(Gid::from_raw(record.gid)))?;
    fs::fchmod(file, Mode::from_raw_mode(record.mode & 0o7777))?;
    for (name, value) in &record.xattrs {
        match fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            // A file system without user attributes; no program can rely on them.
            Err(Errno::NOTSUP) if name.starts_with("user.") => {}
            other => other?,
        }
    }
    Ok(())
}

pub(crate) fn make_opaque(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())?)
}

pub(crate) fn set_times(directory: BorrowedFd<'_>, mtime: i64) -> io::Result<()> {
    Ok(fs::futimens(directory, &at(mtime))?)
}

fn times(record: &Record) -> Timestamps {
    at(record.mtime)
}

fn at(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
