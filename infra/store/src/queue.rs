//! The bounded queue between callers and the writer thread.
//!
//! **Invariant:** every request gets exactly one answer, also when the writer stops.

use crate::{CommitError, Txn};
use parking_lot::{Condvar, Mutex};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// How many KiB of transactions may wait, each counting at least one.
const ROOM: u32 = 64 << 10;

/// How long a busy writer waits for callers that it has just answered. Well below the time of a sync.
const GATHER: Duration = Duration::from_micros(200);

/// A transaction and who waits for it.
pub(crate) struct Request {
    pub(crate) txn: Txn,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<u64, CommitError>>,
    _room: OwnedSemaphorePermit,
}

/// What the writer finds when it looks.
pub(crate) enum Next {
    /// Requests, in the order they came.
    Requests(Vec<Request>),
    /// Nothing came in the time given.
    Idle,
    /// The store is closed and nothing waits.
    Closed,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    room: Arc<Semaphore>,
    stopped: watch::Sender<Option<Arc<str>>>,
}

struct State {
    waiting: Vec<Request>,
    open: bool,
    /// The writer is woken once this many requests wait.
    enough: usize,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State { waiting: Vec::new(), open: true, enough: 1 }),
            arrived: Condvar::new(),
            room: Arc::new(Semaphore::new(ROOM as usize)),
            stopped: watch::Sender::new(None),
        }
    }

    pub(crate) async fn submit(&self, txn: Txn, bytes: usize) -> Result<u64, CommitError> {
        let weight = u32::try_from(bytes / 1024 + 1).unwrap_or(ROOM).min(ROOM);
        let Ok(room) = self.room.clone().acquire_many_owned(weight).await else { return Err(self.refusal()) };
        let (reply, answer) = oneshot::channel();
        let request = Request { txn, bytes, reply, _room: room };
        let enough = {
            let mut state = self.state.lock();
            if !state.open {
                return Err(self.refusal());
            }
            state.waiting.push(request);
            state.waiting.len() >= state.enough
        };
        if enough {
            self.arrived.notify_one();
        }
        answer.await.unwrap_or_else(|_| Err(self.refusal()))
    }

    /// Waits a moment for `hoped` requests, so that callers just answered share the next sync: answering wakes them one
    /// after another, and a sync for the first few of them would make all others wait for two.
    pub(crate) fn gather(&self, hoped: usize) {
        let mut state = self.state.lock();
        if state.waiting.len() < hoped && state.open {
            state.enough = hoped;
            // Timed out or not, the next call looks at what is there.
            let _ = self.arrived.wait_for(&mut state, GATHER);
            state.enough = 1;
        }
    }

    /// Waits for requests: at most `patience`, or for ever if none.
    pub(crate) fn next(&self, patience: Option<Duration>) -> Next {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if !state.open {
                return Next::Closed;
            }
            match patience {
                None => self.arrived.wait(&mut state),
                Some(patience) => {
                    if self.arrived.wait_for(&mut state, patience).timed_out() && state.waiting.is_empty() {
                        return Next::Idle;
                    }
                }
            }
        }
        Next::Requests(std::mem::take(&mut state.waiting))
    }

    /// Takes no more requests; the writer finishes those that wait.
    pub(crate) fn close(&self) {
        self.say("it was closed".into());
        self.state.lock().open = false;
        self.room.close();
        self.arrived.notify_all();
    }

    /// Takes no more requests and refuses those that wait. The first reason stands.
    pub(crate) fn fail(&self, reason: Arc<str>) {
        self.say(reason);
        let waiting = {
            let mut state = self.state.lock();
            state.open = false;
            std::mem::take(&mut state.waiting)
        };
        self.room.close();
        for request in waiting {
            let _ = request.reply.send(Err(self.refusal()));
        }
    }

    pub(crate) fn stopped_by(&self) -> Option<Arc<str>> {
        self.stopped.borrow().clone()
    }

    pub(crate) async fn stopped(&self) -> Arc<str> {
        let mut changes = self.stopped.subscribe();
        loop {
            if let Some(reason) = changes.borrow_and_update().clone() {
                return reason;
            }
            // The sender lives in self, so this cannot end before a change.
            let _ = changes.changed().await;
        }
    }

    /// The answer to a request that cannot be taken.
    pub(crate) fn refusal(&self) -> CommitError {
        CommitError::Stopped(self.stopped_by().unwrap_or_else(|| "its writer ended".into()))
    }

    fn say(&self, reason: Arc<str>) {
        self.stopped.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }
}
