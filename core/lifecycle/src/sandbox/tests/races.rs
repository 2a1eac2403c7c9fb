//! Races and failures, each as the world it shows as. Named after what must not happen.

use super::World;
use serde_json::json;

#[test]
fn a_deleted_sandbox_gets_no_work() {
    let mut world = World::new(json!({"service": true}));
    world.change("Sandbox", "s", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    assert_eq!(world.pass(), (vec![], String::new()));
}

#[test]
fn a_terminating_pod_is_not_ready_is_not_deleted_again_and_not_replaced_early() {
    let mut world = World::running(json!({}));
    world.change("Pod", "s", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Ready"), "False DependenciesNotReady: Pod exists with phase: Running");
    assert_eq!(world.status()["podIPs"], json!(["10.0.0.1"]));
    world.advance(10);
    world.pods.clear();
    let (sent, _) = world.pass();
    assert_eq!(sent[0], "create pod s");
}

#[test]
fn the_loss_of_a_pod_is_shown_for_200_ms_even_if_the_next_one_is_ready_at_once() {
    let mut world = World::running(json!({}));
    world.pods.clear();
    assert_eq!(world.settled(), ["create pod s", "patch status"]);
    world.advance(30);
    world.run("s");
    assert_eq!(world.pass(), (vec![], "170".to_owned()));
    assert_eq!(world.ready(), "False DependenciesNotReady");
    world.advance(170);
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.ready(), "True DependenciesReady");
}

#[test]
fn a_suspend_that_meets_a_new_pod_deletes_the_version_it_saw() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    let seen = crate::sandbox::plan(&world.snapshot(&[]), world.now);
    let crate::sandbox::Step::DeletePod(target) = &seen[0] else { panic!("{seen:?}") };
    assert_eq!(target.version.uid, world.pods["s"]["metadata"]["uid"].as_str().unwrap());
    assert_eq!(
        target.version.resource_version,
        world.pods["s"]["metadata"]["resourceVersion"].as_str().unwrap()
    );
}

#[test]
fn a_suspend_deletes_once_while_the_pod_terminates() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    for _ in 0..5 {
        world.advance(1000);
        world.change("Pod", "s", json!({"status": {"reason": "busy"}}));
        assert!(world.settled().is_empty());
    }
}

#[test]
fn a_pod_that_ends_while_we_delete_it_has_not_finished() {
    for phase in ["Succeeded", "Failed"] {
        let mut world = World::running(json!({}));
        world.spec(json!({"operatingMode": "Suspended"}));
        world.settled();
        let before = world.status();
        world.change("Pod", "s", json!({"status": {"phase": phase}}));
        assert!(world.settled().is_empty());
        assert_eq!(world.status(), before);
    }
}

#[test]
fn a_pod_that_had_finished_before_stays_finished_until_it_is_gone() {
    let mut world = World::running(json!({}));
    world.change("Pod", "s", json!({"status": {"phase": "Failed"}}));
    world.settled();
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    assert_eq!(world.condition("Finished"), "True PodFailed: Pod failed");
    world.pods.clear();
    world.settled();
    assert_eq!(world.condition("Finished"), "absent");
}

#[test]
fn a_resume_during_termination_waits_for_the_old_pod() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    world.spec(json!({"operatingMode": "Running"}));
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Ready"), "False DependenciesNotReady: Pod exists with phase: Running");
    world.pods.clear();
    let (sent, _) = world.pass();
    assert_eq!(sent[0], "create pod s");
}

#[test]
fn a_failed_patch_of_the_pod_clears_nothing_and_is_not_published() {
    let mut world = World::running(json!({}));
    let before = world.status();
    world.sandbox.as_mut().unwrap()["spec"]["podTemplate"]["metadata"] = json!({"labels": {"a": "b"}});
    world.refused = Some(("patch pod", "try later", false));
    assert_eq!(world.pass(), (vec!["patch pod s".to_owned()], "10000 retry".to_owned()));
    assert_eq!(world.status(), before);
    world.refused = None;
    assert_eq!(world.settled(), ["patch pod s"]);
}

#[test]
fn a_create_that_may_work_later_is_not_published_as_an_error() {
    let mut world = World::new(json!({}));
    world.refused = Some(("create pod", "try later", false));
    assert_eq!(
        world.pass(),
        (vec!["create pod s".to_owned(), "patch status".to_owned()], "10000 retry".to_owned())
    );
    assert_eq!(world.condition("Ready"), "False DependenciesNotReady: Pod does not exist");
    assert_eq!(world.condition("PodScheduled"), "absent");
    assert_eq!(world.pass(), (vec!["create pod s".to_owned()], "10000 retry".to_owned()));
}

