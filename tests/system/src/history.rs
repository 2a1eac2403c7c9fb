//! What clients asked and were told, and whether one server with one memory could have told it: linearizability of each
//! object, and etcd's guarantees for watches.
//!
//! The checks are pure; what they judge was recorded by [`Client`]s and [`Watcher`]s. Every written value is unique, so a
//! value names the write that made it.

mod client;
mod linear;
#[cfg(test)]
mod tests;
mod watched;
mod watcher;

pub use client::Client;
pub use linear::linearizable;
pub use watched::{Count, watches_hold};
pub use watcher::{Watcher, Way};

use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// The objects that take part have this prefix; others are not looked at.
pub const PREFIX: &str = "history-";

/// A value and the resource version that a client saw it at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    /// The resource version.
    pub revision: u64,
    /// What the object held.
    pub value: String,
}

/// What a client asked of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// What is there?
    Read,
    /// Make it.
    Create(String),
    /// Replace it; the precondition is the version that held this value.
    Replace {
        /// What to write.
        value: String,
        /// What has to be there.
        expect: Option<String>,
    },
    /// Delete it, with the same precondition.
    Delete {
        /// What has to be there.
        expect: Option<String>,
    },
}

/// What it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A read found this.
    Found(Version),
    /// There is none (404).
    Absent,
    /// A create or replacement was done, at this resource version.
    Written(u64),
    /// A deletion was done.
    Deleted,
    /// Refused: it exists, or the precondition does not hold (409).
    Refused,
    /// No answer came: it was done, will be done, or never.
    Lost,
}

/// One question with its answer. Times are nanoseconds since the history began.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which object.
    pub key: String,
    /// What was asked.
    pub act: Act,
    /// What was told.
    pub answer: Answer,
    /// Before the question was sent.
    pub began: u64,
    /// After the answer was read; never, if there was none.
    pub ended: u64,
}

/// All objects as one list showed them.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The list's resource version.
    pub revision: u64,
    /// The objects.
    pub state: State,
}

/// Objects by name.
pub type State = BTreeMap<String, Version>;

/// What happened to an object, as a watch told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ADDED.
    Added,
    /// MODIFIED.
    Modified,
    /// DELETED.
    Deleted,
}

/// What a watch told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A change of an object.
    Event(Kind, String, Version),
    /// All up to this resource version was told.
    Bookmark(u64),
    /// The connection ended, and a new one went on from the last resource version.
    Resumed,
}

/// A state and all that a watch told since.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The resource version of the state.
    pub from: u64,
    /// The objects at the start.
    pub state: State,
    /// What was told since.
    pub steps: Vec<Step>,
}

/// All that was recorded.
#[derive(Debug, Clone)]
pub struct History {
    start: Instant,
    record: Arc<Mutex<Record>>,
}

/// The parts of a history.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Questions about single objects; a list counts as one about each object.
    pub calls: Vec<Call>,
    /// Lists as a whole.
    pub listings: Vec<Listing>,
    /// What watches told.
    pub segments: Vec<Segment>,
}

// === impl History ===

impl Default for History {
    fn default() -> Self {
        Self { start: Instant::now(), record: Arc::default() }
    }
}

impl History {
    /// The time since it began, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn record<T>(&self, with: impl FnOnce(&mut Record) -> T) -> T {
        with(&mut self.record.lock())
    }

    /// What was recorded so far.
    pub fn recorded(&self) -> Record {
        self.record.lock().clone()
    }
}

/// The name and version of an object that takes part.
fn version_of(object: &ConfigMap) -> Option<(String, Version)> {
    let name = object.metadata.name.clone().filter(|name| name.starts_with(PREFIX))?;
    let revision = object.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
    let value = object.data.as_ref().and_then(|data| data.get("value")).cloned();
    let value = value.expect("every object that takes part has a value");
    Some((name, Version { revision: revision.expect("a resource version is a number"), value }))
}
