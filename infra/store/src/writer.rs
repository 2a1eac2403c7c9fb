//! The writer: the one thread that decides whether transactions hold, makes them durable, and then shows them.
//!
//! It takes everything that waits, writes it as one frame with one sync, and only then changes the index, publishes
//! events and answers. Under load the batch grows while the disk is busy: that is the group commit.

use crate::{
    CommitError,
    checkpoint::Checkpointer,
    files::Log,
    frame::Builder,
    index::{Change, Index},
    mark::Mark,
    queue::{Next, Request},
    store::Shared,
    txn::{EventKind, Expect, Op, Txn},
    value::{Packer, Value},
    window::Record,
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    io,
    os::unix::fs::FileExt,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A batch takes no more transactions once it has this many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// After this long without a commit the mark is synced, so that from then on even a power loss cannot hide damage.
const IDLE: Duration = Duration::from_millis(20);

/// From this many callers in one batch on, the writer waits a moment for them to come back.
const BUSY: usize = 8;

/// Values packed before the queue is looked at again: about half a millisecond.
const PACKED_AT_ONCE: usize = 64;
/// Values packed after each batch of few callers. Otherwise all that a steady trickle writes would stay as it is until it ends.
const PACKED_BETWEEN: usize = 4;

/// Zeros are written ahead of the log while it is idle: a sync that need not also make the file longer takes half the time.
const ZEROED: u64 = 1 << 20;
/// Fewer zeros than this ahead, and more are written.
const ZEROED_LEAST: u64 = 256 << 10;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    mark: Mark,
    packer: Packer,
    checkpointer: Checkpointer,
    checkpoint_bytes: u64,
    /// Bytes of log since the last checkpoint was begun.
    grown: u64,
    batch: Batch,
    waiting: VecDeque<Request>,
    /// How many callers the last batch answered.
    answered: usize,
}

/// Transactions that hold and are not yet on disk.
#[derive(Default)]
struct Batch {
    frame: Builder,
    staged: Vec<Staged>,
    /// The state of the keys that the batch touches; none: deleted.
    overlay: HashMap<Arc<str>, Option<u64>>,
    replies: Vec<Reply>,
    revision: u64,
}

/// A change and, of a deletion, what watchers are shown last.
struct Staged {
    change: Change,
    last: Option<Bytes>,
}

struct Reply {
    to: oneshot::Sender<Result<u64, CommitError>>,
    result: Result<u64, CommitError>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        log: Log,
        mark: Mark,
        checkpointer: Checkpointer,
        checkpoint_bytes: u64,
    ) -> Self {
        let grown = log.end;
        let (batch, waiting) = (Batch::default(), VecDeque::new());
        let mut packer = Packer::default();
        for (key, value) in shared.index.read().values() {
            packer.add(key, value);
        }
        Self { shared, log, mark, packer, checkpointer, checkpoint_bytes, grown, batch, waiting, answered: 0 }
    }

    /// Begins with a checkpoint, however little there is to put into it.
    pub(crate) fn checkpoint_at_once(&mut self) {
        self.grown = u64::MAX;
    }

    /// Serves the queue until it is closed or a write fails.
    pub(crate) fn run(mut self) {
        let mut guard = FailOnPanic(Some(self.shared.clone()));
        if let Err(error) = self.serve() {
            let reason: Arc<str> =
                format!("a write to its log failed ({error}); make room or repair the disk, then restart")
                    .into();
            tracing::error!(%error, "the store stops accepting writes");
            self.shared.queue.fail(reason);
            self.batch.refuse(&self.shared);
            for request in std::mem::take(&mut self.waiting) {
                let _ = request.reply.send(Err(self.shared.queue.refusal()));
            }
        }
        guard.0 = None;
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            self.checkpoint()?;
            if self.waiting.is_empty() {
                if self.answered >= BUSY {
                    self.shared.queue.gather(self.answered * 3 / 4);
                }
                let busy = self.mark.dirty() || self.checkpointer.busy() || self.packer.has_work();
                let patience = busy.then_some(IDLE);
                match self.shared.queue.next(patience) {
                    Next::Requests(requests) => self.waiting.extend(requests),
                    Next::Idle => self.rest()?,
                    Next::Closed => return self.sync_mark(),
                }
            }
            if !self.waiting.is_empty() {
                self.gather();
                self.write()?;
                self.show();
                if self.answered < BUSY {
                    self.packer.keep_up(PACKED_BETWEEN);
                }
            }
        }
    }

    /// What there is to do while nobody waits.
    fn rest(&mut self) -> io::Result<()> {
        self.sync_mark()?;
        if self.log.zeroed < self.log.end + ZEROED_LEAST {
            self.log.extend_zeroed(self.log.end + ZEROED)?;
        }
        self.packer.work(PACKED_AT_ONCE);
        self.batch.frame.give_back();
        Ok(())
    }

    fn sync_mark(&mut self) -> io::Result<()> {
        if self.mark.dirty() { self.mark.sync() } else { Ok(()) }
    }

    /// Decides about waiting transactions until the batch is full.
    fn gather(&mut self) {
        let index = self.shared.index.read();
        self.batch.clear(index.revision());
        while let Some(request) = self.waiting.front() {
            if self.batch.frame.len() > 0
                && self.batch.frame.len() + request.bytes > BATCH_BYTES.max(request.bytes)
            {
                break;
            }
            let Some(request) = self.waiting.pop_front() else { break };
            let result = self.batch.stage(&index, &request.txn);
            self.batch.replies.push(Reply { to: request.reply, result });
        }
    }

    /// Puts the batch on disk.
    fn write(&mut self) -> io::Result<()> {
        let Some(first) = self.batch.staged.first().map(|staged| staged.change.revision) else {
            return Ok(());
        };
        let bytes = self.batch.frame.seal(self.log.salt, first);
        self.log.file.write_all_at(bytes, self.log.end)?;
        let begun = Instant::now();
        self.log.file.sync_data()?;
        self.shared.syncs.observe(begun.elapsed().as_secs_f64());
        self.log.end += bytes.len() as u64;
        self.grown = self.grown.saturating_add(bytes.len() as u64);
        self.mark.set(self.batch.revision)
    }

    /// Shows the batch to readers, then to watchers, then to its callers.
    fn show(&mut self) {
        let mut events = Vec::with_capacity(self.batch.staged.len());
        {
            let mut index = self.shared.index.write();
            for staged in self.batch.staged.drain(..) {
                let Staged { change: Change { key, revision, value }, last } = staged;
                let value = value.map(Value::new);
                let (key, previous) = index.apply(key, revision, value.clone());
                if let Some(value) = &value {
                    self.packer.add(&key, value);
                }
                events.extend(record(key, revision, (value, last), previous));
            }
            index.set_revision(self.batch.revision);
        }
        self.shared.window.publish(events, self.batch.revision);
        self.answered = self.batch.replies.len();
        for reply in self.batch.replies.drain(..) {
            // The caller may have stopped waiting.
            let _ = reply.to.send(reply.result);
        }
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        if let Some(log) = self.checkpointer.poll() {
            let revision = self.shared.index.read().revision();
            self.log = log;
            self.grown = 0;
            self.mark.set(revision)?;
            self.checkpointer.moved(revision);
        }
        let enough = self.grown > self.checkpoint_bytes;
        if enough && !self.checkpointer.busy() && self.grown > 4 * self.shared.index.read().bytes() {
            self.grown = 0;
            self.checkpointer.begin();
        }
        Ok(())
    }
}

