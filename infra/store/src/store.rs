//! The handle that the rest of the program holds.

use crate::{
    CommitError, Expired, OpenError, checkpoint, files,
    index::Index,
    queue::Queue,
    recovery,
    txn::{Entry, List, Txn},
    window::{Watch, Window},
    writer,
};
use parking_lot::{Mutex, RwLock};
use std::{fs::File, path::PathBuf, sync::Arc, thread};
use telemetry::metrics::Histogram;

/// The largest transaction taken, in bytes.
const MAX_TXN: usize = 32 << 20;

/// Upper bounds of the time of a sync: etcd's.
const SYNC_SECONDS: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192];

/// How a store is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory that holds the store's files; made if absent. Nothing else may be in it.
    pub dir: PathBuf,
    /// How many events are held for watches that resume. Default 5,000.
    pub window_events: usize,
    /// How many bytes of values no longer current may be held for those events. Default 4 MiB.
    pub window_bytes: usize,
    /// A snapshot is made once the log has grown by this many bytes, or by four times the size of the current values if
    /// that is more. Default 64 MiB.
    pub checkpoint_bytes: u64,
}

/// A durable, revisioned map from keys to bytes. Cloning is cheap; all clones are one store.
///
/// When the last clone is dropped, waiting commits are finished and the directory's lock is released.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

/// What the handles, the writer and the checkpointer share.
pub(crate) struct Shared {
    pub(crate) index: RwLock<Index>,
    pub(crate) window: Window,
    pub(crate) queue: Queue,
    /// Seconds that each sync of the log took.
    pub(crate) syncs: Histogram,
}

struct Handle {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// The writer, and the directory's lock, which outlives it.
struct Running {
    writer: thread::JoinHandle<()>,
    _lock: File,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { dir: PathBuf::new(), window_events: 5_000, window_bytes: 4 << 20, checkpoint_bytes: 64 << 20 }
    }
}

// === impl Store ===

impl Store {
    /// Opens the store in `config.dir`, or makes a new one. Reads every file, so call it off the async workers.
    ///
    /// # Errors
    /// [`OpenError`]; in every case the files are as they were.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let Config { dir, window_events, window_bytes, checkpoint_bytes } = config;
        files::make_closed(&dir).map_err(files::failed("make the directory", &dir))?;
        let lock = files::lock(&dir)?;
        let recovered = recovery::open(&dir)?;
        let revision = recovered.index.revision();
        let shared = Arc::new(Shared {
            index: RwLock::new(recovered.index),
            window: Window::new(revision, window_events, window_bytes),
            queue: Queue::new(),
            syncs: Histogram::new(SYNC_SECONDS),
        });
        let checkpointer = checkpoint::start(&dir, recovered.log.generation, shared.clone())
            .map_err(files::failed("start a thread for", &dir))?;
        let mut writer = writer::Writer::new(
            shared.clone(),
            recovered.log,
            recovered.mark,
            checkpointer,
            checkpoint_bytes,
        );
        if recovered.outdated {
            tracing::info!(dir = %dir.display(), "the store has an older format and is upgraded");
            writer.checkpoint_at_once();
        }
        let writer = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run())
            .map_err(files::failed("start a thread for", &dir))?;
        let running = Mutex::new(Some(Running { writer, _lock: lock }));
        Ok(Self { handle: Arc::new(Handle { shared, running }) })
    }

    /// The revision of the last commit. A new store is at 1.
    pub fn revision(&self) -> u64 {
        self.handle.shared.index.read().revision()
    }

    /// The current value of a key.
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.handle.shared.index.read().get(key)
    }

    /// The entries whose keys start with `prefix`, in key order, as of one revision: those after the key
    /// `start_after`, at most `limit` of them (0: all).
    pub fn list(&self, prefix: &str, start_after: Option<&str>, limit: usize) -> List {
        self.handle.shared.index.read().list(prefix, start_after, limit)
    }

    /// How many entries there are with a prefix, after a key. Takes a walk over them: for once a list, not once a page.
    pub fn count(&self, prefix: &str, start_after: Option<&str>) -> usize {
        self.handle.shared.index.read().count(prefix, start_after)
    }

    /// Commits a transaction and gives its revision once it is on disk. A transaction that changes nothing takes no
    /// revision and gives the current one.
    ///
    /// Dropping the future does not take the transaction back once it waits in the queue.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn commit(&self, txn: Txn) -> Result<u64, CommitError> {
        let bytes = txn.weight();
        if bytes > MAX_TXN {
            return Err(CommitError::TooLarge { bytes, limit: MAX_TXN });
        }
        self.handle.shared.queue.submit(txn, bytes).await
    }

    /// Watches the keys that start with `prefix`, from the change after revision `after`.
    ///
    /// # Errors
    /// [`Expired`] if changes after `after` are no longer held (too many came since, or the store was opened since).
    pub fn watch(&self, prefix: &str, after: u64) -> Result<Watch, Expired> {
        self.handle.shared.window.watch(prefix, after)
    }

    /// How long syncs of the log take, in seconds.
    pub fn syncs(&self) -> Histogram {
        self.handle.shared.syncs.clone()
    }

    /// Why the store no longer accepts writes; none while it does.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.handle.shared.queue.stopped_by()
    }

    /// Waits until the store no longer accepts writes, and gives the reason. For the program's main loop, which should
    /// then end: only opening the store again can repair it.
    pub async fn failed(&self) -> Arc<str> {
        self.handle.shared.queue.stopped().await
    }

    /// Finishes waiting commits, ends all watches, and releases the directory. Later commits on other clones get
    /// [`CommitError::Stopped`]. Blocks for the last sync.
    pub fn close(self) {
        self.handle.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

// === impl Handle ===

impl Handle {
    fn close(&self) {
        self.shared.queue.close();
        let mut running = self.running.lock();
        if let Some(Running { writer, _lock }) = running.take() {
            // A panic was already reported by the thread itself.
            let _ = writer.join();
        }
        drop(running);
        self.shared.window.close();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
