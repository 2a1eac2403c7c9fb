//! What a sandbox waits for, in plain words, and what to do.

use super::{Case, time_of};
use crate::{
    sandbox::{State, name},
    verdict::unscheduled,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// One line for each thing that stands in the way; or what the sandbox's state allows to do next.
pub(super) fn advise(case: &Case, state: &State) -> Vec<String> {
    let name = name(&case.sandbox);
    let mut lines: Vec<String> = case
        .claims
        .iter()
        .filter(|claim| phase_of_claim(claim) != "Bound")
        .map(|claim| {
            let claim_name = claim.metadata.name.as_deref().unwrap_or_default();
            format!(
                "waits for volume claim {claim_name} ({}): {}",
                phase_of_claim(claim),
                last_event(case, claim_name)
            )
        })
        .collect();
    if let Some(pod) = &case.pod {
        lines.extend(unscheduled(pod));
        lines.extend(statuses(pod).filter_map(|status| waiting(status, name)));
        if matches!(state.word, "Completed" | "Failed") {
            lines.extend(refused(pod));
            lines.extend(statuses(pod).filter_map(|status| ended(status, name)));
        }
    }
    if lines.is_empty() {
        lines.push(by_state(state, name));
    }
    lines
}

fn phase_of_claim(claim: &k8s_openapi::api::core::v1::PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn last_event(case: &Case, object: &str) -> String {
    let events = case.events.iter().filter(|event| event.involved_object.name.as_deref() == Some(object));
    // The list is in the order of names.
    events
        .max_by_key(|event| time_of(event))
        .and_then(|event| event.message.clone())
        .unwrap_or_else(|| "nothing was said of it yet".to_owned())
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

fn waiting(status: &ContainerStatus, sandbox: &str) -> Option<String> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or("waiting");
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(format!("container {} waits: {reason} {message}\n  {}", status.name, remedy(reason, sandbox)))
}

/// What the node says of a Pod that it does not run, or runs no longer.
fn refused(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let message = status.message.as_deref().filter(|message| !message.is_empty())?;
    Some(format!("{}: {message}", status.reason.as_deref().unwrap_or("Failed")))
}

fn ended(status: &ContainerStatus, sandbox: &str) -> Option<String> {
    let ended = status.state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("ended");
    let message = ended.message.as_ref().map_or_else(String::new, |message| format!(": {}", message.trim()));
    Some(format!(
        "container {} ended with exit code {} ({reason}){message}\n  {}",
        status.name,
        ended.exit_code,
        match reason {
            "OOMKilled" => "it used more memory than its limit: raise the limit, or use less".to_owned(),
            "ContainerCannotRun" | "StartError" => again("correct the command or the image", sandbox),
            _ => format!("'agent-sandbox logs {sandbox}' shows its output; suspend and resume start it anew"),
        }
    ))
}

fn again(correct: &str, sandbox: &str) -> String {
    format!("{correct}: delete the sandbox with 'agent-sandbox rm {sandbox}' and create it again")
}

fn remedy(reason: &str, sandbox: &str) -> String {
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
            "check the image's name; 'agent-sandbox image pull REFERENCE' shows the registry's own words"
                .to_owned()
        }
        "CrashLoopBackOff" => format!(
            "its process keeps ending: 'agent-sandbox logs --previous {sandbox}' shows its last words"
        ),
        "CreateContainerConfigError" => again(
            "create the ConfigMap, Secret or key that is missing; or correct what the message names",
            sandbox,
        ),
        "CreateContainerError" | "RunContainerError" | "ContainerCannotRun" | "StartError" => {
            again("correct the command or the image", sandbox)
        }
        "CreatePodSandboxError" => {
            "'agent-sandbox doctor' says what this machine offers and lacks".to_owned()
        }
        _ => "this passes by itself; look again in a moment".to_owned(),
    }
}

fn by_state(state: &State, name: &str) -> String {
    match state.word {
        "Ready" => format!("nothing is wrong: 'agent-sandbox exec {name} -- COMMAND' runs something in it"),
        "Suspended" => format!("it was suspended: 'agent-sandbox resume {name}' starts it again"),
        "Expired" => format!(
            "its time is over, and it was kept: 'agent-sandbox expire {name} 1h' starts it again for an hour ('never': for \
             good), 'agent-sandbox rm {name}' deletes it with its volumes"
        ),
        "Completed" | "Failed" => format!(
            "its main process ended: 'agent-sandbox logs {name}' shows its output; suspend and resume start it anew"
        ),
        "Error" => format!(
            "the message above says what to correct; then delete it with 'agent-sandbox rm {name}' and create it again"
        ),
        _ => "this passes by itself; look again in a moment".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_reason_that_stays_has_a_remedy_of_its_own() {
        let passing = remedy("ContainerCreating", "s");
        for reason in
            ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError", "RunContainerError"]
        {
            assert_ne!(remedy(reason, "s"), passing, "{reason}");
        }
        assert!(remedy("CrashLoopBackOff", "box").contains("logs --previous box"));
    }

    #[test]
    fn the_newest_event_is_told_whatever_its_name() {
        let event = |name: &str, time: &str, message: &str| json!({"metadata": {"name": name}, "involvedObject": {"name": "data-s"}, "lastTimestamp": time, "message": message});
        let events = json!([
            event("a", "2026-01-01T00:00:09Z", "newest"),
            event("b", "2026-01-01T00:00:01Z", "oldest"),
        ]);
        let case = Case {
            sandbox: crd::v1beta1::Sandbox::default(),
            pod: None,
            claims: Vec::new(),
            events: serde_json::from_value(events).expect("events"),
        };
        assert_eq!(last_event(&case, "data-s"), "newest");
    }
}
