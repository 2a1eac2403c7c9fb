//! Small questions about Sandboxes that several verbs ask.

use crate::{
    connection::Connection,
    failure::{Doing as _, Failure, Result},
};
use crd::{conditions, names::annotation, v1beta1::Sandbox};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::Api;

/// What a sandbox is doing, in one word and, where it helps, a reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// `Ready`, `Starting`, `Suspending`, `Suspended`, `Expired`, `Completed`, `Failed`, `Error` or `Deleting`.
    pub(crate) word: &'static str,
    /// The Ready condition's message.
    pub(crate) message: String,
}

/// The Sandboxes of the connection's namespace.
pub(crate) fn sandboxes(connection: &Connection) -> Api<Sandbox> {
    Api::namespaced(connection.client.clone(), &connection.namespace)
}

/// The Pods of the connection's namespace.
pub(crate) fn pods(connection: &Connection) -> Api<Pod> {
    Api::namespaced(connection.client.clone(), &connection.namespace)
}

/// Reads one Sandbox; one that does not exist is named together with what to do.
pub(crate) async fn get(connection: &Connection, name: &str) -> Result<Sandbox> {
    let found = sandboxes(connection).get_opt(name).await.doing(|| format!("get sandbox {name:?}"))?;
    found.ok_or_else(|| not_found(connection, name))
}

/// The failure for a Sandbox that does not exist.
pub(crate) fn not_found(connection: &Connection, name: &str) -> Failure {
    Failure::new(format!("sandbox {name:?} does not exist in namespace {:?}", connection.namespace))
        .remedy("see 'agent-sandbox ls --all-namespaces'")
}

/// The name of the Pod behind a Sandbox.
pub(crate) fn pod_name(sandbox: &Sandbox) -> String {
    let annotations = sandbox.metadata.annotations.as_ref();
    let annotated = annotations.and_then(|all| all.get(annotation::POD_NAME)).filter(|name| !name.is_empty());
    annotated.or(sandbox.metadata.name.as_ref()).cloned().unwrap_or_default()
}

/// The name of a Sandbox.
pub(crate) fn name(sandbox: &Sandbox) -> &str {
    sandbox.metadata.name.as_deref().unwrap_or_default()
}

/// Whether the Ready condition is True and speaks of the current generation.
pub(crate) fn is_ready(sandbox: &Sandbox) -> bool {
    let status = sandbox.status.as_ref();
    let ready = status.and_then(|status| status.condition(conditions::READY));
    ready.is_some_and(|ready| {
        ready.status == "True"
            && ready.observed_generation.unwrap_or(0) >= sandbox.metadata.generation.unwrap_or(0)
    })
}

/// What the Sandbox is doing, from its conditions.
pub(crate) fn state(sandbox: &Sandbox) -> State {
    let status = sandbox.status.as_ref();
    let ready = status.and_then(|status| status.condition(conditions::READY));
    let message = ready.map(|ready| ready.message.clone()).unwrap_or_default();
    State { word: word(sandbox, ready.map(|ready| (ready.status.as_str(), ready.reason.as_str()))), message }
}

fn word(sandbox: &Sandbox, ready: Option<(&str, &str)>) -> &'static str {
    use conditions::reason;
    if sandbox.metadata.deletion_timestamp.is_some() {
        return "Deleting";
    }
    match ready {
        Some(("True", _)) => "Ready",
        Some((_, reason::SANDBOX_SUSPENDED)) if is_suspended(sandbox) => "Suspended",
        Some((_, reason::SANDBOX_SUSPENDED)) => "Suspending",
        Some((_, reason::SANDBOX_EXPIRED)) => "Expired",
        Some((_, reason::POD_SUCCEEDED)) => "Completed",
        Some((_, reason::POD_FAILED)) => "Failed",
        Some((_, reason::RECONCILER_ERROR | reason::MULTIPLE_PODS)) => "Error",
        _ => "Starting",
    }
}

/// Whether the suspension is complete, and is the one that the current generation asks for.
pub(crate) fn is_suspended(sandbox: &Sandbox) -> bool {
    let status = sandbox.status.as_ref();
    status
        .and_then(|status| status.condition(conditions::SUSPENDED))
        .is_some_and(|suspended| suspended.status == "True")
        && is_current(sandbox, conditions::SUSPENDED)
}

/// Whether a condition speaks of the current generation; one that names no generation is taken at its word.
pub(crate) fn is_current(sandbox: &Sandbox, condition: &str) -> bool {
    let condition = sandbox.status.as_ref().and_then(|status| status.condition(condition));
    condition
        .and_then(|condition| condition.observed_generation)
        .is_none_or(|observed| observed >= sandbox.metadata.generation.unwrap_or(0))
}

/// A timestamp as Kubernetes writes it.
pub(crate) fn rfc3339(time: &Time) -> String {
    time.0.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sandbox(ready: &str, reason: &str, suspended: &str) -> Sandbox {
        let time = "2026-01-01T00:00:00Z";
        serde_json::from_value(json!({
            "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
            "metadata": {"name": "s", "generation": 2},
            "spec": {"podTemplate": {"spec": {"containers": []}}},
            "status": {"conditions": [
                {"type": "Ready", "status": ready, "reason": reason, "message": "m", "lastTransitionTime": time, "observedGeneration": 2},
                {"type": "Suspended", "status": suspended, "reason": "X", "message": "", "lastTransitionTime": time},
            ]}
        }))
        .expect("sandbox")
    }

    #[test]
    fn each_reason_has_its_word() {
        let cases = [
            ("True", "DependenciesReady", "False", "Ready"),
            ("False", "DependenciesNotReady", "False", "Starting"),
            ("False", "SandboxSuspended", "False", "Suspending"),
            ("False", "SandboxSuspended", "True", "Suspended"),
            ("False", "SandboxExpired", "False", "Expired"),
            ("False", "PodFailed", "False", "Failed"),
            ("False", "ReconcilerError", "False", "Error"),
        ];
        for (ready, reason, suspended, expected) in cases {
            assert_eq!(state(&sandbox(ready, reason, suspended)).word, expected, "{reason}");
        }
    }

    #[test]
    fn ready_of_an_older_generation_is_not_ready() {
        let mut old = sandbox("True", "DependenciesReady", "False");
        assert!(is_ready(&old));
        old.metadata.generation = Some(3);
        assert!(!is_ready(&old));
    }
}
