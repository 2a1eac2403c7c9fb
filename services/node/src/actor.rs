//! One Pod's life: a task that owns all that is known of the Pod, plans, and carries the plan out.
//!
//! **Invariant:** only this task changes the Pod's facts, record and containers. Work that takes time runs beside it
//! and comes back as an [`Outcome`]; after each the plan is made anew. Dropping the task at any point leaves running
//! containers alone, and a new one takes them over from the record.

mod adopt;
mod apply;
mod end;
mod ops;
mod steps;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::pod::{self, Deletion, Facts, ProbeKind, Snapshot, Spec, Stage, Step, is_terminal};
use net::Attachment;
use podspec::Volume;
use runtime::{Container, Driver};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::images::Local;
use crate::record::{Keeper, Record};
use crate::registry;
use crate::shared::{Shared, Teller};
use crate::work::{self, Pause, Trouble};
use ops::{Op, Ops};

/// How often a Pod with limits on its disk use is measured.
const DISK_PERIOD: Duration = Duration::from_secs(10);

/// How long a failed request to the API server or a failed removal is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Something somebody else wants of a Pod.
pub(crate) enum Command {
    /// Stop all containers and leave the Pod as it is; answer when none runs.
    Halt(Duration, oneshot::Sender<()>),
    /// Fail the Pod for this reason: the machine needs what it uses.
    Evict(String),
}

/// What came of work in flight.
pub(crate) enum Outcome {
    Network(Result<Attachment, Trouble>),
    Volumes(Result<BTreeMap<String, Volume>, Trouble>),
    Image(String, Result<Arc<Local>, Trouble>),
    Started(String, Result<Box<Container>, work::start::Failed>),
    Hooked(String, Result<(), String>),
    Stopped(String, bool),
    Exited(String, runtime::Exit, String),
    Written(Box<PodStatus>, work::api::Written),
    Detached(Result<(), String>),
    Freed(Result<(), String>),
    Cleaned(Result<(), String>),
    Deleted(Result<(), String>),
    Measured(Option<String>),
    Recorded(std::io::Result<()>),
    Refreshed(Result<(), Trouble>),
}

/// A probe's result.
pub(crate) struct Probed {
    pub(crate) container: String,
    pub(crate) kind: ProbeKind,
    pub(crate) result: Result<(), String>,
}

/// The actor.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    uid: String,
    pod: Arc<Pod>,
    spec: Spec,
    facts: Facts,
    record: Record,
    keeper: Keeper,
    /// The record has changed since it was last handed over to be written.
    unsaved: bool,
    driver: Result<Driver, String>,
    written: PodStatus,
    stale_since: Option<Timestamp>,
    /// The object is gone from the API.
    gone: bool,
    paused_until: HashMap<Op, Timestamp>,
    attachment: Option<Attachment>,
    volumes: BTreeMap<String, Volume>,
    images: BTreeMap<String, Arc<Local>>,
    containers: BTreeMap<String, Container>,
    pause: Arc<Pause>,
    stops: BTreeMap<String, Timestamp>,
    probes: JoinSet<()>,
    probing: HashMap<(String, ProbeKind), tokio::task::AbortHandle>,
    probed: (mpsc::Sender<Probed>, mpsc::Receiver<Probed>),
    pulling: (mpsc::Sender<work::image::Progress>, mpsc::Receiver<work::image::Progress>),
    entry: Arc<registry::Pod>,
    named: Option<std::net::Ipv4Addr>,
    backing_off: BTreeSet<String>,
    teller: Teller,
    ops: Ops,
    next_disk: Option<Timestamp>,
}

/// What the dispatcher holds of an actor.
pub(crate) struct Handle {
    /// The Pod as last seen; none once it is gone.
    pub(crate) feed: watch::Sender<Option<Arc<Pod>>>,
    pub(crate) commands: mpsc::Sender<Command>,
}

// === impl Actor ===

