//! The status of a Pod as the kubelet writes it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::containers::{PULL_ERROR_SHOWN, initialised};
use super::facts::{Container, Exit, Stage, State};
use super::spec::Container as ContainerSpec;
use super::{Backoff, Failure, Snapshot, conditions, phase, teardown};

/// Reasons that clients see.
pub mod reason {
    /// Waiting: nothing has gone wrong yet.
    pub const CREATING: &str = "ContainerCreating";
    /// Waiting, in a Pod with init containers.
    pub const INITIALIZING: &str = "PodInitializing";
    /// Waiting: the network, the volumes or the runtime of the whole Pod could not be had.
    pub const SANDBOX: &str = "CreatePodSandboxError";
    /// Waiting: a config map, secret or key that the container names is not there.
    pub const CONFIG: &str = "CreateContainerConfigError";
    /// Waiting: the runtime could not make the container.
    pub const CREATE: &str = "CreateContainerError";
    /// Waiting: the runtime made it and could not run its command.
    pub const RUN: &str = "RunContainerError";
    /// Waiting for the next restart.
    pub const CRASH_LOOP: &str = "CrashLoopBackOff";
    /// Waiting: the last pull failed.
    pub const PULL: &str = "ErrImagePull";
    /// Waiting for the next pull.
    pub const PULL_BACKOFF: &str = "ImagePullBackOff";
    /// Waiting: the image is not here and must not be pulled.
    pub const NEVER_PULL: &str = "ErrImageNeverPull";
    /// Waiting: the image's name cannot be parsed.
    pub const INVALID_IMAGE: &str = "InvalidImageName";
    /// Terminated with code 0.
    pub const COMPLETED: &str = "Completed";
    /// Terminated with another code.
    pub const ERROR: &str = "Error";
    /// Terminated: over its memory limit.
    pub const OOM: &str = "OOMKilled";
    /// Terminated: its command could not be run.
    pub const CANNOT_RUN: &str = "ContainerCannotRun";
    /// Terminated: nobody saw how.
    pub const UNKNOWN: &str = "ContainerStatusUnknown";
    /// The Pod's: it ran longer than it may.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// The Pod's: it used more disk than it may.
    pub const EVICTED: &str = "Evicted";
}

/// The time without its fraction, which is all that Kubernetes' times keep.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The status that the facts amount to.
pub(super) fn of(snapshot: &Snapshot<'_>, now: Timestamp) -> PodStatus {
    let old = snapshot.written;
    let list = |specs: &[ContainerSpec], init: bool| -> Vec<ContainerStatus> {
        specs.iter().map(|spec| container(snapshot, spec, init, now)).collect()
    };
    let init = list(&snapshot.spec.init, true);
    let mut ordinary = list(&snapshot.spec.containers, false);
    let all: Vec<_> = ordinary.iter().chain(&init).cloned().collect();
    ordinary.sort_by(|a, b| a.name.cmp(&b.name));
    let phase = phase_of(snapshot, &all);
    let kept = |field: &Option<String>| field.clone().filter(|_| old.phase.as_deref() == Some(phase));
    let verdict = snapshot.facts.verdict.as_ref();
    let ips = snapshot.facts.network.ready().map(|network| network.ips.clone());
    let ips = ips.unwrap_or_else(|| kept_ips(old));
    PodStatus {
        conditions: Some(conditions_of(snapshot, &all, phase, now)),
        container_statuses: Some(ordinary),
        host_ip: snapshot.host_ips.first().cloned(),
        host_ips: Some(snapshot.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect()),
        init_container_statuses: Some(init).filter(|list| !list.is_empty()),
        message: verdict.map(|verdict| verdict.message.clone()).or_else(|| kept(&old.message)),
        observed_generation: snapshot.spec.generation,
        phase: Some(phase.to_owned()),
        pod_ip: ips.first().cloned(),
        pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip }).collect())
            .filter(|ips: &Vec<_>| !ips.is_empty()),
        qos_class: Some(snapshot.spec.qos.clone()),
        reason: verdict.map(|verdict| verdict.reason.clone()).or_else(|| kept(&old.reason)),
        start_time: snapshot.facts.accepted_at.map(time).or_else(|| old.start_time.clone()),
        ephemeral_container_statuses: old.ephemeral_container_statuses.clone(),
        nominated_node_name: old.nominated_node_name.clone(),
        resize: old.resize.clone(),
        resource_claim_statuses: old.resource_claim_statuses.clone(),
        ..PodStatus::default()
    }
}

