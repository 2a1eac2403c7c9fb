//! What the controllers did: requests by what they were and how they ended, passes, failures.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Request, u64>>,
    passes: AtomicU64,
    retries: AtomicU64,
}

/// A kind of request and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `create`, `patch`, `delete` or `get`.
    pub verb: &'static str,
    /// Plural of the kind, with the subresource if any.
    pub resource: &'static str,
    /// `ok`, `conflict`, `transient`, `refused`, `not_found`, `already_exists` or `expired`.
    pub result: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Requests sent to the API server, without events.
    pub fn requests(&self) -> BTreeMap<Request, u64> {
        self.requests.lock().clone()
    }

    /// All requests together.
    pub fn total(&self) -> u64 {
        self.requests.lock().values().sum()
    }

    /// Looks at one Sandbox, with whatever had to be done.
    pub fn passes(&self) -> u64 {
        self.passes.load(Ordering::Relaxed)
    }

    /// Passes that ended with something to try again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn request(&self, verb: &'static str, resource: &'static str, result: &'static str) {
        *self.requests.lock().entry(Request { verb, resource, result }).or_default() += 1;
    }

    pub(crate) fn pass(&self) {
        self.passes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}
