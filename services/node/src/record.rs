//! What is kept on disk about a Pod, so that a restarted agent finds its containers and counts on.
//!
//! A record is replaced by rename and never written in place, so a crash of the agent leaves the old or the new one.
//! After a loss of power nothing runs any more; then a missing or torn record costs nothing but the wish to read it:
//! the status last written to the API says the rest.

mod keeper;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use lifecycle::pod::{
    Backoff, ContainerFacts, Exit, Facts, Hook, Image, Running, Stage, State, StopCause, Stopping, Verdict,
};
use runtime::Driver;
use serde::{Deserialize, Serialize};

use crate::work::start;

pub(crate) use keeper::{Keeper, Page};

/// The version of the format; another one is not read.
const VERSION: u32 = 1;

/// One Pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    version: u32,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) driver: Driver,
    /// The address slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) slot: Option<u16>,
    /// The run of the gVisor pause container, if the Pod has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause_run: Option<u32>,
    /// The same of one that was started under its former name, which a container of the Pod could have, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<u32>,
    #[serde(default)]
    accepted_at: Option<Timestamp>,
    #[serde(default)]
    verdict: Option<(String, String)>,
    containers: BTreeMap<String, Container>,
    /// How often the runtime was asked to start each container, failed tries included: names directories and ids.
    #[serde(default)]
    runs: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    state: Stored,
    restarts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Ended>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backoff: Option<(u64, Timestamp)>,
    #[serde(default)]
    hook_done: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
enum Stored {
    Idle,
    Starting { image: String, image_id: String },
    Running(Run),
    Stopping { run: Run, since: Timestamp, grace: u64, pod_ends: bool },
    Exited(Ended),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    id: String,
    image: String,
    image_id: String,
    started_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    id: String,
    image_id: String,
    code: i32,
    signal: i32,
    reason: String,
    message: String,
    started_at: Option<Timestamp>,
    finished_at: Timestamp,
}

// === impl Record ===

impl Record {
    /// The record of a Pod of which nothing is known yet.
    pub(crate) fn new(namespace: &str, name: &str, driver: Driver) -> Self {
        Self {
            version: VERSION,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            driver,
            slot: None,
            pause_run: None,
            pause: None,
            accepted_at: None,
            verdict: None,
            containers: BTreeMap::new(),
            runs: BTreeMap::new(),
        }
    }

    /// Takes over what has to survive of the facts. `images` are the images as the spec names them.
    pub(crate) fn update(&mut self, facts: &Facts, images: &BTreeMap<String, String>) {
        self.accepted_at = facts.accepted_at;
        self.verdict = facts.verdict.clone().map(|verdict| (verdict.reason, verdict.message));
        let entries = facts.containers.iter();
        self.containers =
            entries.map(|(name, facts)| (name.clone(), Container::of(facts, images.get(name)))).collect();
    }

    /// The number of the present or last run of a container.
    pub(crate) fn run_of(&self, container: &str) -> u32 {
        self.runs.get(container).copied().unwrap_or_default()
    }

    /// The runtime's ids of all containers that may exist.
    pub(crate) fn ids(&self, uid: &str) -> Vec<String> {
        let runs = self.runs.iter().map(|(name, run)| runtime::container_id(uid, name, *run));
        let pause = self.pause().map(|(name, run)| runtime::container_id(uid, name, run));
        runs.chain(pause).collect()
    }

    /// Name and run of the pause container.
    pub(crate) fn pause(&self) -> Option<(&'static str, u32)> {
        let former = self.pause.map(|run| (start::FORMER_PAUSE, run));
        self.pause_run.map(|run| (start::PAUSE, run)).or(former)
    }

    /// Counts one more pause container; its number is one that none of this Pod had before.
    pub(crate) fn next_pause(&mut self) {
        self.pause_run = Some(self.runs.values().sum());
        self.pause = None;
    }

    /// Counts one more run.
    pub(crate) fn next_run(&mut self, container: &str) -> u32 {
        let run = self.runs.entry(container.to_owned()).or_default();
        *run += 1;
        *run
    }

    /// The facts as far as they were kept. Containers that ran are `Running`: whether they still do is for the runtime to say.
    pub(crate) fn facts(&self) -> Facts {
        let containers =
            self.containers.iter().map(|(name, stored)| (name.clone(), stored.facts())).collect();
        let verdict = self.verdict.clone().map(|(reason, message)| Verdict { reason, message });
        Facts { accepted_at: self.accepted_at, verdict, containers, ..Facts::default() }
    }

    /// Reads a record. A missing or torn one, or one of another version, is none.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (record.version == VERSION).then_some(record)
    }

    /// Replaces the record. The directory must exist.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let bytes = serde_json::to_vec(self)?;
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&bytes)?;
        drop(file);
        fs::rename(fresh, path)
    }
}

// === impl Container ===

impl Container {
    fn of(facts: &ContainerFacts, image: Option<&String>) -> Self {
        Self {
            state: Stored::of(facts, image),
            restarts: facts.restarts,
            last: facts.last.as_ref().map(Ended::of),
            backoff: facts.backoff.map(|backoff| (backoff.delay.as_secs(), backoff.updated)),
            hook_done: facts.post_start == Hook::Done,
        }
    }

