//! What the containers of a Pod that is to run need next.

use jiff::Timestamp;

use super::backoff::{CRASH_FIRST, CRASH_MAX, doubling};
use super::facts::{Container, Hook, Stage, State, StopCause};
use super::spec::{Container as ContainerSpec, ProbeKind};
use super::{Failure, Plan, Snapshot, Step};
use std::time::Duration;

/// How soon a network, volume or container that could not be made is tried again, doubling up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How old files made from objects may be: the kubelet looks again about once a minute.
const REFRESH: Duration = Duration::from_secs(60);

/// How long a failed pull is called by its own name before it is called a back-off.
pub(super) const PULL_ERROR_SHOWN: Duration = Duration::from_secs(2);

pub(super) fn plan(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) {
    if let Some(failure) = snapshot.facts.runtime.failure() {
        plan.wake_at(failure.at + doubling(failure.count, RETRY_FIRST, RETRY_MAX));
        return;
    }
    stage(&snapshot.facts.network, Step::AttachNetwork, now, plan);
    stage(&snapshot.facts.volumes, Step::PrepareVolumes, now, plan);
    refresh(snapshot, now, plan);
    if initialise(snapshot, now, plan) {
        for spec in &snapshot.spec.containers {
            advance(snapshot, spec, now, plan);
        }
    }
}

/// Whether any of the Pod's own containers has ever been started; then init containers never run again.
pub(super) fn initialised(snapshot: &Snapshot<'_>) -> bool {
    let begun = |spec: &ContainerSpec| match snapshot.facts.state(&spec.name) {
        State::Idle => false,
        State::Unmade(_) => snapshot.facts.container(&spec.name).last.is_some(),
        State::Starting | State::Running(_) | State::Stopping(_) | State::Exited(_) => true,
    };
    snapshot.spec.containers.iter().any(begun)
}

/// Takes init containers forward, in order. True once all of them have succeeded and all sidecars have started.
fn initialise(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) -> bool {
    let done_before = initialised(snapshot);
    for spec in &snapshot.spec.init {
        let facts = snapshot.facts.container(&spec.name);
        if spec.sidecar {
            advance(snapshot, spec, now, plan);
            if !done_before && !facts.is_started(spec) {
                return false;
            }
        } else if !done_before && facts.exit().is_none_or(|exit| exit.code != 0) {
            advance(snapshot, spec, now, plan);
            return false;
        }
    }
    true
}

/// The next step of one container whose turn it is.
fn advance(snapshot: &Snapshot<'_>, spec: &ContainerSpec, now: Timestamp, plan: &mut Plan) {
    let facts = snapshot.facts.container(&spec.name);
    match &facts.state {
        State::Starting => {}
        State::Idle => start(snapshot, spec, &facts, now, plan),
        State::Unmade(failure) => {
            let due = failure.at + doubling(failure.count, RETRY_FIRST, RETRY_MAX);
            after(due, now, plan, |plan| start(snapshot, spec, &facts, now, plan));
        }
        State::Exited(exit) => {
            if snapshot.spec.restart_of(spec).again(exit.code) {
                let due = facts.backoff.map_or(exit.finished_at, |backoff| backoff.until(exit.finished_at));
                after(due, now, plan, |plan| start(snapshot, spec, &facts, now, plan));
            }
        }
        State::Running(run) => {
            let changed = run.image != spec.image && !run.image.is_empty();
            attend(snapshot, spec, &facts, changed, plan);
        }
        State::Stopping(stopping) => plan.push(Step::StopContainer {
            container: spec.name.clone(),
            grace: stopping.grace,
            cause: stopping.cause.clone(),
            pre_stop: spec.pre_stop,
        }),
    }
}

/// What a running container needs: its hook, then its probes, and an end when one of them says so.
fn attend(snapshot: &Snapshot<'_>, spec: &ContainerSpec, facts: &Container, changed: bool, plan: &mut Plan) {
    if let Some((cause, grace)) = must_stop(snapshot, spec, facts, changed) {
        let container = spec.name.clone();
        plan.push(Step::StopContainer { container, grace, cause, pre_stop: spec.pre_stop });
        return;
    }
    if spec.post_start && facts.post_start == Hook::Pending {
        plan.push(Step::RunPostStart { container: spec.name.clone() });
        return;
    }
    let started = facts.is_started(spec);
    for kind in ProbeKind::ALL.into_iter().filter(|kind| spec.probe(*kind).is_some()) {
        let container = spec.name.clone();
        let wanted = (kind == ProbeKind::Startup) != started;
        plan.push(if wanted {
            Step::StartProbe { container, kind }
        } else {
            Step::StopProbe { container, kind }
        });
    }
}

fn must_stop(
    snapshot: &Snapshot<'_>,
    spec: &ContainerSpec,
    facts: &Container,
    changed: bool,
) -> Option<(StopCause, Duration)> {
    if changed {
        return Some((StopCause::Changed, snapshot.spec.grace));
    }
    if facts.post_start == Hook::Failed {
        return Some((StopCause::Hook, snapshot.spec.grace));
    }
    let failed = |kind, verdict: Option<bool>| {
        let probe = spec.probe(kind).filter(|_| verdict == Some(false))?;
        Some((StopCause::Probe(kind), probe.grace.unwrap_or(snapshot.spec.grace)))
    };
    failed(ProbeKind::Startup, facts.startup.verdict())
        .or_else(|| failed(ProbeKind::Liveness, facts.liveness.verdict()))
}

/// Starts the container if its image, network and volumes are there, else asks for what is missing.
fn start(snapshot: &Snapshot<'_>, spec: &ContainerSpec, facts: &Container, now: Timestamp, plan: &mut Plan) {
    let container = spec.name.clone();
    match &facts.image {
        Stage::Absent => plan.push(Step::EnsureImage { container }),
        Stage::Failed(failure) => {
            let due = failure.at + doubling(failure.count, CRASH_FIRST, CRASH_MAX);
            let relabel = failure.at + PULL_ERROR_SHOWN;
            if now < relabel {
                plan.wake_at(relabel);
            }
            after(due, now, plan, |plan| plan.push(Step::EnsureImage { container }));
        }
        Stage::Ready(_) => {
            if snapshot.facts.network.ready().is_some() && snapshot.facts.volumes.ready().is_some() {
                let attempt = facts.restarts + u32::from(facts.exit().is_some());
                plan.push(Step::StartContainer { container, attempt });
            }
        }
    }
}

fn stage<T>(stage: &Stage<T>, step: Step, now: Timestamp, plan: &mut Plan) {
    match stage {
        Stage::Absent => plan.push(step),
        Stage::Ready(_) => {}
        Stage::Failed(Failure { count, at, .. }) => {
            let due = *at + doubling(*count, RETRY_FIRST, RETRY_MAX);
            after(due, now, plan, |plan| plan.push(step));
        }
    }
}

/// Files that show objects follow them while the Pod runs.
fn refresh(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) {
    if snapshot.spec.projects && snapshot.facts.volumes.ready().is_some() {
        let due = snapshot.facts.projected_at.map_or(now, |at| at + REFRESH);
        after(due, now, plan, |plan| plan.push(Step::RefreshVolumes));
    }
}

fn after(due: Timestamp, now: Timestamp, plan: &mut Plan, then: impl FnOnce(&mut Plan)) {
    if now < due {
        plan.wake_at(due);
    } else {
        then(plan);
    }
}
