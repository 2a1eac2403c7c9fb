//! Writes a backup: everything into a file that has another name until it is whole.

use crate::{
    Error, Progress,
    error::failed,
    format,
    record::Record,
    tree::{self, Found},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tar::Builder;
use zstd::Encoder;

/// How hard zstd tries: its own default.
const LEVEL: i32 = 3;
const BLOCK: u64 = 512;

/// A backup that is being written. Dropped before [`Writer::finish`], it leaves nothing behind.
pub struct Writer {
    path: PathBuf,
    temporary: Temporary,
    tar: Builder<Encoder<'static, Hashing>>,
    progress: Arc<Progress>,
    left_out: LeftOut,
    /// Files with several names that were written: their device and number, and the name they were written under.
    names: HashMap<(u64, u64), Vec<u8>>,
}

/// What was not put into a backup, because it cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many entries.
    pub entries: u64,
    /// The path of the first, and why.
    pub first: Option<String>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Size of the file in bytes.
    pub size: u64,
    /// What is not in it.
    pub left_out: LeftOut,
}

/// Removes the file unless it got its name.
struct Temporary(Option<PathBuf>);

/// Counts and hashes what goes to the disk.
struct Hashing {
    file: BufWriter<File>,
    hasher: Sha256,
    written: u64,
}

// === impl Writer ===

impl Writer {
    /// Begins a backup that will be at `path`, readable by its owner only. An existing file is replaced only if `replace`.
    ///
    /// # Errors
    /// [`Error::Exists`], or the place cannot be written.
    pub fn create(path: &Path, replace: bool, progress: Arc<Progress>) -> Result<Self, Error> {
        if !replace && fs::symlink_metadata(path).is_ok() {
            return Err(Error::Exists(path.to_owned()));
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let file = file.map_err(failed("write", path))?;
        let temporary = Temporary(Some(temporary));
        let mut out =
            Hashing { file: BufWriter::with_capacity(1 << 20, file), hasher: Sha256::new(), written: 0 };
        let begun = out.write_all(&format::head()).and_then(|()| {
            let mut encoder = Encoder::new(out, LEVEL)?;
            encoder.include_checksum(true)?;
            Ok(Builder::new(encoder))
        });
        let tar = begun.map_err(failed("write", path))?;
        let (left_out, names) = (LeftOut::default(), HashMap::new());
        Ok(Self { path: path.to_owned(), temporary, tar, progress, left_out, names })
    }

    /// Adds a file from memory.
    ///
    /// # Errors
    /// The backup cannot be written.
    pub fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
        self.stream(name, mode, bytes.len() as u64, |out| out.write_all(bytes))
    }

    /// Adds a file of `size` bytes, which `content` writes.
    ///
    /// # Errors
    /// The backup cannot be written, or another number of bytes came.
    pub fn stream(
        &mut self,
        name: &str,
        mode: u32,
        size: u64,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let record = Record::file(name, mode);
        self.entry(&record, size, content).map_err(failed("write", &self.path))
    }

    /// Adds what lies in the directory `top`, and the directory itself, under `name`. What strangers take away meanwhile is
    /// not in it, and what they write meanwhile is in it in whatever state it was read.
    ///
    /// # Errors
    /// The directory cannot be read, or the backup cannot be written.
    pub fn tree(&mut self, name: &str, top: &Path) -> Result<(), Error> {
        let mut walk = tree::Walk::begin(top).map_err(failed("read", top))?;
        loop {
            let found = walk.next().map_err(failed("read", top))?;
            let Some((below, found)) = found else { return Ok(()) };
            let mut path = name.as_bytes().to_vec();
            if !below.is_empty() {
                path.push(b'/');
                path.extend_from_slice(&below);
            }
            self.found(path, found).map_err(failed("write", &self.path))?;
        }
    }

    fn found(&mut self, path: Vec<u8>, found: Found) -> io::Result<()> {
        let (mut record, identity, file) = match found {
            Found::LeftOut(why) => {
                self.left_out.entries += 1;
                let text = String::from_utf8_lossy(&path).chars().take(200).collect::<String>();
                self.left_out.first.get_or_insert_with(|| format!("{text}: {why}"));
                return Ok(());
            }
            Found::Entry { record, identity, file } => (record, identity, file),
        };
        record.path = path;
        if let Some(identity) = identity {
            if let Some(first) = self.names.get(&identity) {
                record =
                    Record { kind: tar::EntryType::Link, link: first.clone(), xattrs: Vec::new(), ..record };
                return self.entry(&record, 0, |_| Ok(()));
            }
            self.names.insert(identity, record.path.clone());
        }
        let Some((file, segments)) = file else { return self.entry(&record, 0, |_| Ok(())) };
        let map = record.holes.map(|_| segments.map()).unwrap_or_default();
        let size = map.len() as u64 + segments.len();
        self.entry(&record, size, |mut out| {
            out.write_all(&map)?;
            segments.copy(&file, &mut out)
        })
    }

    fn entry(
        &mut self,
        record: &Record,
        size: u64,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.progress.add(0)?;
        record.write(&mut self.tar, size)?;
        let mut out = Counted { out: self.tar.get_mut(), progress: &self.progress, written: 0 };
        content(&mut out)?;
        if out.written != size {
            return Err(io::Error::other(format!("{} bytes came of {size}", out.written)));
        }
        let filling = size.next_multiple_of(BLOCK) - size;
        io::copy(&mut io::Read::take(io::repeat(0), filling), self.tar.get_mut()).map(drop)
    }

    /// Ends the backup, waits until it is on the disk and gives it its name.
    ///
    /// # Errors
    /// It cannot be written, or a file of that name came meanwhile.
    pub fn finish(self, replace: bool) -> Result<Packed, Error> {
        let Self { path, mut temporary, tar, left_out, .. } = self;
        let fail = || failed("write", &path);
        let mut out = tar.into_inner().and_then(Encoder::finish).map_err(fail())?;
        let tail = format::tail(out.written, out.hasher.clone());
        out.write_all(&tail).and_then(|()| out.file.flush()).map_err(fail())?;
        let size = out.written;
        out.file.get_ref().sync_all().map_err(fail())?;
        temporary.name(&path, replace)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all()).map_err(fail())?;
        Ok(Packed { size, left_out })
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).finish_non_exhaustive()
    }
}

// === impl Temporary ===

impl Temporary {
    fn name(&mut self, path: &Path, replace: bool) -> Result<(), Error> {
        let Some(temporary) = self.0.take() else { return Ok(()) };
        let flags =
            if replace { rustix::fs::RenameFlags::empty() } else { rustix::fs::RenameFlags::NOREPLACE };
        let cwd = rustix::fs::CWD;
        let renamed = match rustix::fs::renameat_with(cwd, &temporary, cwd, path, flags) {
            // A file system that cannot rename so: it was looked at in the beginning.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(&temporary, path),
            renamed => renamed.map_err(io::Error::from),
        };
        renamed.map_err(|source| {
            let _ = fs::remove_file(&temporary);
            match source.kind() {
                io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
                _ => failed("write", path)(source),
            }
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

// === impl Hashing ===

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Tells the progress what content goes through.
struct Counted<'a, W> {
    out: &'a mut W,
    progress: &'a Progress,
    written: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        self.progress.add(written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
