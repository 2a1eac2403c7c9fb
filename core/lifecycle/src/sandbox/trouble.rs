//! What a failed request means for what clients see.
//!
//! An answer that will stay the same is told at once. One that may pass is told only after it has not passed for a
//! while, so that a moment of overload alarms nobody and an outage is not hidden. What was told stays told, in the same
//! words, until the requests succeed: an error that comes and goes with the way it fails would help nobody.

use super::{Failure, Snapshot, Subject, status};
use crd::conditions::{READY, reason};
use jiff::Timestamp;
use std::time::Duration;

/// A failure that may pass is told after this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests about one subject that fail in every pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    subject: Subject,
    /// When the first of them failed.
    since: Timestamp,
    /// What clients were told of it.
    told: Option<String>,
    /// Whether it began with nothing remembered, so that an error in the status may be an earlier controller's about the
    /// same failure.
    inherits: bool,
}

// === impl Snapshot ===

impl Snapshot {
    /// What clients are told about failed requests about `subject`; none while they may still pass.
    pub(super) fn told(&self, subject: Subject, now: Timestamp) -> Option<String> {
        let failures = || self.failures.iter().filter(move |failure| failure.subject == subject);
        let lasting: Vec<&Failure> = failures().filter(|failure| failure.lasting).collect();
        if !lasting.is_empty() {
            return Some(join(&lasting));
        }
        let all: Vec<&Failure> = failures().collect();
        if all.is_empty() {
            return None;
        }
        let trouble = self.trouble(subject);
        if let Some(told) = trouble.and_then(|trouble| trouble.told.clone()) {
            return Some(told);
        }
        if self.patience(subject, now).is_zero() {
            return Some(join(&all));
        }
        self.inherits(trouble).then(|| self.stored_error()).flatten()
    }

    /// What clients are told of failures and of a spec that cannot be read, or would be if the status could be written.
    pub fn standing(&self, now: Timestamp) -> Vec<String> {
        let told = Subject::ALL.into_iter().filter_map(|subject| self.told(subject, now));
        self.unreadable.clone().into_iter().chain(told).collect()
    }

    /// Time until the next failure that is kept back has to be told.
    pub(super) fn until_told(&self, now: Timestamp) -> Option<Duration> {
        let subjects = self.failures.iter().filter(|failure| !failure.lasting).map(|failure| failure.subject);
        subjects.map(|subject| self.patience(subject, now)).filter(|left| !left.is_zero()).min()
    }

    /// What fails, for the next pass to know.
    pub(super) fn troubles(&self, now: Timestamp) -> Vec<Trouble> {
        let subjects = Subject::ALL.into_iter().filter(|subject| self.failed(*subject));
        let trouble = |subject| {
            let before = self.trouble(subject);
            let since = before.map_or(now, |trouble| trouble.since);
            let inherits = self.inherits(before);
            let told = self
                .told(subject, now)
                .filter(|told| !inherits || Some(told) != self.stored_error().as_ref());
            Trouble { subject, since, told, inherits }
        };
        subjects.map(trouble).collect()
    }

    fn trouble(&self, subject: Subject) -> Option<&Trouble> {
        self.memory.troubles.iter().find(|trouble| trouble.subject == subject)
    }

    fn inherits(&self, trouble: Option<&Trouble>) -> bool {
        trouble.map_or_else(|| self.memory == super::Memory::default(), |trouble| trouble.inherits)
    }

    /// What is left of the patience with `subject`. A beginning in the future (the clock was set) counts as just now.
    fn patience(&self, subject: Subject, now: Timestamp) -> Duration {
        let since = self.trouble(subject).map_or(now, |trouble| trouble.since);
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        PATIENCE.saturating_sub(passed)
    }

    /// The error that the status tells.
    fn stored_error(&self) -> Option<String> {
        let ready = self.sandbox.status.as_ref()?.condition(READY)?;
        let error = ready.message.strip_prefix(status::ERROR_SEEN)?;
        (ready.reason == reason::RECONCILER_ERROR).then(|| error.to_owned())
    }
}

fn join(failures: &[&Failure]) -> String {
    failures.iter().map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("\n")
}
