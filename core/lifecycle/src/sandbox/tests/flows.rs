//! Whole lives, and what each part of them costs in requests.

use super::World;
use serde_json::json;

#[test]
fn a_fast_create_costs_three_requests() {
    let mut world = World::new(json!({}));
    assert_eq!(world.settled(), ["create pod s", "patch status"]);
    assert_eq!(world.condition("Ready"), "False DependenciesNotReady: Pod exists with phase: Pending");
    assert_eq!(world.condition("Suspended"), "False NotSuspended: Sandbox is not suspended");
    assert_eq!(
        world.condition("PodScheduled"),
        "Unknown PodSchedulingUnknown: Pod has not reported a PodScheduled condition yet"
    );
    world.advance(20);
    world.schedule("s");
    let (sent, again) = world.pass();
    assert!(sent.is_empty(), "progress is held back: {sent:?}");
    assert_eq!(again, "180");
    world.advance(20);
    world.run("s");
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Ready"), "True DependenciesReady: Pod is Ready");
    assert_eq!(world.condition("PodScheduled"), "True PodScheduled: ");
    insta::assert_json_snapshot!("status_running", world.status());
}

#[test]
fn a_slow_create_costs_four_requests_and_shows_progress() {
    let mut world = World::new(json!({}));
    world.settled();
    world.schedule("s");
    world.advance(200);
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("PodScheduled"), "True PodScheduled: ");
    assert_eq!(world.status()["nodeName"], "n");
    world.advance(5000);
    world.run("s");
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.requests.len(), 4);
}

#[test]
fn claims_and_service_cost_one_request_each() {
    let spec = json!({
        "service": true,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}, {"metadata": {"name": "more"}, "spec": {}}]
    });
    let mut world = World::new(spec);
    let expected =
        ["create claim data-s", "create claim more-s", "create pod s", "create service s", "patch status"];
    assert_eq!(world.settled(), expected);
    world.run("s");
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Ready"), "True DependenciesReady: Pod is Ready; Service Exists");
    assert_eq!(world.status()["serviceFQDN"], "s.ns.svc.cluster.local");
}

#[test]
fn suspend_costs_three_requests_and_keeps_claims_and_service() {
    let spec = json!({"service": true, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let mut world = World::running(spec);
    world.spec(json!({"operatingMode": "Suspended"}));
    assert_eq!(world.settled(), ["delete pod s", "patch status"]);
    assert_eq!(world.condition("Ready"), "False SandboxSuspended: Sandbox is suspending");
    assert_eq!(
        world.condition("Suspended"),
        "False PodTerminating: Pod is terminating. Sandbox is suspending"
    );
    assert_eq!(world.condition("PodScheduled"), "True PodScheduled: ");
    world.pods.clear();
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Ready"), "False SandboxSuspended: Sandbox is suspended");
    assert_eq!(
        world.condition("Suspended"),
        "True PodTerminated: Pod has been terminated. Sandbox is suspended"
    );
    assert_eq!(world.condition("PodScheduled"), "absent");
    assert_eq!((world.services.len(), world.claims.len()), (1, 1));
    insta::assert_json_snapshot!("status_suspended", world.status());
}

#[test]
fn resume_costs_three_requests_and_is_not_held_back() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    world.pods.clear();
    world.settled();
    world.requests.clear();
    world.advance(10);
    world.spec(json!({"operatingMode": "Running"}));
    assert_eq!(world.settled(), ["create pod s", "patch status"]);
    world.advance(10);
    world.run("s");
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.requests.len(), 3);
    assert_eq!(world.condition("Suspended"), "False NotSuspended: Sandbox is not suspended");
}

#[test]
fn a_sandbox_that_is_as_wanted_costs_nothing() {
    let mut world = World::running(json!({"service": true}));
    for _ in 0..5 {
        world.advance(10_000);
        assert_eq!(world.pass(), (vec![], String::new()));
    }
}

