//! What has been done for a Pod and seen of it, and how each outcome changes that.
//!
//! The node agent keeps the durable part of this in its Pod record; probe counters are rebuilt after a restart from
//! the status last written.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::Backoff;
use super::probe::Counter;
use super::spec::{Container as ContainerSpec, ProbeKind};

/// Everything known of one Pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// When this node took the Pod on: `status.startTime`.
    pub accepted_at: Option<Timestamp>,
    /// Whether the runtime that the Pod asks for can run it; a failure is shown and tried again.
    pub runtime: Stage<()>,
    /// The network.
    pub network: Stage<Network>,
    /// The volumes.
    pub volumes: Stage<()>,
    /// When files made from objects were last made anew; none if that is due.
    pub projected_at: Option<Timestamp>,
    /// The containers by name; one that is missing is idle.
    pub containers: BTreeMap<String, Container>,
    /// The Pod has failed for good, whatever its containers say.
    pub verdict: Option<Verdict>,
    /// What an evicted Pod had on the disk is gone.
    pub freed: bool,
    /// Directories and records are gone.
    pub cleaned: bool,
}

/// Something that is made once.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage<T> {
    /// Not there.
    #[default]
    Absent,
    /// There.
    Ready(T),
    /// It could not be made.
    Failed(Failure),
}

/// Why something could not be made, and how often it was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The waiting reason shown.
    pub reason: String,
    /// In plain words, with the fix.
    pub message: String,
    /// Attempts that failed in a row, at least 1.
    pub count: u32,
    /// When the last one failed.
    pub at: Timestamp,
}

/// The Pod's addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// The first is `podIP`.
    pub ips: Vec<String>,
}

/// An image on this machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// What `imageID` says.
    pub id: String,
}

/// Why the Pod failed as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// `status.reason`.
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

/// Everything known of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its image.
    pub image: Stage<Image>,
    /// How far the pull that is under way has come, in words; empty if none is or nothing is known yet.
    pub pulling: String,
    /// Where it stands.
    pub state: State,
    /// How often it was started after the first time.
    pub restarts: u32,
    /// How the run before the present one ended.
    pub last: Option<Exit>,
    /// The delay before the next restart.
    pub backoff: Option<Backoff>,
    /// Starts that failed in a row.
    pub failed_starts: u32,
    /// The postStart hook of the present run.
    pub post_start: Hook,
    /// The startup probe's results.
    pub startup: Counter,
    /// The readiness probe's results.
    pub readiness: Counter,
    /// The liveness probe's results.
    pub liveness: Counter,
}

/// Where a container stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// It has never run.
    #[default]
    Idle,
    /// The runtime is starting it.
    Starting,
    /// It runs.
    Running(Running),
    /// It was told to stop and still runs.
    Stopping(Stopping),
    /// It has ended.
    Exited(Exit),
    /// It could not be made; nothing of it exists.
    Unmade(Failure),
}

/// A run under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// `<runtime>://<id>`.
    pub id: String,
    /// The image it was started from, as the spec had it.
    pub image: String,
    /// What `imageID` says.
    pub image_id: String,
    /// When its process began.
    pub started_at: Timestamp,
}

/// A run that is being ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopping {
    /// The run.
    pub run: Running,
    /// When it was told.
    pub since: Timestamp,
    /// How long it may take from then.
    pub grace: Duration,
    /// Why.
    pub cause: StopCause,
}

/// Why a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The Pod ends: deleted, failed, or its other containers are done.
    PodEnds,
    /// A probe failed for good.
    Probe(ProbeKind),
    /// Its postStart hook failed.
    Hook,
    /// Its image was changed in the spec.
    Changed,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// The run's id; empty if nothing ever ran.
    pub id: String,
    /// What `imageID` says.
    pub image_id: String,
    /// The exit code, 128 + n after signal n.
    pub code: i32,
    /// The signal that killed it, 0 for none.
    pub signal: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, ...
    pub reason: String,
    /// The termination message.
    pub message: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// A postStart hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hook {
    /// Not run yet, or there is none.
    #[default]
    Pending,
    /// It succeeded.
    Done,
    /// It failed, and its container has to go.
    Failed,
}

// === impl Facts ===

impl Facts {
    /// What is known of this container.
    pub fn container(&self, name: &str) -> Container {
        self.containers.get(name).cloned().unwrap_or_default()
    }

    /// Where this container stands.
    pub fn state(&self, name: &str) -> &State {
        self.containers.get(name).map_or(&State::Idle, |container| &container.state)
    }