/// What watchers are shown: of a deletion the last state that came with it.
fn record(
    key: Arc<str>,
    revision: u64,
    (value, last): (Option<Arc<Value>>, Option<Bytes>),
    previous: Option<Arc<Value>>,
) -> Option<Record> {
    let (kind, value) = match (value, &previous) {
        (Some(value), None) => (EventKind::Created, value),
        (Some(value), Some(_)) => (EventKind::Updated, value),
        (None, Some(_)) => (EventKind::Deleted, Value::new(last.unwrap_or_default())),
        (None, None) => return None,
    };
    Some(Record { revision, key, kind, value, previous })
}

// === impl Batch ===

impl Batch {
    fn clear(&mut self, revision: u64) {
        self.frame.clear();
        self.staged.clear();
        self.overlay.clear();
        self.replies.clear();
        self.revision = revision;
    }

    /// Adds a transaction if all its preconditions hold, and gives the answer that its caller gets after the sync.
    fn stage(&mut self, index: &Index, txn: &Txn) -> Result<u64, CommitError> {
        let revision = self.revision + 1;
        let mut changes: Vec<Staged> = Vec::new();
        for op in &txn.ops {
            let (key, expect) = op.target();
            let known = changes.iter().rev().find(|staged| *staged.change.key == *key);
            let current = match known {
                Some(staged) => staged.change.value.is_some().then_some(revision),
                None => self.current(index, key),
            };
            if !expect.holds(current) {
                return Err(CommitError::Conflict { key: key.into(), current });
            }
            changes.extend(op.stage(revision, current.is_some()));
        }
        if changes.is_empty() {
            return Ok(self.revision);
        }
        self.revision = revision;
        for staged in changes {
            self.frame.push(&staged.change);
            let state = staged.change.value.is_some().then_some(revision);
            self.overlay.insert(staged.change.key.clone(), state);
            self.staged.push(staged);
        }
        Ok(revision)
    }

    fn current(&self, index: &Index, key: &str) -> Option<u64> {
        match self.overlay.get(key) {
            Some(state) => *state,
            None => index.revision_of(key),
        }
    }

    fn refuse(&mut self, shared: &Shared) {
        for reply in self.replies.drain(..) {
            let _ = reply.to.send(Err(shared.queue.refusal()));
        }
    }
}

// === impl Op ===

impl Op {
    fn target(&self) -> (&str, Expect) {
        match self {
            Self::Put { key, expect, .. }
            | Self::Delete { key, expect, .. }
            | Self::Check { key, expect } => (key, *expect),
        }
    }

    fn stage(&self, revision: u64, exists: bool) -> Option<Staged> {
        let (key, value, last) = match self {
            Self::Put { key, value, .. } => (key, Some(value.render(revision)), None),
            Self::Delete { key, last, .. } if exists => (key, None, Some(last.render(revision))),
            Self::Delete { .. } | Self::Check { .. } => return None,
        };
        Some(Staged { change: Change { key: key.as_str().into(), revision, value }, last })
    }
}

/// Refuses everybody if the writer's thread panics, so that no caller waits for ever.
struct FailOnPanic(Option<Arc<Shared>>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.queue.fail("its writer met an error in the program; restart".into());
        }
    }
}