/// Whether clients wait for this change: readiness, a final phase, or an error that they have not seen.
pub(super) fn urgent(old: &PodStatus, new: &PodStatus) -> bool {
    conditions::is_ready(old) != conditions::is_ready(new)
        || (phase::is_terminal(new) && old.phase != new.phase)
        || errors(new).any(|error| !errors(old).any(|known| known == error))
        || ended(new) > ended(old)
}

// === containers ===

fn container(snapshot: &Snapshot<'_>, spec: &ContainerSpec, init: bool, now: Timestamp) -> ContainerStatus {
    let facts = snapshot.facts.container(&spec.name);
    let state = state(snapshot, spec, &facts, now);
    let shown_exit = state.terminated.is_some();
    let previous = facts.exit().filter(|_| !shown_exit).or(facts.last.as_ref());
    let started = facts.is_started(spec);
    let ready = if init && !spec.sidecar {
        facts.exit().is_some_and(|exit| exit.code == 0)
    } else {
        facts.is_ready(spec) && snapshot.facts.verdict.is_none()
    };
    let (id, image_id) = identity(&facts);
    ContainerStatus {
        container_id: Some(id).filter(|id| !id.is_empty()),
        image: spec.image.clone(),
        image_id,
        last_state: Some(ContainerState {
            terminated: previous.map(terminated),
            ..ContainerState::default()
        }),
        name: spec.name.clone(),
        ready,
        restart_count: i32::try_from(facts.restarts).unwrap_or(i32::MAX),
        started: Some(started),
        state: Some(state),
        volume_mounts: Some(spec.mounts.clone()).filter(|mounts| !mounts.is_empty()),
        allocated_resources: spec.resources.as_ref().and_then(|resources| resources.requests.clone()),
        resources: spec.resources.clone(),
        ..ContainerStatus::default()
    }
}

fn identity(facts: &Container) -> (String, String) {
    let run = facts.run().map(|run| (run.id.clone(), run.image_id.clone()));
    let exit = facts.exit().or(facts.last.as_ref()).map(|exit| (exit.id.clone(), exit.image_id.clone()));
    run.or(exit).unwrap_or_default()
}

fn state(snapshot: &Snapshot<'_>, spec: &ContainerSpec, facts: &Container, now: Timestamp) -> ContainerState {
    if let Some(run) = facts.visible_run(spec) {
        let running = ContainerStateRunning { started_at: Some(time(run.started_at)) };
        return ContainerState { running: Some(running), ..ContainerState::default() };
    }
    let over = teardown::wanted(snapshot);
    match (&facts.state, &facts.last) {
        (State::Exited(exit), _) => ended_state(snapshot, spec, facts, exit, over, now),
        (State::Starting, Some(last)) if last.reason == reason::CANNOT_RUN => {
            waiting(reason::RUN, &last.message)
        }
        (State::Starting, Some(last)) => ended_as(last),
        (State::Unmade(failure), _) => waiting(&failure.reason, &failure.message),
        (State::Idle | State::Starting | State::Running(_) | State::Stopping(_), _) => {
            not_yet(snapshot, facts, now)
        }
    }
}

/// A container that ended: the end itself, or what it waits for before it runs again.
fn ended_state(
    snapshot: &Snapshot<'_>,
    spec: &ContainerSpec,
    facts: &Container,
    exit: &Exit,
    over: bool,
    now: Timestamp,
) -> ContainerState {
    if over || !snapshot.spec.restart_of(spec).again(exit.code) {
        return ended_as(exit);
    }
    if let Some(failure) = facts.image.failure() {
        return pull_failure(failure, now);
    }
    match facts.backoff.filter(|backoff| now < backoff.until(exit.finished_at)) {
        Some(backoff) => crash_loop(snapshot, spec, backoff),
        None if exit.reason == reason::CANNOT_RUN => waiting(reason::RUN, &exit.message),
        None => ended_as(exit),
    }
}

