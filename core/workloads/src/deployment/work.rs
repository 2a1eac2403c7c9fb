//! A pass in the making: the sets as they will be, the status as it will be.

use super::conditions::{self, AVAILABLE, PROGRESSING};
use super::{Change, Facts, Step, revision, template};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use serde_json::{Value, json};
use std::time::Duration;

/// How many pods each set is for, written on it when it is scaled.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A pass.
pub(super) struct Work<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) spec: DeploymentSpec,
    pub(super) facts: &'a Facts<'a>,
    /// By age.
    pub(super) sets: Vec<Draft>,
    /// The set of the template, as a place in `sets`.
    pub(super) new: Option<usize>,
    /// The status so far.
    pub(super) status: DeploymentStatus,
    pub(super) revision: Option<String>,
    pub(super) deleted: Vec<String>,
    pub(super) now: Timestamp,
}

/// A set and what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// As it is; as it will be made if it does not exist.
    pub(super) object: ReplicaSet,
    pub(super) exists: bool,
    pub(super) replicas: i32,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) min_ready: Option<i32>,
}

// === impl Draft ===

impl Draft {
    pub(super) fn new(object: ReplicaSet, exists: bool) -> Draft {
        let replicas = crate::replica_set::wanted(&object);
        Draft { object, exists, replicas, annotations: Vec::new(), min_ready: None }
    }

    pub(super) fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        let drafted = self.annotations.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
        drafted.or_else(|| self.object.metadata.annotations.as_ref()?.get(name)).map(String::as_str)
    }

    /// Writes an annotation; whether that changes anything.
    pub(super) fn annotate(&mut self, name: &str, value: &str) -> bool {
        let changes = self.annotation(name) != Some(value);
        if changes {
            self.annotations.push((name.to_owned(), value.to_owned()));
        }
        changes
    }

    /// Pods it was to have, before this pass.
    pub(super) fn before(&self) -> i32 {
        crate::replica_set::wanted(&self.object)
    }

    /// Pods it has.
    pub(super) fn actual(&self) -> i32 {
        self.object.status.as_ref().map_or(0, |status| status.replicas)
    }

    pub(super) fn ready(&self) -> i32 {
        self.object.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
    }

    pub(super) fn available(&self) -> i32 {
        self.object.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
    }

    pub(super) fn created(&self) -> Option<Timestamp> {
        self.object.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    fn step(mut self) -> Option<Step> {
        if !self.exists {
            let annotations = self.object.metadata.annotations.get_or_insert_default();
            annotations.extend(self.annotations);
            self.object.spec.replicas = Some(self.replicas);
            return Some(Step::Create(Box::new(self.object)));
        }
        let (name, before) = (self.name().to_owned(), self.before());
        let mut patch = json!({});
        if self.replicas != before {
            patch["spec"]["replicas"] = self.replicas.into();
        }
        if let Some(seconds) = self.min_ready {
            patch["spec"]["minReadySeconds"] = seconds.into();
        }
        for (name, value) in self.annotations {
            patch["metadata"]["annotations"][name] = value.into();
        }
        let scaled = (self.replicas != before).then_some((before, self.replicas));
        let changed = patch.as_object().is_some_and(|patch| !patch.is_empty());
        changed.then_some(Step::Update(Change { name, patch, scaled }))
    }
}

// === impl Work ===

