//! A queue of keys for a pool of workers.
//!
//! A key is in the queue at most once, however often it is added. While a worker holds a key no other gets it; what
//! is added meanwhile comes back when the worker is done. Failures make a key wait, longer each time; a success forgets
//! them. Time is tokio's, so tests can pause it.
//!
//! **Invariant:** memory is bounded by the number of distinct keys.

mod board;
mod state;
mod work;

#[cfg(test)]
mod tests;

use crate::Backoff;
use board::Counts;
use parking_lot::Mutex;
use state::State;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub use board::Board;

/// Which of the two lanes a key waits in. Of 17 keys taken in a row, at least one comes from the low lane if any waits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Somebody waits for the outcome.
    High,
    /// Can wait: initial lists, refills.
    Low,
}

/// What a worker says about the key it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing more to do until the key is added again.
    Done,
    /// Succeeded; look again after this time.
    After(Duration),
    /// Failed; look again after a back-off.
    Retry,
    /// Failed; look again after a back-off, but no later than this.
    RetryWithin(Duration),
}

/// A queue of keys. Clones share it.
#[derive(Debug)]
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    wake: Notify,
    backoff: Backoff,
    counts: Counts,
}

/// A key given to one worker. Dropped without a word it counts as done, or as failed during a panic.
#[derive(Debug)]
pub struct Lease<K: Clone + Eq + Hash + Ord> {
    queue: Queue<K>,
    key: Option<K>,
}

// === impl Queue ===

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue whose failing keys wait as `backoff` says.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::default()),
                wake: Notify::new(),
                backoff,
                counts: Counts::default(),
            }),
        }
    }

    /// Adds a key to the high lane.
    pub fn add(&self, key: K) {
        self.add_in(Lane::High, key);
    }

    /// Adds a key to a lane. A key that waits in the low lane moves up; none moves down.
    pub fn add_in(&self, lane: Lane, key: K) {
        if self.shared.state.lock().add(lane, key, Instant::now()) {
            self.shared.wake.notify_one();
        }
    }

    /// Adds a key after `delay`. If it is to come earlier already, that stays.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.shared.state.lock().add_at(key, Instant::now() + delay);
        self.shared.wake.notify_one();
    }

    /// Waits for a key. None once the queue is closed.
    pub async fn next(&self) -> Option<Lease<K>> {
        loop {
            let notified = self.shared.wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let deadline = {
                let mut state = self.shared.state.lock();
                if state.is_closed() {
                    return None;
                }
                let now = Instant::now();
                state.release_due(now);
                if let Some((key, waited)) = state.take(now) {
                    self.shared.counts.waited.observe(waited.as_secs_f64());
                    if state.has_ready() {
                        self.shared.wake.notify_one();
                    }
                    return Some(Lease { queue: self.clone(), key: Some(key) });
                }
                state.next_deadline()
            };
            match deadline {
                None => notified.await,
                Some(deadline) => tokio::select! {
                    () = notified => {}
                    () = sleep_until(deadline) => {}
                },
            }
        }
    }

    /// Lets every waiting worker go; keys still in the queue are dropped.
    pub fn close(&self) {
        self.shared.state.lock().close();
        self.shared.wake.notify_waiters();
        self.shared.wake.notify_one();
    }

    /// Keys ready, waiting for a time, and in the hands of workers.
    pub fn depth(&self) -> (usize, usize, usize) {
        self.shared.state.lock().depth()
    }

    fn finish(&self, key: K, outcome: Outcome) {
        let now = Instant::now();
        let (ready, worked) = self.shared.state.lock().finish(key, outcome, &self.shared.backoff, now);
        self.shared.counts.worked.observe(worked.as_secs_f64());
        if matches!(outcome, Outcome::Retry | Outcome::RetryWithin(_)) {
            self.shared.counts.retries.inc();
        }
        if ready || !matches!(outcome, Outcome::Done) {
            self.shared.wake.notify_one();
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        Self::new(Backoff::default())
    }
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

// === impl Lease ===

impl<K: Clone + Eq + Hash + Ord> Lease<K> {
    /// The key to work on.
    pub fn key(&self) -> &K {
        self.key.as_ref().expect("the key is taken only on the way out")
    }

    /// Gives the key back.
    pub fn finish(mut self, outcome: Outcome) {
        if let Some(key) = self.key.take() {
            self.queue.finish(key, outcome);
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Drop for Lease<K> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let outcome = if std::thread::panicking() { Outcome::Retry } else { Outcome::Done };
            self.queue.finish(key, outcome);
        }
    }
}
