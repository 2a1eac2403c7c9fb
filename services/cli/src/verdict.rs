//! What a look at a sandbox says to somebody who waits: done, not yet, or never. Pure.

use crate::{
    failure::Failure,
    manifest::CONTAINER,
    sandbox::{is_current, is_ready, is_suspended, state},
    wait::Scene,
};
use crd::{conditions, v1beta1::Sandbox};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// What a look at the sandbox says.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is as wanted.
    Done,
    /// Not yet.
    Wait,
    /// Not yet, and never if it stays so for some seconds: a registry may answer again, a ConfigMap may be on its way.
    Fading(Failure),
    /// It will never be.
    Hopeless(Failure),
}

/// For whoever started a sandbox that stays: it is ready.
pub(crate) fn ready(name: &str, scene: &Scene) -> Verdict {
    let Some(sandbox) = &scene.sandbox else { return gone_or_new(name, scene) };
    if is_ready(sandbox) {
        return Verdict::Done;
    }
    match prospect(name, sandbox, scene.pod.as_ref()) {
        Verdict::Hopeless(failure) => Verdict::Hopeless(more(name, failure)),
        Verdict::Fading(failure) => Verdict::Fading(more(name, failure)),
        verdict => verdict,
    }
}

/// What somebody can do who has the sandbox still.
fn more(name: &str, failure: Failure) -> Failure {
    failure
        .remedy(format!("'agent-sandbox why {name}' says more; 'agent-sandbox logs {name}' shows its output"))
}

/// For whoever wants its first process: that has started, or has ended already.
pub(crate) fn started(name: &str, scene: &Scene) -> Verdict {
    let Some(sandbox) = &scene.sandbox else { return gone_or_new(name, scene) };
    let state = scene.pod.as_ref().and_then(container).and_then(|status| status.state.as_ref());
    if state.is_some_and(|state| state.running.is_some() || state.terminated.is_some()) {
        return Verdict::Done;
    }
    prospect(name, sandbox, scene.pod.as_ref())
}

/// For whoever suspends it: nothing runs.
pub(crate) fn suspended(name: &str, scene: &Scene) -> Verdict {
    let Some(sandbox) = &scene.sandbox else { return gone_or_new(name, scene) };
    match state(sandbox).word {
        _ if is_suspended(sandbox) => Verdict::Done,
        "Deleting" | "Expired" => {
            Verdict::Hopeless(Failure::new(format!("sandbox {name:?} is being deleted or has expired")))
        }
        _ => Verdict::Wait,
    }
}

/// For whoever deletes it: it is gone.
pub(crate) fn gone(_: &str, scene: &Scene) -> Verdict {
    if scene.told && scene.sandbox.is_none() { Verdict::Done } else { Verdict::Wait }
}

fn gone_or_new(name: &str, scene: &Scene) -> Verdict {
    if scene.seen {
        return Verdict::Hopeless(Failure::new(format!("sandbox {name:?} was deleted meanwhile")));
    }
    Verdict::Wait
}

/// Whether a sandbox that is not there yet still can be.
fn prospect(name: &str, sandbox: &Sandbox, pod: Option<&Pod>) -> Verdict {
    let state = state(sandbox);
    let is_word_current = state.word == "Deleting" || is_current(sandbox, conditions::READY);
    if is_word_current && matches!(state.word, "Completed" | "Failed" | "Error" | "Expired" | "Deleting") {
        let refused = pod.and_then(refusal).map_or_else(String::new, |why| format!(": {why}"));
        let text = format!("sandbox {name:?} is not ready: {}: {}{refused}", state.word, state.message);
        return Verdict::Hopeless(Failure::new(text));
    }
    let Some((reason, message)) = pod.and_then(stuck) else { return Verdict::Wait };
    let failure = Failure::new(format!("sandbox {name:?} does not start: {reason}: {message}"));
    match reason {
        "ErrImagePull" | "CreateContainerConfigError" | "CreateContainerError" => Verdict::Fading(failure),
        "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RunContainerError"
        | "CrashLoopBackOff" => Verdict::Hopeless(failure),
        _ => Verdict::Wait,
    }
}

/// What the node says of a Pod that it refused to run.
fn refusal(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.message.as_deref().filter(|message| !message.is_empty())
}

/// Why a container of the Pod waits: reason and message. A Pod that is on its way out says nothing of the next one.
fn stuck(pod: &Pod) -> Option<(&str, &str)> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let all = [&status.init_container_statuses, &status.container_statuses].into_iter().flatten().flatten();
    let waiting = all.filter_map(|status| status.state.as_ref()?.waiting.as_ref());
    let mut reasons = waiting.map(|waiting| {
        (waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default())
    });
    reasons.find(|(reason, _)| !matches!(*reason, "" | "PodInitializing" | "ContainerCreating"))
}

/// The container that the command line makes; in a Pod of somebody else's shape, the first.
pub(crate) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let all = pod.status.as_ref()?.container_statuses.as_ref()?;
    all.iter().find(|status| status.name == CONTAINER).or_else(|| all.first())
}

/// One line on what is waited for.
pub(crate) fn describe(name: &str, scene: &Scene) -> String {
    let Some(sandbox) = &scene.sandbox else { return format!("{name}: waiting to be seen") };
    let state = state(sandbox);
    let pod = scene.pod.as_ref();
    let why = pod.and_then(stuck).map(|(reason, message)| format!("{reason} {message}"));
    let why = why.or_else(|| pod.and_then(unscheduled)).unwrap_or(state.message);
    format!("{name}: {} {why}", state.word.to_lowercase()).trim_end().to_owned()
}

/// Why the Pod has no place to run yet.
pub(crate) fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(format!("waits for a place to run: {}", scheduled.message.as_deref().unwrap_or("not scheduled yet")))
}

#[cfg(test)]
mod tests;
