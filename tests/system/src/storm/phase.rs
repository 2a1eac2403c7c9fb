//! In which phase of its change a Sandbox was when the agent died.

use crate::storm::{Exec, Seen, Slot, Verb};
use serde_json::Value;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// A phase of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Phase {
    /// create, resume, suspend, delete or exec.
    pub verb: &'static str,
    /// What is going on.
    pub name: &'static str,
}

// === impl Phase ===

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {}", self.verb, self.name)
    }
}

const REQUEST: &str = "request under way";
const NO_POD: &str = "accepted, no Pod seen";
const NOT_TAKEN: &str = "Pod not yet taken on by the node";
const PREPARING: &str = "network, volumes, image";
const STARTING: &str = "runtime starts the container";
const NOT_READY: &str = "container runs, not seen Ready";
const NOT_TOLD: &str = "accepted, Pod not seen told";
const STOPPING: &str = "container stopping";
const ENDED: &str = "container ended, Pod being cleared away";
const POD_GONE: &str = "Pod gone, not seen Suspended";
const FILES_LEFT: &str = "Pod gone, files left";
const CONNECTING: &str = "connecting";
const CONNECTED: &str = "connected, nothing printed";
const PRINTING: &str = "output under way";
const PRINTED: &str = "output complete, exit code outstanding";

/// Every phase.
pub const PHASES: &[Phase] = &[
    Phase { verb: "create", name: REQUEST },
    Phase { verb: "create", name: NO_POD },
    Phase { verb: "create", name: NOT_TAKEN },
    Phase { verb: "create", name: PREPARING },
    Phase { verb: "create", name: STARTING },
    Phase { verb: "create", name: NOT_READY },
    Phase { verb: "exec", name: CONNECTING },
    Phase { verb: "exec", name: CONNECTED },
    Phase { verb: "exec", name: PRINTING },
    Phase { verb: "exec", name: PRINTED },
    Phase { verb: "suspend", name: REQUEST },
    Phase { verb: "suspend", name: NOT_TOLD },
    Phase { verb: "suspend", name: STOPPING },
    Phase { verb: "suspend", name: ENDED },
    Phase { verb: "suspend", name: POD_GONE },
    Phase { verb: "resume", name: REQUEST },
    Phase { verb: "resume", name: NO_POD },
    Phase { verb: "resume", name: NOT_TAKEN },
    Phase { verb: "resume", name: PREPARING },
    Phase { verb: "resume", name: STARTING },
    Phase { verb: "resume", name: NOT_READY },
    Phase { verb: "delete", name: REQUEST },
    Phase { verb: "delete", name: NOT_TOLD },
    Phase { verb: "delete", name: STOPPING },
    Phase { verb: "delete", name: ENDED },
    Phase { verb: "delete", name: FILES_LEFT },
];

/// The agent's own records.
#[derive(Clone, Debug)]
pub struct Disk {
    data: PathBuf,
    namespaces: PathBuf,
}

// === impl Disk ===

impl Disk {
    /// Of an installation: its data directory and its id.
    pub fn new(data: PathBuf, id: &str) -> Self {
        Self { data, namespaces: Path::new("/run/agent-sandbox").join(id).join("netns") }
    }

    /// Whether a Sandbox's writable layer is there.
    pub fn keeps_files_of(&self, uid: Option<&str>) -> bool {
        uid.is_some_and(|uid| self.data.join("roots").join(uid).exists())
    }

    /// The process of a Pod's one container, as its supervisor wrote it down.
    pub fn pid(&self, pod: &str) -> Option<i64> {
        let runs = fs::read_dir(self.data.join("pods").join(pod).join("c")).ok()?;
        runs.flatten().find_map(|run| read(&run.path().join("state.json"))?["pid"].as_i64())
    }

    /// What the agent's record says of a Pod's one container; idle from the moment that the Pod has anything here.
    fn state(&self, pod: &str) -> Option<String> {
        let dir = self.data.join("pods").join(pod);
        let record = read(&dir.join("pod.json"));
        let containers = record.as_ref().and_then(|record| record["containers"].as_object());
        let state =
            containers.and_then(|all| all.values().next()).and_then(|one| one["state"]["is"].as_str());
        let begun = || dir.exists() || self.namespaces.join(pod).exists();
        state.map(str::to_owned).or_else(|| begun().then(|| "idle".to_owned()))
    }
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

// === impl Slot ===

impl Slot {
    /// The phases that its change and its command are in.
    pub fn phases(&self, seen: &Seen, disk: &Disk) -> Vec<Phase> {
        let exec = self.exec.map(|exec| Phase {
            verb: "exec",
            name: match exec {
                Exec::Connecting => CONNECTING,
                Exec::Connected => CONNECTED,
                Exec::Began => PRINTING,
                Exec::Printed => PRINTED,
            },
        });
        let change = self.change.map(|change| match change.verb {
            _ if self.clone().arrived(seen, disk) => None,
            Verb::Create => Some(("create", self.starting(seen, disk))),
            Verb::Resume => Some(("resume", self.starting(seen, disk))),
            Verb::Suspend => Some(("suspend", self.ending(seen, disk, POD_GONE))),
            Verb::Delete => Some(("delete", self.ending(seen, disk, FILES_LEFT))),
        });
        let change = change.flatten().map(|(verb, name)| Phase { verb, name });
        exec.into_iter().chain(change).collect()
    }

    fn starting(&self, seen: &Seen, disk: &Disk) -> &'static str {
        if self.change.is_some_and(|change| !change.acknowledged) {
            return REQUEST;
        }
        let Some(pod) = seen.pods.get(&self.name) else { return NO_POD };
        let state = pod.metadata.uid.as_deref().and_then(|uid| disk.state(uid));
        match state.as_deref() {
            None => NOT_TAKEN,
            Some("idle") => PREPARING,
            Some("starting") => STARTING,
            Some(_) => NOT_READY,
        }
    }

    fn ending(&self, seen: &Seen, disk: &Disk, last: &'static str) -> &'static str {
        if self.change.is_some_and(|change| !change.acknowledged) {
            return REQUEST;
        }
        let Some(pod) = seen.pods.get(&self.name) else { return last };
        let state = pod.metadata.uid.as_deref().and_then(|uid| disk.state(uid));
        match state.as_deref() {
            _ if pod.metadata.deletion_timestamp.is_none() => NOT_TOLD,
            Some("running" | "stopping" | "starting") => STOPPING,
            _ => ENDED,
        }
    }
}