    /// The entry to record an outcome in.
    pub fn entry(&mut self, name: &str) -> &mut Container {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// Whether anything was ever made for this Pod here, so that there is a last status to write.
    pub fn touched(&self) -> bool {
        !matches!(self.network, Stage::Absent)
            || self.verdict.is_some()
            || self.containers.values().any(|container| container.state != State::Idle)
    }

    /// Whether any of its processes may be alive.
    pub fn active(&self) -> bool {
        self.containers.values().any(Container::active)
    }
}

// === impl Stage ===

impl<T> Stage<T> {
    /// The thing, if it is there.
    pub fn ready(&self) -> Option<&T> {
        match self {
            Self::Ready(thing) => Some(thing),
            Self::Absent | Self::Failed(_) => None,
        }
    }

    /// The last failure.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Absent | Self::Ready(_) => None,
        }
    }

    /// Records one more failure.
    pub fn fail(&mut self, reason: impl Into<String>, message: impl Into<String>, now: Timestamp) {
        let count = self.failure().map_or(1, |failure| failure.count.saturating_add(1));
        *self = Self::Failed(Failure { reason: reason.into(), message: message.into(), count, at: now });
    }
}

// === impl Container ===

impl Container {
    /// Whether its process may be alive.
    pub fn active(&self) -> bool {
        matches!(self.state, State::Starting | State::Running(_) | State::Stopping(_))
    }

    /// How the latest run ended, if none is under way.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }

    /// The run under way.
    pub fn run(&self) -> Option<&Running> {
        match &self.state {
            State::Running(run) | State::Stopping(Stopping { run, .. }) => Some(run),
            _ => None,
        }
    }

    /// A start begins: the former run becomes the last one and the back-off grows.
    pub fn begin_start(&mut self, now: Timestamp) {
        if let State::Exited(exit) = std::mem::replace(&mut self.state, State::Starting) {
            self.backoff = Some(Backoff::next(self.backoff, exit.finished_at, now));
            self.restarts = self.restarts.saturating_add(1);
            self.last = Some(exit);
        }
        self.post_start = Hook::Pending;
        (self.startup, self.readiness, self.liveness) = Default::default();
    }

    /// The start succeeded.
    pub fn started(&mut self, run: Running) {
        self.failed_starts = 0;
        self.state = State::Running(run);
    }

    /// Nothing could be started, and nothing of it is left.
    pub fn unmade(&mut self, reason: impl Into<String>, message: impl Into<String>, now: Timestamp) {
        self.failed_starts = self.failed_starts.saturating_add(1);
        let (reason, message) = (reason.into(), message.into());
        self.state = State::Unmade(Failure { reason, message, count: self.failed_starts, at: now });
    }

    /// The container is told to stop. A later order may only shorten the time it has.
    pub fn begin_stop(&mut self, grace: Duration, cause: StopCause, now: Timestamp) {
        self.state = match std::mem::take(&mut self.state) {
            State::Running(run) => State::Stopping(Stopping { run, since: now, grace, cause }),
            State::Stopping(stopping) => {
                let deadline = (stopping.since + stopping.grace).min(now + grace);
                let grace = Duration::try_from(deadline.duration_since(stopping.since)).unwrap_or_default();
                State::Stopping(Stopping { grace, ..stopping })
            }
            other => other,
        };
    }

    /// The run ended. With `Always` the image is asked for again before the next one.
    pub fn exited(&mut self, exit: Exit, pull_again: bool) {
        if pull_again {
            self.image = Stage::Absent;
        }
        self.failed_starts = 0;
        self.state = State::Exited(exit);
    }

    /// The counter of one probe.
    pub fn counter(&mut self, kind: ProbeKind) -> &mut Counter {
        match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Readiness => &mut self.readiness,
            ProbeKind::Liveness => &mut self.liveness,
        }
    }

    /// Whether it runs as far as clients are told: its postStart hook has succeeded.
    pub fn visible_run(&self, spec: &ContainerSpec) -> Option<&Running> {
        match &self.state {
            State::Running(_) if spec.post_start && self.post_start != Hook::Done => None,
            _ => self.run(),
        }
    }

    /// Whether it runs and its startup probe, if any, has succeeded.
    pub fn is_started(&self, spec: &ContainerSpec) -> bool {
        self.visible_run(spec).is_some() && (spec.startup.is_none() || self.startup.verdict() == Some(true))
    }

    /// Whether it is started and its readiness probe, if any, says so.
    pub fn is_ready(&self, spec: &ContainerSpec) -> bool {
        self.is_started(spec) && (spec.readiness.is_none() || self.readiness.verdict() == Some(true))
    }
}
