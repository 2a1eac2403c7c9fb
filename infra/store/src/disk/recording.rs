//! Notes what is done to the files of a directory, in the order in which it was done. Tests only.
//!
//! An operation is noted after it returned. Threads hand files to each other over channels, so the order of the notes is
//! one in which the operations on each file and on the directory did happen.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// One operation, on the file with a number. A file opened twice has two numbers; `Open` says which name it had.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Create(u64, PathBuf),
    Open(u64, PathBuf),
    Write(u64, u64, Vec<u8>),
    SetLen(u64, u64),
    Sync(u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// The names in the directory are durable.
    SyncDir,
    /// A test's own note: commits up to this revision may be on disk.
    Asked(u64),
    /// A test's own note: commits up to this revision were acknowledged.
    Acknowledged(u64),
}

/// What was noted so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Vec<Operation>>>);

/// An open file's place in the recording of its directory; none if nobody records.
#[derive(Debug)]
pub(crate) struct Handle(Option<(Recording, u64)>);

static RECORDINGS: LazyLock<Mutex<HashMap<PathBuf, Recording>>> = LazyLock::new(Mutex::default);
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Notes an operation on the names in `dir`.
pub(super) fn note(dir: Option<&Path>, operation: impl FnOnce() -> Operation) {
    if let Some(recording) = dir.and_then(Recording::of) {
        recording.push(operation());
    }
}

// === impl Recording ===

impl Recording {
    /// Records what is done in `dir` from now on.
    pub(crate) fn start(dir: &Path) -> Self {
        let recording = Self::default();
        RECORDINGS.lock().insert(dir.into(), recording.clone());
        recording
    }

    fn of(dir: &Path) -> Option<Self> {
        RECORDINGS.lock().get(dir).cloned()
    }

    pub(crate) fn push(&self, operation: Operation) {
        self.0.lock().push(operation);
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.0.lock().clone()
    }
}

// === impl Handle ===

impl Handle {
    pub(super) fn new(path: &Path, how: fn(u64, PathBuf) -> Operation) -> Self {
        Self(path.parent().and_then(Recording::of).map(|recording| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            recording.push(how(number, path.into()));
            (recording, number)
        }))
    }

    pub(super) fn note(&self, operation: impl FnOnce(u64) -> Operation) {
        if let Some((recording, number)) = &self.0 {
            recording.push(operation(*number));
        }
    }
}
