//! The conditions of a Job.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) const COMPLETE: &str = "Complete";
pub(super) const FAILED: &str = "Failed";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";
pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
pub(super) const SUSPENDED: &str = "Suspended";

/// Whether a Job has come to its end.
pub fn is_finished(status: &JobStatus) -> bool {
    [COMPLETE, FAILED].iter().any(|kind| get(status, kind).is_some_and(|known| known.status == "True"))
}

/// When it did.
pub(super) fn finished_at(status: &JobStatus) -> Option<Timestamp> {
    let known = [COMPLETE, FAILED].iter().find_map(|kind| get(status, kind))?;
    known.last_transition_time.as_ref().map(|time| time.0)
}

pub(super) fn get<'s>(status: &'s JobStatus, kind: &str) -> Option<&'s JobCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// Sets a condition, with its reason and message.
pub(super) fn set(status: &mut JobStatus, kind: &str, value: &str, why: (&str, &str), now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(why.0.to_owned()),
        message: Some(why.1.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
}
