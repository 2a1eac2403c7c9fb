use super::*;
use serde_json::{Value, json};

fn scene(ready: (&str, &str), observed: i64, waiting: Option<(&str, &str)>) -> Scene {
    let time = "2026-01-01T00:00:00Z";
    let sandbox = serde_json::from_value(json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": {"name": "s", "generation": 2},
        "spec": {"podTemplate": {"spec": {"containers": []}}},
        "status": {"conditions": [{"type": "Ready", "status": ready.0, "reason": ready.1, "message": "m",
            "lastTransitionTime": time, "observedGeneration": observed}]}
    }));
    let pod =
        waiting.map(|(reason, message)| pod(&json!({"waiting": {"reason": reason, "message": message}})));
    Scene { sandbox: Some(sandbox.expect("sandbox")), told: true, seen: true, pod }
}

fn pod(state: &Value) -> Pod {
    let containers = json!([{"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
    serde_json::from_value(json!({"metadata": {"name": "s"}, "status": {"containerStatuses": containers}}))
        .expect("pod")
}

const COMING: (&str, &str) = ("False", "DependenciesNotReady");

#[test]
fn what_can_never_run_is_hopeless_without_any_pod() {
    // What the controller says of a Pod that the API refused: an unknown RuntimeClass, a relative workingDir.
    let refused = scene(("False", "ReconcilerError"), 2, None);
    assert!(matches!(started("s", &refused), Verdict::Hopeless(_)));
    assert!(matches!(ready("s", &refused), Verdict::Hopeless(_)));
    assert!(matches!(started("s", &scene(COMING, 2, None)), Verdict::Wait));
}

#[test]
fn a_condition_of_an_older_generation_decides_nothing() {
    assert!(matches!(ready("s", &scene(("False", "PodFailed"), 1, None)), Verdict::Wait));
    assert!(matches!(ready("s", &scene(("True", "DependenciesReady"), 1, None)), Verdict::Wait));
}

#[test]
fn a_waiting_reason_that_stays_is_told_with_its_message() {
    let stuck = |reason| ready("s", &scene(COMING, 2, Some((reason, "no such image"))));
    let Verdict::Hopeless(failure) = stuck("ImagePullBackOff") else { panic!("hopeless") };
    assert!(failure.to_string().contains("ImagePullBackOff: no such image"), "{failure}");
    assert!(matches!(stuck("CrashLoopBackOff"), Verdict::Hopeless(_)));
    assert!(matches!(stuck("ErrImagePull"), Verdict::Fading(_)), "a registry may answer again");
    assert!(matches!(stuck("CreateContainerConfigError"), Verdict::Fading(_)));
    assert!(matches!(stuck("ContainerCreating"), Verdict::Wait));
    assert!(
        describe("s", &scene(COMING, 2, Some(("ErrImagePull", "no such image")))).contains("no such image")
    );
}

#[test]
fn a_process_that_has_ended_already_has_started() {
    let mut ended = scene(("False", "PodFailed"), 2, None);
    ended.pod = Some(pod(&json!({"terminated": {"exitCode": 3}})));
    assert!(matches!(started("s", &ended), Verdict::Done));
}

#[test]
fn a_sandbox_that_was_there_and_is_gone_is_not_waited_for() {
    let mut deleted = Scene::default();
    assert!(matches!(started("s", &deleted), Verdict::Wait));
    (deleted.told, deleted.seen) = (true, true);
    assert!(matches!(started("s", &deleted), Verdict::Hopeless(_)));
    assert!(matches!(gone("s", &deleted), Verdict::Done));
}

#[test]
fn a_sandbox_is_gone_once_the_server_has_said_so() {
    assert!(matches!(gone("x", &Scene::default()), Verdict::Wait), "nothing is known yet");
    assert!(matches!(gone("x", &Scene { told: true, ..Scene::default() }), Verdict::Done));
}
