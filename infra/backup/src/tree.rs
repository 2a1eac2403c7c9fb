//! A walk through a tree in which strangers work meanwhile, parents before what is in them.
//!
//! Every directory is opened by its path beneath the top with the kernel's promise that no link is followed, nothing above is
//! reached and no other file system entered. So a path has to fit into the kernel's limit; what lies deeper is left out and said.

use crate::{record::Record, segments::Segments};
use rustix::{
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};
use tar::EntryType;

/// The kernel takes paths of 4,095 bytes; this leaves room for what the path is put under when it is made again.
const DEEPEST: usize = 3_900;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Attributes that overlayfs notes for itself: they name files of this very disk.
const NOT_KEPT: [&str; 4] =
    ["trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid", "trusted.overlay.nlink"];
/// Attributes that belong to a file, wherever it is. Others are this host's own (labels of SELinux, for one).
const KEPT: [&str; 5] = [
    "user.",
    "trusted.overlay.",
    "security.capability",
    "system.posix_acl_access",
    "system.posix_acl_default",
];

/// A walk under way.
pub(crate) struct Walk {
    top: OwnedFd,
    /// Directories that are still to be entered, by their path.
    ahead: Vec<Vec<u8>>,
    /// The directory that is being listed.
    current: Option<Current>,
    begun: bool,
}

struct Current {
    path: Vec<u8>,
    directory: OwnedFd,
    names: Vec<CString>,
}

/// What a walk comes by.
pub(crate) enum Found {
    /// Something that goes into the backup.
    Entry {
        record: Record,
        /// Device and number of a file with several names.
        identity: Option<(u64, u64)>,
        file: Option<(File, Segments)>,
    },
    /// Something that cannot.
    LeftOut(&'static str),
}

// === impl Walk ===

impl Walk {
    pub(crate) fn begin(top: &Path) -> io::Result<Self> {
        let top = fs::open(top, DIRECTORY, Mode::empty())?;
        Ok(Self { top, ahead: Vec::new(), current: None, begun: false })
    }

    /// The next entry and its path below the top, which itself has none.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Vec<u8>, Found)>> {
        if !self.begun {
            self.begun = true;
            self.ahead.push(Vec::new());
            let stat = fs::fstat(&self.top)?;
            let entry = Found::of(self.top.as_fd(), &stat, EntryType::Directory)?;
            return Ok(Some((Vec::new(), entry)));
        }
        loop {
            let Some(name) = self.current.as_mut().and_then(|current| current.names.pop()) else {
                let Some(path) = self.ahead.pop() else { return Ok(None) };
                self.current = self.enter(path)?;
                continue;
            };
            if let Some(found) = self.look(&name)? {
                return Ok(Some(found));
            }
        }
    }

    /// Opens and lists a directory; none if it is gone.
    fn enter(&self, path: Vec<u8>) -> io::Result<Option<Current>> {
        let name = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(&path) };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let opened = present(fs::openat2(&self.top, name, DIRECTORY, Mode::empty(), how))?;
        let Some(directory) = opened else { return Ok(None) };
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        // Taken from the end; sorted, so that two backups of one tree are alike.
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(Some(Current { path, directory, names }))
    }

    fn look(&mut self, name: &CString) -> io::Result<Option<(Vec<u8>, Found)>> {
        let Some(current) = &self.current else { return Ok(None) };
        let mut path = current.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        if path.len() > DEEPEST {
            return Ok(Some((path, Found::LeftOut("its path is too long"))));
        }
        let stat = present(fs::statat(&current.directory, name, AtFlags::SYMLINK_NOFOLLOW))?;
        let Some(stat) = stat else { return Ok(None) };
        let found = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let opened = present(fs::openat(&current.directory, name, DIRECTORY, Mode::empty()))?;
                let Some(directory) = opened else { return Ok(None) };
                let stat = fs::fstat(&directory)?;
                self.ahead.push(path.clone());
                Found::of(directory.as_fd(), &stat, EntryType::Directory)?
            }
            FileType::RegularFile => match open_file(current.directory.as_fd(), name)? {
                Some(file) => file,
                None => return Ok(None),
            },
            FileType::Symlink => {
                // INVAL: it is no link any more.
                let link = match fs::readlinkat(&current.directory, name, Vec::new()) {
                    Err(Errno::INVAL) => None,
                    read => present(read)?,
                };
                let Some(link) = link else { return Ok(None) };
                Found::plain(&stat, EntryType::Symlink, link.into_bytes())
            }
            FileType::Fifo => Found::plain(&stat, EntryType::Fifo, Vec::new()),
            // In a kept layer: what hides a file of the image below.
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                Found::plain(&stat, EntryType::Char, Vec::new())
            }
            FileType::Socket => return Ok(None),
            _ => Found::LeftOut("a device"),
        };
        Ok(Some((path, found)))
    }
}

/// Something that was taken away, or replaced by something else, is as good as not there.
fn present<T>(result: Result<T, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::STALE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_file(directory: BorrowedFd<'_>, name: &CString) -> io::Result<Option<Found>> {
    // It may have become a pipe since: opening that must not wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Some(file) = present(fs::openat(directory, name, flags, Mode::empty()))? else { return Ok(None) };
    let stat = fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut found = Found::of(file.as_fd(), &stat, EntryType::Regular)?;
    if let Found::Entry { record, file: content, identity } = &mut found {
        let (size, blocks) =
            (u64::try_from(stat.st_size).unwrap_or(0), u64::try_from(stat.st_blocks).unwrap_or(0));
        *identity = (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
        let file = File::from(file);
        let segments = Segments::of(&file, size, blocks);
        record.holes = segments.as_ref().map(|_| size);
        *content = Some((file, segments.unwrap_or_else(|| Segments::whole(size))));
    }
    Ok(Some(found))
}

// === impl Found ===

impl Found {
    /// An open file or directory, with its attributes.
    fn of(file: BorrowedFd<'_>, stat: &Stat, kind: EntryType) -> io::Result<Self> {
        let mut found = Self::plain(stat, kind, Vec::new());
        if let Self::Entry { record, .. } = &mut found {
            record.xattrs = attributes(file)?;
        }
        Ok(found)
    }

    fn plain(stat: &Stat, kind: EntryType, link: Vec<u8>) -> Self {
        let record = Record {
            path: Vec::new(),
            link,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            device: (0, 0),
            xattrs: Vec::new(),
            holes: None,
        };
        Self::Entry { record, identity: None, file: None }
    }
}

fn attributes(file: BorrowedFd<'_>) -> io::Result<Vec<(String, Vec<u8>)>> {
    // The kernel's own limits of a list and of a value.
    let mut list = [MaybeUninit::<u8>::uninit(); 64 << 10];
    let (names, _) = match fs::flistxattr(file, &mut list) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut found = Vec::new();
    let names = names.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    for name in names.filter(|name| is_kept(name)) {
        let mut value = vec![0; 64 << 10];
        match fs::fgetxattr(file, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_owned(), value));
            }
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn is_kept(name: &str) -> bool {
    KEPT.iter().any(|kept| name.starts_with(kept)) && !NOT_KEPT.contains(&name)
}
