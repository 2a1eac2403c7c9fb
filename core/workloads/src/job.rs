//! What a Job needs next: pods until enough have succeeded, a status that counts each pod exactly once, and its end.
//!
//! A pod carries a finalizer until it is counted. It is first listed by uid in `status.uncountedTerminatedPods`, then its finalizer is
//! taken off, then the list becomes a number: whatever dies in between, no pod is counted twice or never.

mod backoff;
mod conditions;
mod indexes;
mod make;
mod manage;
mod tally;

pub use conditions::is_finished;
pub use make::pod;

use crate::Pod;
use conditions::{COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
use std::time::Duration;
use tally::Tally;

/// Everything a decision depends on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The Job.
    pub job: &'a Job,
    /// The pods it owns.
    pub pods: &'a [&'a Pod],
    /// The time.
    pub now: Timestamp,
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan<'a> {
    /// Patch the status; nothing that follows may happen if that fails.
    pub status: Option<Value>,
    /// What to tell about it.
    pub notes: Vec<Note>,
    /// Take the tracking finalizer off these: they are listed or counted.
    pub untrack: Vec<&'a Pod>,
    /// Delete these and count them as failed.
    pub end: Vec<&'a Pod>,
    /// Delete these and forget them: they were one too many.
    pub withdraw: Vec<&'a Pod>,
    /// Make a pod for each, with its index in an indexed Job.
    pub create: Vec<Option<i32>>,
    /// Delete the Job itself, with what it owns.
    pub expire: bool,
    /// Look again after this time although nothing happens.
    pub again: Option<Duration>,
}

/// An event about the Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// In one word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
}

/// A pass in the making.
struct Work<'a> {
    facts: &'a Facts<'a>,
    spec: JobSpec,
    status: JobStatus,
    tally: Tally<'a>,
    plan: Plan<'a>,
}

/// Plans one pass.
pub fn plan<'a>(facts: &'a Facts<'a>) -> Plan<'a> {
    let spec = facts.job.spec.clone().unwrap_or_default();
    let status = facts.job.status.clone().unwrap_or_default();
    if is_finished(&status) {
        return finished(facts, &spec, &status);
    }
    let tally = Tally::take(&spec, &status, facts.pods);
    let mut work = Work { facts, spec, status, tally, plan: Plan::default() };
    work.start();
    work.decide();
    work.write()
}

/// Nothing but cleaning up is left.
fn finished<'a>(facts: &'a Facts<'a>, spec: &JobSpec, status: &JobStatus) -> Plan<'a> {
    let untrack = facts.pods.iter().copied().filter(|pod| pod.is_tracked()).collect();
    let mut plan = Plan { untrack, ..Plan::default() };
    let deleting = facts.job.metadata.deletion_timestamp.is_some();
    let end = spec.ttl_seconds_after_finished.filter(|_| !deleting).and_then(|seconds| {
        conditions::finished_at(status)?.checked_add(SignedDuration::from_secs(i64::from(seconds))).ok()
    });
    if let Some(end) = end {
        plan.expire = end <= facts.now;
        plan.again = until(end, facts.now);
    }
    plan
}

fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now)).ok().filter(|left| !left.is_zero())
}

// === impl Work ===

impl<'a> Work<'a> {
    fn suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn note(&mut self, warning: bool, reason: &'static str, message: impl Into<String>) {
        self.plan.notes.push(Note { warning, reason, message: message.into() });
    }

    /// When it began, and whether it is suspended.
    fn start(&mut self) {
        let now = self.facts.now;
        let was = conditions::get(&self.status, conditions::SUSPENDED).map(|known| known.status == "True");
        if self.suspended() {
            if was != Some(true) {
                conditions::set(
                    &mut self.status,
                    conditions::SUSPENDED,
                    "True",
                    ("JobSuspended", "Job suspended"),
                    now,
                );
                self.note(false, "Suspended", "Job suspended");
            }
            self.status.start_time = None;
            return;
        }
        if was == Some(true) {
            conditions::set(
                &mut self.status,
                conditions::SUSPENDED,
                "False",
                ("JobResumed", "Job resumed"),
                now,
            );
            self.note(false, "Resumed", "Job resumed");
            self.status.start_time = Some(Time(now));
        }
        self.status.start_time.get_or_insert(Time(now));
    }