    fn facts(&self) -> ContainerFacts {
        let backoff =
            self.backoff.map(|(delay, updated)| Backoff { delay: Duration::from_secs(delay), updated });
        ContainerFacts {
            state: self.state.facts(),
            restarts: self.restarts,
            last: self.last.as_ref().map(Ended::facts),
            backoff,
            post_start: if self.hook_done { Hook::Done } else { Hook::Pending },
            ..ContainerFacts::default()
        }
    }
}

// === impl Stored ===

impl Stored {
    fn of(facts: &ContainerFacts, image: Option<&String>) -> Self {
        match &facts.state {
            State::Idle | State::Unmade(_) => Self::Idle,
            State::Starting => {
                let image_id = match &facts.image {
                    Stage::Ready(Image { id }) => id.clone(),
                    Stage::Absent | Stage::Failed(_) => String::new(),
                };
                Self::Starting { image: image.cloned().unwrap_or_default(), image_id }
            }
            State::Running(run) => Self::Running(Run::of(run)),
            State::Stopping(stopping) => Self::Stopping {
                run: Run::of(&stopping.run),
                since: stopping.since,
                grace: stopping.grace.as_secs(),
                pod_ends: stopping.cause == StopCause::PodEnds,
            },
            State::Exited(exit) => Self::Exited(Ended::of(exit)),
        }
    }

    fn facts(&self) -> State {
        match self {
            Self::Idle => State::Idle,
            Self::Starting { image, image_id } => State::Running(Running {
                id: String::new(),
                image: image.clone(),
                image_id: image_id.clone(),
                started_at: Timestamp::UNIX_EPOCH,
            }),
            Self::Running(run) => State::Running(run.facts()),
            Self::Stopping { run, since, grace, pod_ends } => State::Stopping(Stopping {
                run: run.facts(),
                since: *since,
                grace: Duration::from_secs(*grace),
                cause: if *pod_ends { StopCause::PodEnds } else { StopCause::Changed },
            }),
            Self::Exited(ended) => State::Exited(ended.facts()),
        }
    }
}

// === impl Run ===

impl Run {
    fn of(run: &Running) -> Self {
        let Running { id, image, image_id, started_at } = run.clone();
        Self { id, image, image_id, started_at }
    }

    fn facts(&self) -> Running {
        let Self { id, image, image_id, started_at } = self.clone();
        Running { id, image, image_id, started_at }
    }
}

// === impl Ended ===

impl Ended {
    fn of(exit: &Exit) -> Self {
        let Exit { id, image_id, code, signal, reason, message, started_at, finished_at } = exit.clone();
        Self { id, image_id, code, signal, reason, message, started_at, finished_at }
    }

    fn facts(&self) -> Exit {
        let Self { id, image_id, code, signal, reason, message, started_at, finished_at } = self.clone();
        Exit { id, image_id, code, signal, reason, message, started_at, finished_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut facts = Facts { accepted_at: Some(now), ..Facts::default() };
        let run = Running {
            id: "runc://1".into(),
            image: "i".into(),
            image_id: "sha256:1".into(),
            started_at: now,
        };
        let entry = facts.entry("app");
        entry.begin_start(now);
        entry.started(run.clone());
        entry.exited(Exit { code: 3, ..Exit::unseen(Some("runc://1"), now) }, false);
        entry.begin_start(now);
        entry.started(run);
        facts.entry("idle").begin_start(now);
        facts
    }

    #[test]
    fn what_is_written_is_read_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        let mut record = Record::new("ns", "p", Driver::Runc);
        record.slot = Some(7);
        record.update(&facts(), &BTreeMap::from([("idle".to_owned(), "i:2".to_owned())]));
        record.write(&path).unwrap();
        let read = Record::read(&path).unwrap();
        assert_eq!(read, record);
        let (kept, known) = (read.facts(), facts());
        assert_eq!(kept.containers["app"].state, known.containers["app"].state);
        assert_eq!(kept.containers["app"].last, known.containers["app"].last);
        assert_eq!(kept.containers["app"].backoff, known.containers["app"].backoff);
        assert_eq!(kept.containers["app"].restarts, 1);
        assert!(matches!(&kept.containers["idle"].state, State::Running(run) if run.image == "i:2"));
    }

    /// Kubernetes allows any DNS label as a container's name, "pause" included.
    #[test]
    fn a_container_named_pause_is_not_the_pause_container() {
        let mut record = Record::new("ns", "p", Driver::Runsc);
        record.next_run("pause");
        record.next_pause();
        let ids: std::collections::BTreeSet<_> = record.ids("u").into_iter().collect();
        assert_eq!(ids.len(), 2, "{ids:?}");
    }

    #[test]
    fn a_pause_container_of_the_former_name_is_found_until_a_new_one_is_made() {
        let old = br#"{"version":1,"namespace":"ns","name":"p","driver":"runsc","pause":3,"containers":{},"runs":{"app":3}}"#;
        let mut record: Record = serde_json::from_slice(old).unwrap();
        assert_eq!(record.pause(), Some(("pause", 3)));
        assert!(record.ids("u").contains(&runtime::container_id("u", "pause", 3)));
        record.next_run("app");
        record.next_pause();
        assert_eq!(record.pause(), Some((".pause", 4)));
    }

    #[test]
    fn a_torn_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        fs::write(&path, b"{\"version\":1,\"na").unwrap();
        assert_eq!(Record::read(&path), None);
        assert_eq!(Record::read(&dir.path().join("missing")), None);
    }
}