#[test]
fn an_annotation_of_an_older_controller_is_kept_right() {
    let mut world = World::running(json!({}));
    let annotated =
        |name: serde_json::Value| json!({"metadata": {"annotations": {"agents.x-k8s.io/pod-name": name}}});
    world.change("Sandbox", "s", annotated(json!("s")));
    assert!(world.settled().is_empty(), "a right one stays");
    world.change("Sandbox", "s", annotated(json!("gone")));
    assert_eq!(world.settled(), ["patch sandbox"]);
    let annotations = |world: &World| world.sandbox.as_ref().unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations(&world)["agents.x-k8s.io/pod-name"], "s");
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    world.pods.clear();
    assert_eq!(world.settled(), ["patch sandbox", "patch status"]);
    assert_eq!(annotations(&world), json!({}));
}

#[test]
fn a_pod_of_another_name_is_written_into_the_annotation() {
    let mut world = World::new(json!({}));
    let owner = json!([{"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "name": "s", "uid": "sandbox-uid",
                        "controller": true}]);
    world.stray_pod("other", json!({"ownerReferences": owner}));
    assert_eq!(world.settled(), ["patch pod other", "patch sandbox", "patch status"]);
    assert_eq!(world.sandbox.unwrap()["metadata"]["annotations"]["agents.x-k8s.io/pod-name"], "other");
}

#[test]
fn an_ended_pod_is_told_and_never_replaced() {
    for (phase, expected) in [
        ("Succeeded", "True PodSucceeded: Pod completed successfully"),
        ("Failed", "True PodFailed: Pod failed"),
    ] {
        let mut world = World::running(json!({}));
        world.change("Pod", "s", json!({"status": {"phase": phase}}));
        assert_eq!(world.settled(), ["patch status"]);
        assert_eq!(world.condition("Finished"), expected);
        assert_eq!(world.condition("Ready"), expected.replace("True", "False"));
        world.advance(3_600_000);
        assert!(world.settled().is_empty());
    }
}

#[test]
fn the_time_of_a_condition_moves_with_its_status_only() {
    let mut world = World::running(json!({}));
    let since = |world: &World| {
        let conditions = world.status()["conditions"].as_array().cloned().unwrap();
        let of = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind).cloned().unwrap();
        (of("Suspended")["lastTransitionTime"].clone(), of("Suspended")["observedGeneration"].clone())
    };
    let (start, _) = since(&world);
    world.spec(json!({"operatingMode": "Suspended"}));
    world.settled();
    assert_eq!(since(&world), (start.clone(), json!(2)), "False to False");
    world.pods.clear();
    world.settled();
    assert_ne!(since(&world).0, start, "False to True");
}

#[test]
fn a_pod_on_its_way_says_what_is_missing() {
    let scheduled = json!({"type": "PodScheduled", "status": "True"});
    let ready = |status: &str| json!({"type": "Ready", "status": status});
    let rows = [
        (
            json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [scheduled, ready("False")]}),
            "Pod is Running but not Ready",
        ),
        (
            json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [scheduled]}),
            "Pod is Running but not Ready",
        ),
        (
            json!({"phase": "Running", "podIPs": [], "conditions": [scheduled, ready("True")]}),
            "Pod is Ready but has no podIPs yet",
        ),
        // The single address of older kubelets is none of the published ones.
        (
            json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [scheduled, ready("True")]}),
            "Pod is Ready but has no podIPs yet",
        ),
        (json!({"phase": "Unknown", "conditions": [scheduled]}), "Pod exists with phase: Unknown"),
    ];
    for (status, expected) in rows {
        for (spec, suffix) in [(json!({}), ""), (json!({"service": true}), "; Service Exists")] {
            let mut world = World::new(spec);
            world.settled();
            world.advance(1000);
            world.change("Pod", "s", json!({ "status": status }));
            world.settled();
            assert_eq!(world.condition("Ready"), format!("False DependenciesNotReady: {expected}{suffix}"));
        }
    }
}
