//! Decides what the node agent does next about one Pod and its containers.
//!
//! The plan is level-triggered: it names everything that should be under way now, and planning again while a step is
//! still under way names it again. The executor starts a step only if the same one is not already running, records
//! what came of it in [`Facts`], and plans again. So a crash between any two steps needs no journal of intentions:
//! the next plan over the recorded facts continues.
//!
//! **Invariant:** nothing here blocks, reads a clock or knows how a container is run. Words that clients see
//! (phases, reasons, conditions) are the kubelet's.

mod backoff;
mod conditions;
mod containers;
mod facts;
mod phase;
mod probe;
mod recover;
mod spec;
mod status;
mod teardown;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;

pub use backoff::{Backoff, CRASH_FIRST, CRASH_MAX};
pub use facts::{
    Container as ContainerFacts, Exit, Facts, Failure, Hook, Image, Network, Running, Stage, State,
    StopCause, Stopping, Verdict,
};
pub use phase::is_terminal;
pub use probe::Counter;
pub use spec::{Container as ContainerSpec, Probe, ProbeKind, Pull, Restart, Spec};
pub use status::{reason, whole_seconds};

/// How long a change that no client waits for may be held back, so that it is written together with the next one.
pub const COALESCE: Duration = Duration::from_millis(250);

/// All that the plan may look at.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// What the Pod asks for.
    pub spec: &'a Spec,
    /// What has been done and seen.
    pub facts: &'a Facts,
    /// The deletion that somebody asked for.
    pub deletion: Option<Deletion>,
    /// The status as last written or read; conditions of others are kept from it.
    pub written: &'a PodStatus,
    /// Since when `written` is known to be stale, if it is.
    pub stale_since: Option<Timestamp>,
    /// Addresses of this node, written as `hostIPs`.
    pub host_ips: &'a [String],
}

/// A graceful deletion in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// How long each container may take, from when it is told to stop.
    pub grace: Duration,
}

/// One thing to do. A step costs at most one request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Give the Pod its network namespace and address.
    AttachNetwork,
    /// Make the directories and files that the Pod's volumes stand for.
    PrepareVolumes,
    /// Make the files that show objects anew from what these are now.
    RefreshVolumes,
    /// Make sure the image is on this machine.
    EnsureImage {
        /// The container that needs it.
        container: String,
    },
    /// Start the container; everything it needs is there.
    StartContainer {
        /// Its name.
        container: String,
        /// The restart count that this start will have.
        attempt: u32,
    },
    /// Run the hook that must succeed before the container counts as started.
    RunPostStart {
        /// Its name.
        container: String,
    },
    /// Probe the container at the period its spec gives.
    StartProbe {
        /// Its name.
        container: String,
        /// Which of the three probes.
        kind: ProbeKind,
    },
    /// Stop probing.
    StopProbe {
        /// Its name.
        container: String,
        /// Which of the three probes.
        kind: ProbeKind,
    },
    /// Stop the container: its preStop hook, the stop signal, and the kill when the deadline passes.
    StopContainer {
        /// Its name.
        container: String,
        /// How long it may take from the moment it is told.
        grace: Duration,
        /// Why, for the event and the status.
        cause: StopCause,
        /// Whether the preStop hook comes first.
        pre_stop: bool,
    },
    /// Record durably that the Pod has failed for good; nothing of it may run again.
    Fail(Verdict),
    /// Write the status.
    WriteStatus(Box<PodStatus>),
    /// Take the network away.
    DetachNetwork,
    /// Remove what the Pod's containers wrote; logs and records stay until the Pod goes.
    FreeDisk,
    /// Remove everything the Pod has on this machine.
    CleanUp,
    /// Delete the object with grace 0; the last step that clients see.
    DeletePod,
    /// Plan again at this time, even if nothing happens until then.
    RequeueAt(Timestamp),
}

/// What should be under way now, in no particular order but for a final [`Step::RequeueAt`].
pub fn plan(snapshot: &Snapshot<'_>, now: Timestamp) -> Vec<Step> {
    let mut plan = Plan::default();
    if let Some(verdict) = overdue(snapshot, now, &mut plan) {
        plan.steps.push(Step::Fail(verdict));
        return plan.steps;
    }
    if teardown::wanted(snapshot) {
        teardown::plan(snapshot, now, &mut plan);
    } else {
        containers::plan(snapshot, now, &mut plan);
    }
    write_status(snapshot, now, &mut plan);
    plan.finish()
}

/// The status that the facts amount to, as the kubelet would write it.
pub fn status(snapshot: &Snapshot<'_>, now: Timestamp) -> PodStatus {
    status::of(snapshot, now)
}

/// Steps in the making, and the earliest time to look again.
#[derive(Debug, Default)]
struct Plan {
    steps: Vec<Step>,
    wake: Option<Timestamp>,
}

// === impl Plan ===

impl Plan {
    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn finish(mut self) -> Vec<Step> {
        self.steps.extend(self.wake.map(Step::RequeueAt));
        self.steps
    }
}

/// The verdict on a Pod that ran longer than `activeDeadlineSeconds`.
fn overdue(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) -> Option<Verdict> {
    let deadline = snapshot.facts.accepted_at? + snapshot.spec.deadline?;
    let over = snapshot.facts.verdict.is_some() || phase::is_terminal(snapshot.written);
    if over || snapshot.deletion.is_some() {
        return None;
    }
    if now < deadline {
        plan.wake_at(deadline);
        return None;
    }
    Some(Verdict {
        reason: reason::DEADLINE_EXCEEDED.to_owned(),
        message: "Pod was active on the node longer than the specified deadline".to_owned(),
    })
}

/// Writes the status when it differs; a change that nobody waits for waits for its companions.
fn write_status(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) {
    let ending = snapshot.deletion.is_some() || phase::is_terminal(snapshot.written);
    if ending && !snapshot.facts.touched() {
        return;
    }
    let status = status::of(snapshot, now);
    if status == *snapshot.written {
        return;
    }
    let due = snapshot.stale_since.unwrap_or(now) + COALESCE;
    if now < due && !status::urgent(snapshot.written, &status) {
        plan.wake_at(due);
    } else {
        plan.push(Step::WriteStatus(Box::new(status)));
    }
}
