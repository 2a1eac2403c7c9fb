//! The status of a Deployment, and whether its rollout makes progress.

use super::conditions::{self, COMPLETE, PROGRESSING, REPLICA_FAILURE, TIMED_OUT};
use super::work::{Draft, Work};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSetCondition};

use std::time::Duration;

// === impl Work ===

impl Work<'_> {
    /// The numbers.
    pub(super) fn fill_status(&mut self) {
        let some = |count: i32| (count != 0).then_some(count);
        let (available, total) = (self.sum(Draft::available), self.sum(Draft::before));
        let updated = self.new.map_or(0, |at| self.sets[at].actual());
        let terminating = |set: &Draft| {
            set.object.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or(0)
        };
        self.status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: some(self.sum(Draft::actual)),
            updated_replicas: some(updated),
            ready_replicas: some(self.sum(Draft::ready)),
            available_replicas: some(available),
            unavailable_replicas: some((total - available).max(0)),
            terminating_replicas: Some(self.sum(terminating)),
            collision_count: self.status.collision_count,
            conditions: self.status.conditions.take(),
        };
    }

    /// Status, reason and message of Available.
    pub(super) fn availability(&self) -> (&'static str, &'static str, &'static str) {
        if self.sum(Draft::available) >= self.wanted() - self.missing() {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        }
    }

    /// Whether a status says that all pods are of the newest template, and none else is left.
    pub(super) fn is_complete(&self, status: &DeploymentStatus) -> bool {
        let wanted = self.wanted();
        let all = [status.updated_replicas, status.replicas, status.available_replicas];
        all.iter().all(|count| count.unwrap_or(0) == wanted)
            && status.observed_generation.unwrap_or(0) >= self.deployment.metadata.generation.unwrap_or(0)
    }

    /// Says how the rollout is doing.
    pub(super) fn track_progress(&mut self) {
        let old = self.deployment.status.clone().unwrap_or_default();
        self.fill_status();
        let known = conditions::get(&self.status, PROGRESSING).cloned();
        let reason = known.as_ref().and_then(|condition| condition.reason.as_deref());
        let finished = self.status.replicas == self.status.updated_replicas && reason == Some(COMPLETE);
        if !self.has_deadline() {
            conditions::remove(&mut self.status, PROGRESSING);
        } else if !finished {
            self.judge(&old, known);
        }
        self.pass_on_failures();
    }

    fn judge(&mut self, old: &DeploymentStatus, known: Option<DeploymentCondition>) {
        let subject = match self.new {
            Some(at) => format!("ReplicaSet \"{}\"", self.sets[at].name()),
            None => {
                format!("Deployment \"{}\"", self.deployment.metadata.name.as_deref().unwrap_or_default())
            }
        };
        if self.is_complete(&self.status) {
            self.progress("True", COMPLETE, format!("{subject} has successfully progressed."));
        } else if progressed(old, &self.status) {
            let message = format!("{subject} is progressing.");
            let mut condition = conditions::new(PROGRESSING, "True", "ReplicaSetUpdated", message, self.now);
            // Replaced also under the same reason: its time of update is what the deadline counts from.
            if let Some(known) = known.filter(|known| known.status.as_deref() == Some("True")) {
                condition.last_transition_time = known.last_transition_time;
            }
            conditions::remove(&mut self.status, PROGRESSING);
            conditions::set(&mut self.status, condition);
        } else if self.is_late() {
            self.progress("False", TIMED_OUT, format!("{subject} has timed out progressing."));
        }
    }

    /// When the rollout will be late, counted from the last progress.
    fn deadline(&self) -> Option<Timestamp> {
        let known = conditions::get(&self.status, PROGRESSING)?;
        if known.reason.as_deref() == Some(COMPLETE) {
            return None;
        }
        let seconds = i64::from(self.spec.progress_deadline_seconds?);
        known.last_update_time.as_ref()?.0.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn is_late(&self) -> bool {
        let said = conditions::get(&self.status, PROGRESSING).and_then(|known| known.reason.as_deref());
        said == Some(TIMED_OUT) || self.deadline().is_some_and(|deadline| deadline < self.now)
    }

    /// How long until a rollout that does nothing is late.
    pub(super) fn stuck_at(&self) -> Option<Duration> {
        let said = conditions::get(&self.status, PROGRESSING).and_then(|known| known.reason.as_deref());
        if !self.has_deadline()
            || self.is_paused()
            || said == Some(TIMED_OUT)
            || self.is_complete(&self.status)
        {
            return None;
        }
        let left = Duration::try_from(self.deadline()?.duration_since(self.now)).unwrap_or_default();
        Some(left + Duration::from_secs(1))
    }

    /// What keeps the sets from making pods: the newest set's words first.
    fn pass_on_failures(&mut self) {
        let newest = self.new.into_iter().chain(self.all());
        let found = newest.into_iter().find_map(|at| failure(&self.sets[at]));
        match found {
            Some(condition) => conditions::set(&mut self.status, condition),
            None => conditions::remove(&mut self.status, REPLICA_FAILURE),
        }
    }
}

fn failure(set: &Draft) -> Option<DeploymentCondition> {
    let conditions = set.object.status.as_ref()?.conditions.as_ref()?;
    let known = conditions.iter().find(|condition| condition.type_.as_deref() == Some(REPLICA_FAILURE))?;
    let ReplicaSetCondition { status, reason, message, last_transition_time, .. } = known.clone();
    let update = last_transition_time.clone();
    Some(DeploymentCondition {
        type_: Some(REPLICA_FAILURE.to_owned()),
        status,
        reason,
        message,
        last_transition_time,
        last_update_time: update,
    })
}

/// More pods of the new template, fewer of old ones, or more that are ready or available.
fn progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |count: Option<i32>| count.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}
