//! Snapshots, off the commit path: a thread makes the next log file, and once the writer has moved to it, writes the
//! current objects to a snapshot and removes what came before.
//!
//! The snapshot is taken in steps while commits go on, so an object may be in it as it was later. That is right
//! because the log of its generation is replayed over it from the start.

use crate::{
    disk::{self, File},
    files::{self, Log},
    frame::Kind,
    snapshot,
    store::Shared,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// The longest pause after such a sync.
const LONGEST_REST: Duration = Duration::from_millis(10);

/// The writer's side.
pub(crate) struct Checkpointer {
    orders: SyncSender<Order>,
    reports: Receiver<Report>,
    busy: bool,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Order {
    /// Make the next log.
    Prepare,
    /// The writer has moved to that log; everything up to this revision is in the index.
    Snapshot { revision: u64 },
}

enum Report {
    /// The next log is there.
    Ready(Log),
    /// The checkpoint is done, or failed and was given up.
    Done,
}

struct Worker {
    dir: PathBuf,
    shared: Arc<Shared>,
    generation: u64,
    stop: Arc<AtomicBool>,
}

/// Starts the thread. `generation` is that of the log being written.
pub(crate) fn start(dir: &Path, generation: u64, shared: Arc<Shared>) -> io::Result<Checkpointer> {
    let (orders, incoming) = sync_channel(1);
    let (outgoing, reports) = sync_channel(2);
    let stop = Arc::new(AtomicBool::new(false));
    let worker = Worker { dir: dir.into(), shared, generation, stop: stop.clone() };
    let thread = thread::Builder::new()
        .name("store-checkpoint".into())
        .spawn(move || worker.run(&incoming, &outgoing))?;
    Ok(Checkpointer { orders, reports, busy: false, stop, thread: Some(thread) })
}

// === impl Checkpointer ===

impl Checkpointer {
    /// Whether a checkpoint is under way.
    pub(crate) fn busy(&self) -> bool {
        self.busy
    }

    /// Begins a checkpoint.
    pub(crate) fn begin(&mut self) {
        self.busy = self.orders.try_send(Order::Prepare).is_ok();
    }

    /// The log to move to, once it is made. The writer then calls [`Checkpointer::moved`].
    pub(crate) fn poll(&mut self) -> Option<Log> {
        match self.reports.try_recv() {
            Ok(Report::Ready(log)) => return Some(log),
            Ok(Report::Done) => self.busy = false,
            Err(_) => {}
        }
        None
    }

    /// The writer has moved; the index shows `revision`.
    pub(crate) fn moved(&mut self, revision: u64) {
        self.busy = self.orders.try_send(Order::Snapshot { revision }).is_ok();
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Replacing the sender ends the thread's wait for orders.
        self.orders = sync_channel(0).0;
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by the thread itself.
            let _ = thread.join();
        }
    }
}

// === impl Worker ===

impl Worker {
    fn run(mut self, orders: &Receiver<Order>, reports: &SyncSender<Report>) {
        while let Ok(order) = orders.recv() {
            let done = match order {
                Order::Prepare => self.prepare().map(Report::Ready),
                Order::Snapshot { revision } => self.snapshot(revision).map(|()| Report::Done),
            };
            let report = done.unwrap_or_else(|error| {
                if !self.stop.load(Ordering::Relaxed) {
                    tracing::warn!(%error, dir = %self.dir.display(), "no checkpoint of the store; its log grows on");
                }
                Report::Done
            });
            if reports.send(report).is_err() {
                return;
            }
        }
    }

    fn prepare(&mut self) -> io::Result<Log> {
        let log = files::create_log(&self.dir, self.generation + 1)?;
        self.generation += 1;
        Ok(log)
    }

    fn snapshot(&self, revision: u64) -> io::Result<()> {
        let path = files::snapshot_path(&self.dir, self.generation);
        let temporary = path.with_extension("tmp");
        if let Err(error) = self.write(&temporary, revision) {
            let _ = disk::remove(&temporary);
            return Err(error);
        }
        disk::rename(&temporary, &path)?;
        disk::sync_dir(&self.dir)?;
        files::remove_before(&self.dir, self.generation)
    }

    fn write(&self, path: &Path, revision: u64) -> io::Result<()> {
        let header = files::new_header(Kind::Snapshot, self.generation, revision);
        let mut file = File::create(path)?;
        let chunk = |after: Option<&str>| match self.stop.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(self.shared.index.read().chunk(after, snapshot::CHUNK)),
        };
        snapshot::write(&header, &mut file, chunk, sync_and_rest)?;
        file.sync_all()
    }
}

/// One large sync at the end would delay those of the log, which has the disk for most of the time.
fn sync_and_rest(file: &mut File) -> io::Result<()> {
    let begun = Instant::now();
    file.sync_data()?;
    thread::sleep((begun.elapsed() * 3).min(LONGEST_REST));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{index::Index, queue::Queue, recovery, value::Value, window::Window};
    use parking_lot::RwLock;

    /// No frame may be longer than 64 MiB. 64 ConfigMaps of 1 MiB in a row once made one that was, and the next start refused
    /// the snapshot, when the log before it was gone already.
    #[test]
    fn a_snapshot_of_many_large_values_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::new();
        for number in 0..66_u64 {
            let value = Value::new(vec![b'x'; 1 << 20].into());
            index.apply(format!("a/b/c/{number:02}").into(), number + 2, Some(value));
        }
        let shared = Shared {
            index: RwLock::new(index),
            window: Window::new(67, 10, 10),
            queue: Queue::new(),
            syncs: telemetry::metrics::Histogram::new(&[1.0]),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker { dir: dir.path().into(), shared: Arc::new(shared), generation: 2, stop };
        worker.snapshot(67).unwrap();
        let mut read = Index::new();
        recovery::load_snapshot(dir.path(), 2, &mut read).unwrap();
        assert_eq!((read.len(), read.revision()), (66, 67));
    }
}