/// A container that has never run.
fn not_yet(snapshot: &Snapshot<'_>, facts: &Container, now: Timestamp) -> ContainerState {
    let pod = [
        snapshot.facts.runtime.failure(),
        snapshot.facts.network.failure(),
        snapshot.facts.volumes.failure(),
    ];
    if let Some(failure) = pod.into_iter().flatten().next() {
        return waiting(&failure.reason, &failure.message);
    }
    let reason = if snapshot.spec.init.is_empty() { reason::CREATING } else { reason::INITIALIZING };
    match &facts.image {
        Stage::Absent | Stage::Failed(_) if !facts.pulling.is_empty() => waiting(reason, &facts.pulling),
        Stage::Failed(failure) => pull_failure(failure, now),
        Stage::Absent | Stage::Ready(_) => waiting(reason, ""),
    }
}

/// A failed pull is shown by its own name for a moment, then as the back-off before the next one.
fn pull_failure(failure: &Failure, now: Timestamp) -> ContainerState {
    if failure.reason == reason::PULL && now >= failure.at + PULL_ERROR_SHOWN {
        return waiting(
            reason::PULL_BACKOFF,
            &format!("Back-off pulling image: {}: {}", failure.reason, failure.message),
        );
    }
    waiting(&failure.reason, &failure.message)
}

fn crash_loop(snapshot: &Snapshot<'_>, spec: &ContainerSpec, backoff: Backoff) -> ContainerState {
    let seconds = backoff.delay.as_secs();
    let delay = match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    };
    let (name, pod) = (&spec.name, &snapshot.spec.title);
    waiting(reason::CRASH_LOOP, &format!("back-off {delay} restarting failed container={name} pod={pod}"))
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let message = Some(message.to_owned()).filter(|message| !message.is_empty());
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn ended_as(exit: &Exit) -> ContainerState {
    ContainerState { terminated: Some(terminated(exit)), ..ContainerState::default() }
}

fn terminated(exit: &Exit) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(exit.id.clone()).filter(|id| !id.is_empty()),
        exit_code: exit.code,
        finished_at: Some(time(exit.finished_at)),
        message: Some(exit.message.clone()).filter(|message| !message.is_empty()),
        reason: Some(exit.reason.clone()).filter(|reason| !reason.is_empty()),
        signal: Some(exit.signal).filter(|signal| *signal != 0),
        started_at: exit.started_at.map(time),
    }
}

// === the Pod as a whole ===

fn phase_of(snapshot: &Snapshot<'_>, statuses: &[ContainerStatus]) -> &'static str {
    match snapshot.written.phase.as_deref() {
        Some("Succeeded") => return "Succeeded",
        Some("Failed") => return "Failed",
        _ if snapshot.facts.verdict.is_some() => return "Failed",
        _ => {}
    }
    let ending = snapshot.deletion.is_some() && !snapshot.facts.active();
    phase::of(snapshot.spec, statuses, ending, initialised(snapshot))
}

fn conditions_of(
    snapshot: &Snapshot<'_>,
    statuses: &[ContainerStatus],
    phase: &str,
    now: Timestamp,
) -> Vec<k8s_openapi::api::core::v1::PodCondition> {
    let source = conditions::Source {
        spec: snapshot.spec,
        written: snapshot.written,
        statuses,
        phase,
        // Of a Pod that goes, the network goes right after its containers: one write says both.
        networked: snapshot.facts.network.ready().is_some()
            && (snapshot.deletion.is_none() || snapshot.facts.active()),
        initialised: initialised(snapshot),
    };
    conditions::of(&source, now)
}

fn kept_ips(old: &PodStatus) -> Vec<String> {
    old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
}

fn errors(status: &PodStatus) -> impl Iterator<Item = (&str, &str)> {
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let reasons = all.filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some((container.name.as_str(), waiting.reason.as_deref()?))
    });
    reasons.filter(|(_, reason)| ![reason::CREATING, reason::INITIALIZING].contains(reason))
}

fn ended(status: &PodStatus) -> usize {
    let all = status.container_statuses.iter().flatten();
    all.filter(|container| container.state.as_ref().is_some_and(|state| state.terminated.is_some())).count()
}

fn time(at: Timestamp) -> Time {
    Time(whole_seconds(at))
}
