//! What was acknowledged about one Sandbox, and what follows for what the server says later.

use crate::storm::{Disk, Seen};
use crd::v1beta1::{OperatingMode, Sandbox};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// What a Sandbox was last asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Deleted, or never created.
    Absent,
    /// In mode Running.
    Running,
    /// In mode Suspended.
    Suspended,
}

/// A change that a client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Creates it, Running.
    Create,
    /// To mode Running.
    Resume,
    /// To mode Suspended.
    Suspend,
    /// Deletes it.
    Delete,
}

// === impl Verb ===

impl Verb {
    /// What the Sandbox is to be afterwards.
    pub fn goal(self) -> Wanted {
        match self {
            Self::Create | Self::Resume => Wanted::Running,
            Self::Suspend => Wanted::Suspended,
            Self::Delete => Wanted::Absent,
        }
    }
}

/// A change that is not known to be carried out yet.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// What is changed.
    pub verb: Verb,
    /// Whether the server said that it is written.
    pub acknowledged: bool,
}

/// How far a command in a sandbox got, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exec {
    /// The request is under way.
    Connecting,
    /// The stream is open.
    Connected,
    /// The first line arrived.
    Began,
    /// The last line arrived; the exit code did not.
    Printed,
}

/// Which process a sandbox is, so that another one in its place is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pod: String,
    container: String,
    started: String,
    restarts: i32,
    pid: i64,
    ticks: String,
}

/// One Sandbox and its one writer's knowledge of it.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its name, never used twice.
    pub name: String,
    /// Its RuntimeClass.
    pub class: &'static str,
    /// Whether it keeps its note on a volume (else in its writable layer).
    pub volume: bool,
    /// Known once it was created.
    pub uid: Option<String>,
    /// What the server may say of it. More than one state only after a lost reply.
    pub may_be: Vec<Wanted>,
    /// Generation of the last acknowledged write.
    pub generation: i64,
    /// The last change, until it was seen carried out.
    pub change: Option<Change>,
    /// What its note may hold. More than one text only after a lost reply.
    pub notes: Vec<String>,
    /// The command that runs in it.
    pub exec: Option<Exec>,
    /// The process that has to stay the same until the client changes something.
    pub kept: Option<Identity>,
}

// === impl Slot ===

impl Slot {
    /// A Sandbox that does not exist yet.
    pub fn new(name: String, class: &'static str, volume: bool) -> Self {
        Self {
            name,
            class,
            volume,
            uid: None,
            may_be: vec![Wanted::Absent],
            generation: 0,
            change: None,
            notes: vec![String::new()],
            exec: None,
            kept: None,
        }
    }

    /// What it certainly is, if that is certain.
    pub fn certain(&self) -> Option<Wanted> {
        match self.may_be[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// A request leaves: its effect is possible from now on.
    pub fn send(&mut self, verb: Verb) {
        self.may_be.push(verb.goal());
        self.change = Some(Change { verb, acknowledged: false });
        self.kept = None;
    }

    /// The server said that it is written.
    pub fn acknowledged(&mut self, verb: Verb, uid: Option<String>, generation: i64) {
        self.may_be = vec![verb.goal()];
        self.change = Some(Change { verb, acknowledged: true });
        self.uid = self.uid.take().or(uid);
        self.generation = self.generation.max(generation);
    }

    /// Holds what the server says after a restart against what was acknowledged, and removes doubts.
    ///
    /// # Errors
    /// An acknowledged write is not there.
    pub fn settle(&mut self, found: Option<&Sandbox>) -> Result<(), String> {
        let found = found.filter(|sandbox| sandbox.metadata.deletion_timestamp.is_none());
        let is = match found.map(|sandbox| sandbox.spec.operating_mode.unwrap_or_default()) {
            None => Wanted::Absent,
            Some(OperatingMode::Running) => Wanted::Running,
            Some(OperatingMode::Suspended) => Wanted::Suspended,
        };
        if !self.may_be.contains(&is) {
            return Err(format!(
                "{}: acknowledged as {:?}, and after the restart it is {is:?}",
                self.name, self.may_be
            ));
        }
        let uid = found.and_then(|sandbox| sandbox.metadata.uid.clone());
        if let (Some(known), Some(uid)) = (&self.uid, &uid)
            && known != uid
        {
            return Err(format!("{}: another object has its name", self.name));
        }
        self.uid = self.uid.take().or(uid);
        self.generation = self.generation.max(found.and_then(|s| s.metadata.generation).unwrap_or_default());
        self.may_be = vec![is];
        self.exec = None;
        self.change = match self.change {
            Some(change) if change.verb.goal() == is => Some(Change { acknowledged: true, ..change }),
            // The request was lost before it was written: what was wanted before still is, and may be under way.
            Some(_) => Some(Change {
                verb: match is {
                    Wanted::Absent => Verb::Delete,
                    Wanted::Running => Verb::Resume,
                    Wanted::Suspended => Verb::Suspend,
                },
                acknowledged: true,
            }),
            None => None,
        };
        Ok(())
    }

    /// Whether the last change is carried out. Forgets it then.
    pub fn arrived(&mut self, seen: &Seen, disk: &Disk) -> bool {
        let sandbox = seen.sandboxes.get(&self.name);
        let holds = |kind: &str| {
            sandbox.is_some_and(|sandbox| {
                let generation = sandbox.metadata.generation.unwrap_or_default();
                let status = sandbox.status.as_ref();
                let condition = status.and_then(|status| status.condition(kind));
                generation >= self.generation
                    && condition
                        .is_some_and(|c| c.status == "True" && c.observed_generation == Some(generation))
            })
        };
        let pod = seen.pods.contains_key(&self.name);
        let there = match self.certain() {
            None => false,
            Some(Wanted::Running) => holds(crd::conditions::READY),
            Some(Wanted::Suspended) => holds(crd::conditions::SUSPENDED) && !pod,
            Some(Wanted::Absent) => sandbox.is_none() && !pod && !disk.keeps_files_of(self.uid.as_deref()),
        };
        if there {
            self.change = None;
        }
        there
    }

    /// Which process it is, if it is Ready and nobody is changing it.
    pub fn identify(&self, seen: &Seen, disk: &Disk) -> Option<Identity> {
        if self.change.is_some() || self.certain() != Some(Wanted::Running) {
            return None;
        }
        Identity::of(seen.pods.get(&self.name)?, disk)
    }
}

// === impl Identity ===

impl Identity {
    /// Of a Pod with one running container.
    pub fn of(pod: &Pod, disk: &Disk) -> Option<Self> {
        let uid = pod.metadata.uid.clone()?;
        let status = only_container(pod)?;
        let running = status.state.as_ref()?.running.as_ref()?;
        let pid = disk.pid(&uid)?;
        Some(Self {
            pod: uid,
            container: status.container_id.clone()?,
            started: format!("{:?}", running.started_at),
            restarts: status.restart_count,
            pid,
            ticks: start_ticks(pid)?,
        })
    }
}

/// The status of a Pod's one container.
pub(crate) fn only_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// When a process started, in ticks since boot: with its number, its identity.
fn start_ticks(pid: i64) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19).map(str::to_owned)
}
