//! Ending a Pod: its containers first, sidecars last and in reverse order, then everything else it has.

use std::time::Duration;

use jiff::Timestamp;

use super::facts::{Stage, State, StopCause};
use super::spec::Container as ContainerSpec;
use super::{Plan, Snapshot, Step, phase, reason, status};

/// Whether nothing of the Pod shall run any more: deleted, failed as a whole, or done.
pub(super) fn wanted(snapshot: &Snapshot<'_>) -> bool {
    snapshot.deletion.is_some()
        || snapshot.facts.verdict.is_some()
        || phase::is_terminal(snapshot.written)
        || done(snapshot)
}

pub(super) fn plan(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) {
    let grace = snapshot.deletion.map_or(snapshot.spec.grace, |deletion| deletion.grace);
    if stop_all(snapshot, grace, plan) {
        return;
    }
    if !matches!(snapshot.facts.network, Stage::Absent) {
        plan.push(Step::DetachNetwork);
    }
    let evicted = snapshot.facts.verdict.as_ref().is_some_and(|verdict| verdict.reason == reason::EVICTED);
    if evicted && !snapshot.facts.freed && !snapshot.facts.cleaned {
        plan.push(Step::FreeDisk);
    }
    if snapshot.deletion.is_some() {
        remove(snapshot, now, plan);
    }
}

/// Orders every container to stop whose turn it is. True while any of them is alive.
fn stop_all(snapshot: &Snapshot<'_>, grace: Duration, plan: &mut Plan) -> bool {
    let ordinary = snapshot.spec.init.iter().filter(|spec| !spec.sidecar).chain(&snapshot.spec.containers);
    let mut alive = false;
    for spec in ordinary {
        alive |= stop(snapshot, spec, grace, plan);
    }
    for spec in snapshot.spec.init.iter().rev().filter(|spec| spec.sidecar) {
        if alive {
            return true;
        }
        alive = stop(snapshot, spec, grace, plan);
    }
    alive
}

fn stop(snapshot: &Snapshot<'_>, spec: &ContainerSpec, grace: Duration, plan: &mut Plan) -> bool {
    let cause = match snapshot.facts.state(&spec.name) {
        State::Idle | State::Exited(_) | State::Unmade(_) => return false,
        State::Starting => return true,
        State::Running(_) => StopCause::PodEnds,
        State::Stopping(stopping) => stopping.cause.clone(),
    };
    plan.push(Step::StopContainer { container: spec.name.clone(), grace, cause, pre_stop: spec.pre_stop });
    true
}

/// The last steps. Once nothing runs and the final status is written the object goes, as nobody has to wait for the
/// network and the directories: the executor finishes these beside it, and what a crash leaves of them no object owns,
/// so it is swept at the next start. Until the status is written the directories stay, because they alone know how the
/// containers ended if the agent is killed now.
fn remove(snapshot: &Snapshot<'_>, now: Timestamp, plan: &mut Plan) {
    if snapshot.facts.touched() && status::of(snapshot, now) != *snapshot.written {
        return;
    }
    if !snapshot.facts.cleaned {
        plan.push(Step::CleanUp);
    }
    plan.push(Step::DeletePod);
}

/// Whether the Pod's own containers have ended and none may run again.
fn done(snapshot: &Snapshot<'_>) -> bool {
    let over = |spec: &ContainerSpec| match snapshot.facts.state(&spec.name) {
        State::Exited(exit) => !snapshot.spec.restart_of(spec).again(exit.code),
        _ => false,
    };
    let init_failed = |spec: &ContainerSpec| {
        let code = match snapshot.facts.state(&spec.name) {
            State::Exited(exit) => exit.code,
            _ => 0,
        };
        !spec.sidecar && code != 0 && over(spec)
    };
    snapshot.spec.containers.iter().all(over) || snapshot.spec.init.iter().any(init_failed)
}