#[test]
fn a_create_that_is_refused_says_why_and_is_tried_again_quietly() {
    let mut world = World::new(json!({}));
    world.refused = Some(("create pod", "pods \"s\" is forbidden: exceeded quota", true));
    world.pass();
    assert_eq!(
        world.condition("Ready"),
        "False ReconcilerError: Error seen: pods \"s\" is forbidden: exceeded quota"
    );
    assert_eq!(
        world.condition("PodScheduled"),
        "Unknown PodSchedulingUnknown: Pod state is unknown. Pod scheduling cannot be determined"
    );
    assert_eq!(world.pass(), (vec!["create pod s".to_owned()], "retry".to_owned()));
    world.refused = None;
    assert_eq!(world.settled(), ["create pod s", "patch status"]);
    assert_eq!(world.ready(), "False DependenciesNotReady");
}

#[test]
fn a_failure_of_one_child_does_not_stop_the_others() {
    let spec = json!({"service": true, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let mut world = World::new(spec);
    world.refused = Some(("create claim", "no room", true));
    let (sent, again) = world.pass();
    assert_eq!(sent, ["create claim data-s", "create pod s", "create service s", "patch status"]);
    assert_eq!(again, "retry");
    assert_eq!(world.condition("Ready"), "False ReconcilerError: Error seen: no room");
}

#[test]
fn a_status_write_that_loses_is_repeated_from_what_is_there_then() {
    let mut world = World::new(json!({}));
    world.refused = Some(("patch status", "the object has been modified", false));
    assert_eq!(
        world.pass(),
        (vec!["create pod s".to_owned(), "patch status".to_owned()], "10000 retry".to_owned())
    );
    world.refused = None;
    world.change("Sandbox", "s", json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.sandbox.unwrap()["metadata"]["labels"]["a"], "b");
}

#[test]
fn a_scheduler_that_words_its_refusal_anew_costs_one_write_in_ten_seconds() {
    let mut world = World::new(json!({}));
    world.settled();
    world.advance(1000);
    for n in 0..200 {
        let message = format!("0/{n} nodes are available");
        let condition = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
        world.change("Pod", "s", json!({"status": {"phase": "Pending", "conditions": condition}}));
        world.pass();
        world.advance(100);
    }
    assert!((3..=5).contains(&world.requests.len()), "{:?}", world.requests);
    world.advance(10_000);
    world.pass();
    assert_eq!(world.condition("PodScheduled"), "False Unschedulable: 0/199 nodes are available");
}

#[test]
fn several_pods_stop_everything_and_are_told_once() {
    let mut world = World::running(json!({"service": true}));
    let owner = world.pods["s"]["metadata"]["ownerReferences"].clone();
    world.stray_pod("s2", json!({"ownerReferences": owner}));
    assert_eq!(world.settled(), ["patch status"]);
    let message = "multiple Pods (2) are controlled by this Sandbox; refusing to choose or create a Pod";
    assert_eq!(world.condition("Ready"), format!("False MultiplePods: {message}"));
    assert_eq!(world.warnings, [format!("MultiplePods: {message}")]);
    assert_eq!(world.status()["podIPs"], json!(null));
    assert_eq!(world.status()["service"], "s");
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    assert_eq!(
        world.condition("Suspended"),
        "Unknown PodStateUnknown: Pod state is unknown. Sandbox suspension cannot be confirmed"
    );
    assert_eq!(world.pods.len(), 2);
}

#[test]
fn a_pod_that_somebody_else_ends_has_finished() {
    let mut world = World::running(json!({}));
    world.change("Pod", "s", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}));
    world.settled();
    world.change("Pod", "s", json!({"status": {"phase": "Failed"}}));
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Finished"), "True PodFailed: Pod failed");
}

#[test]
fn a_pod_that_ends_after_a_resume_because_of_the_suspend_before_has_not_finished() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    world.spec(json!({"operatingMode": "Running"}));
    world.settled();
    world.change("Pod", "s", json!({"status": {"phase": "Failed"}}));
    world.settled();
    assert_eq!(world.condition("Finished"), "absent");
    world.pods.clear();
    world.settled();
    assert_eq!(world.memory.deleted, None, "nothing is remembered of a Pod that is gone");
    world.run("s");
    world.change("Pod", "s", json!({"status": {"phase": "Failed"}}));
    world.settled();
    assert_eq!(world.condition("Finished"), "True PodFailed: Pod failed");
}
