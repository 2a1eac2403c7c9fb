//! What a Deployment needs next: a ReplicaSet for its template, the numbers of all its ReplicaSets, and a status.
//!
//! ```text
//! find or make the set of the template -> (paused or resized: keep proportions) | recreate | roll -> clean up -> status
//! ```

mod cleanup;
mod conditions;
mod recreate;
mod revision;
mod rolling;
mod scale;
mod status;
mod template;
mod work;

pub use template::{fits, generic_failure};

use crate::Pod;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::Value;
use std::time::Duration;
use work::Work;

/// Everything a decision depends on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The Deployment.
    pub deployment: &'a Deployment,
    /// The sets it owns.
    pub sets: &'a [&'a ReplicaSet],
    /// Their pods, each with the uid of its set.
    pub pods: &'a [(&'a str, &'a Pod)],
    /// The time.
    pub now: Timestamp,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make the set of the template.
    Create(Box<ReplicaSet>),
    /// Change a set of this name.
    Update(Change),
    /// Delete a set that has nothing and is older than the history goes.
    Delete(String),
    /// Patch the status, and with it the annotation that names the revision.
    Status(Value),
}

/// A change of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What changes, as a merge patch.
    pub patch: Value,
    /// From how many pods to how many.
    pub scaled: Option<(i32, i32)>,
}

/// Plans one pass, and says when to look again although nothing happens.
pub fn plan(facts: &Facts<'_>) -> (Vec<Step>, Option<Duration>) {
    let mut work = Work::new(facts);
    if facts.deployment.metadata.deletion_timestamp.is_some() {
        return work.tell();
    }
    work.note_pause();
    let resized = work.is_resized();
    if work.is_paused() || resized {
        work.find_new(false);
        work.keep_proportions();
        if work.is_paused() {
            work.clean_up();
        }
        return work.tell();
    }
    if work.is_rolling() {
        work.roll()
    } else {
        work.recreate()
    }
    work.track_progress();
    work.tell()
}

/// The event about a change of size, as Kubernetes words it.
pub fn scaled_note(set: &str, from: i32, to: i32) -> String {
    let way = if to > from { "up" } else { "down" };
    format!("Scaled {way} replica set {set} from {from} to {to}")
}

/// The patch between two JSON values, `null` for what is gone; none if they are the same.
pub fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Some(before), Some(after)) = (old.as_object(), new.as_object()) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = serde_json::Map::new();
    for (name, value) in after {
        let change = match before.get(name) {
            Some(known) => difference(known, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (name.clone(), change)));
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    patch.extend(gone.map(|name| (name.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests;