    fn decide(&mut self) {
        if let Some(known) = conditions::get(&self.status, FAILURE_TARGET).cloned() {
            return self.fail(&known.reason.unwrap_or_default(), &known.message.unwrap_or_default());
        }
        if conditions::get(&self.status, SUCCESS_CRITERIA_MET).is_some() {
            return self.succeed();
        }
        if self.is_past_backoff() {
            return self.fail("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let Some(deadline) = self.deadline() {
            if deadline <= self.facts.now {
                return self.fail("DeadlineExceeded", "Job was active longer than specified deadline");
            }
            self.again(until(deadline, self.facts.now));
        }
        if self.is_enough() {
            return self.succeed();
        }
        if self.facts.job.metadata.deletion_timestamp.is_none() {
            self.manage();
        }
    }

    fn again(&mut self, after: Option<Duration>) {
        self.plan.again = match (self.plan.again, after) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    fn deadline(&self) -> Option<Timestamp> {
        let (start, seconds) = (self.status.start_time.as_ref()?.0, self.spec.active_deadline_seconds?);
        start.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    /// Failed pods, or the restarts of pods that are started again in place.
    fn is_past_backoff(&self) -> bool {
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if self.tally.failed() > i64::from(limit) {
            return true;
        }
        let policy = self.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return false;
        }
        let open = self.facts.pods.iter().filter(|pod| !pod.is_over());
        let restarts: i32 = open.map(|pod| pod.all_restarts).sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// Whether enough pods have succeeded; without a number of completions one is enough, once the others have ended too.
    fn is_enough(&self) -> bool {
        match self.spec.completions {
            Some(wanted) => self.tally.succeeded() >= i64::from(wanted),
            None => self.tally.succeeded() > 0 && self.tally.active.is_empty(),
        }
    }

    fn fail(&mut self, reason: &str, message: &str) {
        let now = self.facts.now;
        self.plan.end = self.tally.active.clone();
        if conditions::get(&self.status, FAILURE_TARGET).is_none() {
            conditions::set(&mut self.status, FAILURE_TARGET, "True", (reason, message), now);
        }
        if self.is_quiet() {
            conditions::set(&mut self.status, FAILED, "True", (reason, message), now);
            self.note(true, failure_reason(reason), message);
        }
    }

    fn succeed(&mut self) {
        let now = self.facts.now;
        let why = ("CompletionsReached", "Reached expected number of succeeded pods");
        self.plan.withdraw = self.tally.active.clone();
        if conditions::get(&self.status, SUCCESS_CRITERIA_MET).is_none() {
            conditions::set(&mut self.status, SUCCESS_CRITERIA_MET, "True", why, now);
        }
        if self.is_quiet() {
            conditions::set(&mut self.status, COMPLETE, "True", why, now);
            self.status.completion_time = Some(Time(now));
            self.note(false, "Completed", "Job completed");
        }
    }

    /// Every pod has ended and is counted: nothing about the Job will change any more.
    fn is_quiet(&self) -> bool {
        self.tally.active.is_empty() && self.tally.terminating == 0 && self.tally.is_settled()
    }

    fn write(mut self) -> Plan<'a> {
        self.tally.fill(&mut self.status);
        let value = |status: &JobStatus| serde_json::to_value(status).unwrap_or_default();
        let old = self.facts.job.status.clone().unwrap_or_default();
        self.plan.status = crate::deployment::difference(&value(&old), &value(&self.status));
        self.plan.untrack = std::mem::take(&mut self.tally.listed);
        self.plan
    }
}

/// Reasons of events are words of this program.
fn failure_reason(reason: &str) -> &'static str {
    match reason {
        "BackoffLimitExceeded" => "BackoffLimitExceeded",
        "DeadlineExceeded" => "DeadlineExceeded",
        _ => "Failed",
    }
}

#[cfg(test)]
mod tests;
