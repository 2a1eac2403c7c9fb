//! When and how the status is written: at once where somebody may wait for it, a little later where it only tells of
//! progress; always on the version it was computed from, so that no other write is lost.

use super::{Memory, Snapshot, Step};
use crd::conditions::{POD_SCHEDULED, READY, reason};
use crd::v1beta1::SandboxStatus;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Progress before Ready is written this long after the last write, unless Ready comes first.
const PROGRESS: Duration = Duration::from_millis(200);
/// A scheduler that only words its refusal anew is repeated this often.
const WORDING: Duration = Duration::from_secs(10);
/// After a loss of Ready, this long passes before it is Ready again, so that who polls can see the loss.
const LOSS_SHOWN: Duration = Duration::from_millis(200);

/// Writes `new`, or waits with it, or neither if that is what is stored.
pub(super) fn status(snapshot: &Snapshot, new: SandboxStatus, now: Timestamp) -> Option<Step> {
    let old = snapshot.sandbox.status.clone().unwrap_or_default();
    if old == new {
        return None;
    }
    if let Some(wait) = wait(snapshot, &old, &new, now) {
        return Some(Step::Wake(wait));
    }
    let patch = difference(&old, &new);
    Some(Step::PatchStatus(snapshot.target(), patch, Box::new(new)))
}

/// How long the write can wait.
fn wait(snapshot: &Snapshot, old: &SandboxStatus, new: &SandboxStatus, now: Timestamp) -> Option<Duration> {
    let memory = &snapshot.memory;
    if is_ready(Some(new)) {
        return if is_ready(Some(old)) { None } else { left(memory.lost, LOSS_SHOWN, now) };
    }
    if !is_progress(old, new) {
        return None;
    }
    let window = if is_wording(old, new) { WORDING } else { PROGRESS };
    left(memory.written, window, now)
}

/// Whether nobody can be waiting for the difference: not Ready for the same reason as before, nothing finished or
/// suspended, no new generation.
fn is_progress(old: &SandboxStatus, new: &SandboxStatus) -> bool {
    let essence = |status: &SandboxStatus| {
        let conditions = status.conditions.iter().filter(|condition| condition.type_ != POD_SCHEDULED);
        let essence = conditions.map(|condition| {
            let message =
                (condition.reason != reason::DEPENDENCIES_NOT_READY).then(|| condition.message.clone());
            (condition.type_.clone(), condition.reason.clone(), message, condition.observed_generation)
        });
        (essence.collect::<Vec<_>>(), status.service.clone(), status.selector.clone())
    };
    old.condition(READY).is_some() && essence(old) == essence(new)
}

/// Whether only the words of PodScheduled differ.
fn is_wording(old: &SandboxStatus, new: &SandboxStatus) -> bool {
    let without_words = |status: &SandboxStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().filter(|condition| condition.type_ == POD_SCHEDULED) {
            condition.message.clear();
        }
        status
    };
    without_words(old) == without_words(new)
}

/// Whether the status says Ready.
pub(super) fn is_ready(status: Option<&SandboxStatus>) -> bool {
    status.and_then(|status| status.condition(READY)).is_some_and(|ready| ready.status == "True")
}

/// Whether nothing that was written lately delays the next write.
pub(super) fn is_over(memory: &Memory, now: Timestamp) -> bool {
    left(memory.written, WORDING, now).is_none() && left(memory.lost, LOSS_SHOWN, now).is_none()
}

/// What is left of `window` since `since`. A `since` in the future (the clock was set) counts as over.
fn left(since: Option<Timestamp>, window: Duration, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(since?)).ok()?;
    window.checked_sub(passed).filter(|left| !left.is_zero())
}

/// The merge patch of the status: fields that differ, and null for those that go.
fn difference(old: &SandboxStatus, new: &SandboxStatus) -> Value {
    let fields = |status| match json!(status) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let mut patch: Map<String, Value> = old
        .keys()
        .filter(|field| !new.contains_key(*field))
        .map(|field| (field.clone(), Value::Null))
        .collect();
    patch.extend(new.into_iter().filter(|(field, value)| old.get(field) != Some(value)));
    Value::Object(patch)
}