impl<'a> Work<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Work<'a> {
        let deployment = facts.deployment;
        let mut sets: Vec<Draft> = facts.sets.iter().map(|set| Draft::new((*set).clone(), true)).collect();
        sets.sort_by(|a, b| (a.created(), a.name()).cmp(&(b.created(), b.name())));
        let spec = deployment.spec.clone();
        let status = deployment.status.clone().unwrap_or_default();
        let new = sets.iter().position(|set| template::is_of(&set.object, &spec));
        let (revision, deleted) = (None, Vec::new());
        Work { deployment, spec, facts, sets, new, status, revision, deleted, now: facts.now }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.spec.paused == Some(true)
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()).is_none_or(|t| t == "RollingUpdate")
    }

    /// Pods wanted.
    pub(super) fn wanted(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// Places of the sets of earlier templates, oldest first.
    pub(super) fn old(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|at| Some(*at) != self.new).collect()
    }

    /// Those of `places` that are to have pods.
    pub(super) fn active(&self, places: Vec<usize>) -> Vec<usize> {
        places.into_iter().filter(|at| self.sets[*at].replicas > 0).collect()
    }

    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.sets.len()).collect()
    }

    pub(super) fn sum(&self, of: impl Fn(&Draft) -> i32) -> i32 {
        self.sets.iter().map(of).sum()
    }

    /// Gives a set another size, and notes on it what it is a part of. Whether its size changes.
    pub(super) fn resize(&mut self, at: usize, replicas: i32) -> bool {
        let (desired, max) = (self.wanted(), self.wanted() + self.surge());
        let set = &mut self.sets[at];
        set.annotate(DESIRED, &desired.to_string());
        set.annotate(MAX, &max.to_string());
        let changes = set.replicas != replicas;
        set.replicas = replicas;
        changes
    }

    /// The number of pods the Deployment wanted when this set was scaled last.
    pub(super) fn desired_of(&self, at: usize) -> Option<i32> {
        self.sets[at].annotation(DESIRED)?.parse().ok()
    }

    pub(super) fn max_of(&self, at: usize) -> Option<i32> {
        self.sets[at].annotation(MAX)?.parse().ok()
    }

    /// Finds the set of the template and keeps its notes fresh; makes it if it may.
    pub(super) fn find_new(&mut self, make: bool) {
        let old = self.old();
        let next = old.iter().filter_map(|at| revision::of(&self.sets[*at])).max().unwrap_or(0) + 1;
        if let Some(at) = self.new {
            revision::refresh(self.deployment, &mut self.sets[at], next);
            let seconds = self.spec.min_ready_seconds.unwrap_or(0);
            let set = &mut self.sets[at];
            let has = set.object.spec.min_ready_seconds.unwrap_or(0);
            set.min_ready = (has != seconds).then_some(seconds);
            self.revision = set.annotation(revision::REVISION).map(str::to_owned);
            let name = set.name().to_owned();
            if self.has_deadline() && conditions::get(&self.status, PROGRESSING).is_none() {
                let message = format!("Found new replica set \"{name}\"");
                self.progress("True", "FoundNewReplicaSet", message);
            }
            return;
        }
        if make {
            self.make_new(next);
        }
    }

    fn make_new(&mut self, next: i64) {
        let mut draft = Draft::new(template::set_for(self.deployment, &self.spec), false);
        draft.replicas = 0;
        revision::refresh(self.deployment, &mut draft, next);
        let name = draft.name().to_owned();
        self.sets.push(draft);
        let at = self.sets.len() - 1;
        self.new = Some(at);
        let size = self.new_size();
        self.resize(at, size);
        self.sets[at].object.spec.replicas = Some(size);
        self.revision = Some(next.to_string());
        if self.has_deadline() {
            self.progress("True", "NewReplicaSetCreated", format!("Created new replica set \"{name}\""));
        }
    }

    pub(super) fn progress(&mut self, status: &str, reason: &str, message: String) {
        let condition = conditions::new(PROGRESSING, status, reason, message, self.now);
        conditions::set(&mut self.status, condition);
    }

    /// Says that it is paused or no longer is. A rollout that has timed out stays so.
    pub(super) fn note_pause(&mut self) {
        let known = conditions::get(&self.status, PROGRESSING).and_then(|c| c.reason.clone());
        let reason = known.as_deref().unwrap_or_default();
        if !self.has_deadline() || reason == conditions::TIMED_OUT {
            return;
        }
        match (self.is_paused(), reason == "DeploymentPaused") {
            (true, false) => {
                self.progress("Unknown", "DeploymentPaused", "Deployment is paused".to_owned());
            }
            (false, true) => {
                self.progress("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
            }
            _ => {}
        }
    }

    /// Ends the pass: the changes of the sets, and the status if it is another one.
    pub(super) fn tell(mut self) -> (Vec<Step>, Option<Duration>) {
        let old = self.deployment.status.clone().unwrap_or_default();
        self.fill_status();
        let available = self.availability();
        conditions::set(
            &mut self.status,
            conditions::new(AVAILABLE, available.0, available.1, available.2.to_owned(), self.now),
        );
        let again = self.stuck_at();
        let value = |status: &DeploymentStatus| serde_json::to_value(status).unwrap_or_default();
        let mut patch = json!({});
        if let Some(change) = super::difference(&value(&old), &value(&self.status)) {
            patch["status"] = change;
        }
        let known = self.deployment.metadata.annotations.as_ref().and_then(|all| all.get(revision::REVISION));
        if let Some(revision) = self.revision.take().filter(|revision| Some(revision) != known) {
            patch["metadata"]["annotations"][revision::REVISION] = revision.into();
        }
        let mut steps: Vec<Step> = self.sets.into_iter().filter_map(Draft::step).collect();
        steps.extend(self.deleted.into_iter().map(Step::Delete));
        if patch.as_object().is_some_and(|patch| !patch.is_empty()) {
            steps.push(Step::Status(patch));
        }
        (steps, again)
    }

    pub(super) fn has_deadline(&self) -> bool {
        self.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
    }
}

/// Whether a value holds nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