impl Actor {
    /// Lives until the Pod and everything of it are gone, or until shutdown.
    pub(crate) async fn run(
        mut self,
        mut feed: watch::Receiver<Option<Arc<Pod>>>,
        mut commands: mpsc::Receiver<Command>,
        shutdown: CancellationToken,
    ) {
        if shutdown.run_until_cancelled(self.adopt()).await.is_none() {
            return;
        }
        self.entry.set_adopted();
        while !self.is_over() {
            let wake = self.advance();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changed = feed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let pod = feed.borrow_and_update().clone();
                    self.observe(pod);
                }
                (op, outcome) = self.ops.next() => self.apply(&op, outcome),
                Some(probed) = self.probed.1.recv() => self.apply_probe(&probed),
                Some((name, words)) = self.pulling.1.recv() => self.pulls(&name, words),
                Some(command) = commands.recv() => match command {
                    Command::Halt(grace, done) => {
                        self.halt(grace).await;
                        let _ = done.send(());
                        return;
                    }
                    Command::Evict(message) => self.evict(message),
                },
                () = sleep_until(wake, self.shared.now()) => {}
            }
        }
        self.forget();
    }

    /// Plans and starts what the plan says. Returns when to look again.
    fn advance(&mut self) -> Option<Timestamp> {
        let mut wake = None;
        // A step that changes facts at once is followed by a new plan; each such step happens once.
        for _ in 0..16 {
            let now = self.shared.now();
            self.refresh(now);
            let steps = pod::plan(&self.snapshot(), now);
            wake = None;
            let mut again = false;
            for step in steps {
                if let Step::RequeueAt(at) = step {
                    wake = Some(at);
                } else {
                    again |= self.execute(step, now);
                }
            }
            if !again {
                break;
            }
        }
        self.after(wake)
    }

    /// Brings up to date what the plan is made from and what is not an outcome.
    fn refresh(&mut self, now: Timestamp) {
        let fresh = pod::status(&self.snapshot(), now) == self.written;
        self.stale_since = if fresh { None } else { self.stale_since.or(Some(now)) };
        self.choose_runtime(now);
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            spec: &self.spec,
            facts: &self.facts,
            deletion: self.deletion(),
            written: &self.written,
            stale_since: self.stale_since,
            host_ips: &self.shared.host.node_ips,
        }
    }

    fn deletion(&self) -> Option<Deletion> {
        let meta = &self.pod.metadata;
        if self.gone && meta.deletion_timestamp.is_none() {
            return Some(Deletion { grace: Duration::ZERO });
        }
        meta.deletion_timestamp.as_ref()?;
        let seconds = meta.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Some(Deletion { grace: seconds.map_or(self.spec.grace, Duration::from_secs) })
    }

    /// Takes in the Pod as the API has it now.
    fn observe(&mut self, pod: Option<Arc<Pod>>) {
        let Some(pod) = pod else {
            self.gone = true;
            return;
        };
        self.spec = spec_of(&pod);
        let shown = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
        if shown(&pod) != shown(&self.pod) {
            self.facts.projected_at = None;
        }
        if let Some(status) = &pod.status
            && !self.ops.has(&Op::Status)
            && is_newer(&pod, &self.pod)
        {
            self.written.conditions = merged(&self.written, status);
            if is_terminal(status) && !is_terminal(&self.written) {
                self.written = status.clone();
            }
        }
        self.pod = pod;
    }

    /// What follows from any change: names, events and the next measurement.
    fn after(&mut self, wake: Option<Timestamp>) -> Option<Timestamp> {
        self.publish_name();
        self.tell_back_off();
        self.keep_record();
        let now = self.shared.now();
        let limited = work::disk::is_limited(&self.pod) && self.facts.active() && self.deletion().is_none();
        if limited {
            let due = *self.next_disk.get_or_insert(now + DISK_PERIOD);
            if now >= due {
                self.next_disk = Some(now + DISK_PERIOD);
                self.measure();
            }
        }
        let disk = self.next_disk.filter(|_| limited);
        let paused = self.paused_until.values().copied().filter(|at| *at > now).min();
        [wake, disk, paused].into_iter().flatten().min()
    }

    fn is_over(&self) -> bool {
        let detached = matches!(self.facts.network, Stage::Absent);
        self.gone && self.facts.cleaned && detached && !self.facts.active() && !self.ops.making()
    }

    /// Removes what is only known in memory.
    fn forget(&mut self) {
        self.withdraw_name();
        let meta = &self.pod.metadata;
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        self.shared.registry.remove(namespace.unwrap_or_default(), name.unwrap_or_default(), &self.uid);
    }
}

fn spec_of(pod: &Pod) -> Spec {
    let mut spec = Spec::of(pod);
    if pod.status.as_ref().is_none_or(|status| status.qos_class.is_none()) {
        spec.qos = podspec::qos_class(pod).to_owned();
    }
    spec
}

fn is_newer(new: &Pod, old: &Pod) -> bool {
    let version =
        |pod: &Pod| pod.metadata.resource_version.as_ref().and_then(|version| version.parse::<u64>().ok());
    version(new) > version(old)
}

/// Our own conditions as we wrote them, and those of others as the API has them now.
fn merged(written: &PodStatus, seen: &PodStatus) -> Option<Vec<k8s_openapi::api::core::v1::PodCondition>> {
    let ours = written.conditions.clone().unwrap_or_default();
    if ours.is_empty() {
        return seen.conditions.clone();
    }
    let known = |kind: &str| ours.iter().any(|condition| condition.type_ == kind);
    let others = seen.conditions.iter().flatten().filter(|condition| !known(&condition.type_)).cloned();
    Some(others.chain(ours.iter().cloned()).collect())
}

async fn sleep_until(wake: Option<Timestamp>, now: Timestamp) {
    match wake {
        Some(at) => tokio::time::sleep(Duration::try_from(at.duration_since(now)).unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}
