//! Work in flight: at most one of a kind at a time.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{AbortHandle, Id, JoinSet};

use super::Outcome;

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Network,
    Volumes,
    Image(String),
    Start(String),
    Hook(String),
    Stop(String),
    Wait(String),
    Status,
    Detach,
    Free,
    Clean,
    Delete,
    Disk,
    Record,
    Refresh,
}

/// The tasks of one actor. Dropping them stops the work; what it made is found again by its names.
#[derive(Default)]
pub(super) struct Ops {
    tasks: JoinSet<Outcome>,
    running: HashMap<Op, AbortHandle>,
    names: HashMap<Id, Op>,
}

// === impl Op ===

impl Op {
    /// Whether this makes something on the machine, so that nothing may be removed before it has ended.
    pub(super) fn makes(&self) -> bool {
        matches!(
            self,
            Self::Network | Self::Volumes | Self::Image(_) | Self::Start(_) | Self::Record | Self::Refresh
        )
    }
}

// === impl Ops ===

impl Ops {
    pub(super) fn has(&self, op: &Op) -> bool {
        self.running.contains_key(op)
    }

    /// Whether anything is being made.
    pub(super) fn making(&self) -> bool {
        self.running.keys().any(Op::makes)
    }

    /// Starts the work unless the same is under way.
    pub(super) fn start(&mut self, op: Op, work: impl Future<Output = Outcome> + Send + 'static) {
        if self.has(&op) {
            return;
        }
        let handle = self.tasks.spawn(work);
        self.names.insert(handle.id(), op.clone());
        self.running.insert(op, handle);
    }

    pub(super) fn cancel(&mut self, op: &Op) {
        if let Some(handle) = self.running.remove(op) {
            self.names.remove(&handle.id());
            handle.abort();
        }
    }

    /// Cancels all that `chosen` says.
    pub(super) fn cancel_where(&mut self, chosen: impl Fn(&Op) -> bool) {
        let all: Vec<Op> = self.running.keys().filter(|op| chosen(op)).cloned().collect();
        all.iter().for_each(|op| self.cancel(op));
    }

    /// Waits for the next end of something. None with the operation if it was broken off by a bug of ours.
    pub(super) async fn next(&mut self) -> (Op, Option<Outcome>) {
        loop {
            let (id, outcome) = match self.tasks.join_next_with_id().await {
                None => return std::future::pending().await,
                Some(Ok((id, outcome))) => (id, Some(outcome)),
                Some(Err(error)) => (error.id(), None),
            };
            if let Some(op) = self.names.remove(&id) {
                self.running.remove(&op);
                return (op, outcome);
            }
        }
    }
}
