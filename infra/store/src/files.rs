//! Names, locking and making of the store's files.

use crate::{
    OpenError,
    disk::{self, File},
    frame::{FILE_HEADER, FORMAT, FileHeader, Kind},
};
use std::{
    collections::hash_map::RandomState,
    fs::{self, OpenOptions, TryLockError},
    hash::{BuildHasher, Hasher},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

const LOCK: &str = "lock";
/// A process that is just being started holds a copy of every lock of its parent until it executes its program, so one
/// refusal proves nothing.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

const REMOVE_STEP: u64 = 16 << 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// The log that is being written.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: File,
    pub(crate) generation: u64,
    pub(crate) salt: u64,
    /// Where the next frame goes.
    pub(crate) end: u64,
    /// Up to where the file is long; from `end` on it holds zeros.
    pub(crate) zeroed: u64,
}

// === impl Log ===

impl Log {
    /// Writes zeros up to `until`, durably. Without room for them nothing is lost but speed; only a failed sync, which
    /// could concern anything in the file, is an error.
    pub(crate) fn extend_zeroed(&mut self, until: u64) -> io::Result<()> {
        let from = self.zeroed.max(self.end);
        let missing = usize::try_from(until.saturating_sub(from)).unwrap_or(0);
        if self.file.write_all_at(&vec![0; missing], from).is_ok() {
            self.zeroed = until;
        }
        self.file.sync_data()
    }
}

/// Turns an I/O error into an [`OpenError`] that says what was tried on what.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}

/// Makes the directory, durably, and closes it to all but its owner: what is stored may be secret.
pub(crate) fn make_closed(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let made: Vec<&Path> = dir.ancestors().take_while(|path| !path.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // A power loss must not take the directory with all that is acknowledged. Its own name is synced also where it was found:
    // a start before may have been killed in between.
    for path in made.into_iter().chain([dir]) {
        disk::sync_dir(parent(path))?;
    }
    if fs::metadata(dir)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The directory that holds a path's name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Takes the directory for this process, until the file is dropped.
pub(crate) fn lock(dir: &Path) -> Result<fs::File, OpenError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed("write", &path))?;
    for patience in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if patience > 0 => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
    }
    Err(OpenError::Locked { dir: dir.into() })
}

pub(crate) fn log_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("log-{generation:016x}"))
}

pub(crate) fn snapshot_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("snapshot-{generation:016x}"))
}

/// The generations of the files called `<kind>-<generation>`, in order.
pub(crate) fn generations(dir: &Path, kind: &str) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir)? {
        let name = file?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(kind)?.strip_prefix('-'));
        found.extend(
            number
                .filter(|digits| digits.len() == 16)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok()),
        );
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes an empty log. The file appears whole or not at all, and durably.
pub(crate) fn create_log(dir: &Path, generation: u64) -> io::Result<Log> {
    let path = log_path(dir, generation);
    let temporary = path.with_extension("tmp");
    let header = new_header(Kind::Log, generation, 0);
    let file = File::create(&temporary)?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_all()?;
    disk::rename(&temporary, &path)?;
    disk::sync_dir(dir)?;
    Ok(Log { file, generation, salt: header.salt, end: FILE_HEADER as u64, zeroed: FILE_HEADER as u64 })
}

/// A header with a salt of its own.
pub(crate) fn new_header(kind: Kind, generation: u64, revision: u64) -> FileHeader {
    // The standard library's hasher keys are random; nothing here needs more than that a tenant cannot guess it.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(generation);
    FileHeader { format: FORMAT, kind, generation, revision, salt: hasher.finish() }
}

/// Removes what is older than the snapshot `generation`.
pub(crate) fn remove_before(dir: &Path, generation: u64) -> io::Result<()> {
    for old in generations(dir, "log")?.into_iter().filter(|old| *old < generation) {
        remove_in_steps(&log_path(dir, old))?;
    }
    for old in generations(dir, "snapshot")?.into_iter().filter(|old| *old < generation) {
        remove_in_steps(&snapshot_path(dir, old))?;
    }
    Ok(())
}

/// Removes a large file bit by bit: file systems free the space of a file within one transaction, and each sync of the log
/// would wait for it.
fn remove_in_steps(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let mut len = file.len()?;
    while len > REMOVE_STEP {
        len -= REMOVE_STEP;
        file.set_len(len)?;
        std::thread::sleep(REMOVE_PAUSE);
    }
    disk::remove(path)
}

/// Removes files that a crash left half-made. Their names end in `.tmp`; no reader looks at them.
pub(crate) fn remove_temporary(dir: &Path) -> io::Result<()> {
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            disk::remove(&path)?;
        }
    }
    Ok(())
}
