//! What clients see of requests that fail.

use super::World;
use crate::sandbox::{Failure, Memory, Step, Target};
use serde_json::{Value, json};

fn error(world: &World) -> String {
    world.condition("Ready").replace("False ReconcilerError: Error seen: ", "error: ")
}

/// A running world whose Pod needs a label that it does not get.
fn stuck(says: &'static str, lasting: bool) -> World {
    let mut world = World::running(json!({}));
    world.sandbox.as_mut().unwrap()["spec"]["podTemplate"]["metadata"] = json!({"labels": {"a": "b"}});
    world.refused = Some(("patch pod", says, lasting));
    world
}

#[test]
fn a_failure_that_may_pass_is_told_after_ten_seconds_and_the_pod_stays() {
    let mut world = stuck("too many requests", false);
    for left in [10_000, 5_000, 1] {
        assert_eq!(world.pass(), (vec!["patch pod s".to_owned()], format!("{left} retry")));
        assert_eq!(world.ready(), "True DependenciesReady");
        world.advance(if left == 5_000 { 4_999 } else { 5_000.min(left) });
    }
    assert_eq!(world.pass(), (vec!["patch pod s".to_owned(), "patch status".to_owned()], "retry".to_owned()));
    assert_eq!(error(&world), "error: failed to patch pod: too many requests");
    assert_eq!(world.status()["podIPs"], json!(["10.0.0.1"]));
    assert_eq!(world.status()["nodeName"], "n");
    assert_eq!(world.condition("PodScheduled"), "True PodScheduled: ");
}

#[test]
fn a_failure_that_is_told_keeps_its_words_and_goes_with_the_next_success() {
    let mut world = stuck("no", true);
    world.pass();
    assert_eq!(error(&world), "error: failed to patch pod: no");
    for says in ["try later", "too many requests"] {
        world.refused = Some(("patch pod", says, false));
        for _ in 0..4 {
            world.advance(5_000);
            assert_eq!(world.pass().0, ["patch pod s"], "nothing new is told");
        }
    }
    assert_eq!(error(&world), "error: failed to patch pod: no");
    world.refused = Some(("patch pod", "still not", true));
    assert_eq!(world.pass().0, ["patch pod s", "patch status"], "another refusal is new");
    world.refused = None;
    assert_eq!(world.settled(), ["patch pod s", "patch status"]);
    assert_eq!(world.ready(), "True DependenciesReady");
}

#[test]
fn patience_begins_anew_after_a_success() {
    let mut world = stuck("try later", false);
    world.pass();
    world.refused = None;
    world.pass();
    world.advance(60_000);
    world.sandbox.as_mut().unwrap()["spec"]["podTemplate"]["metadata"] = json!({"labels": {"a": "c"}});
    world.refused = Some(("patch pod", "try later", false));
    assert_eq!(world.pass().1, "10000 retry");
}

#[test]
fn a_restarted_controller_keeps_the_error_until_it_knows_better() {
    let mut world = World::new(json!({}));
    world.refused = Some(("create pod", "quota", true));
    world.pass();
    world.memory = Memory::default();
    world.refused = Some(("create pod", "try later", false));
    for _ in 0..2 {
        assert_eq!(world.pass().0, ["create pod s"]);
        assert_eq!(error(&world), "error: quota");
        world.advance(5_000);
    }
    assert_eq!(world.pass().0, ["create pod s", "patch status"]);
    assert_eq!(error(&world), "error: try later");
}

#[test]
fn an_objection_that_is_gone_is_not_kept_by_the_failure_after_it() {
    let mut world = World::new(json!({}));
    world.stray_pod("s", json!({}));
    world.pass();
    assert!(error(&world).contains("cannot adopt"));
    world.pods.clear();
    world.refused = Some(("create pod", "try later", false));
    world.pass();
    assert_eq!(world.condition("Ready"), "False DependenciesNotReady: Pod does not exist");
}

#[test]
fn a_refused_annotation_is_told_although_it_is_about_the_sandbox() {
    let mut world = World::running(json!({}));
    world.change("Sandbox", "s", json!({"metadata": {"annotations": {"agents.x-k8s.io/pod-name": "gone"}}}));
    world.refused = Some(("patch sandbox", "no", true));
    assert_eq!(world.pass().0, ["patch sandbox", "patch status"]);
    assert_eq!(error(&world), "error: failed to set pod name annotation: no");
}

#[test]
fn a_failure_is_told_with_what_was_tried() {
    let target = || Target { name: "x".to_owned(), version: crate::sandbox::Version::default() };
    let owners = || json!({"metadata": {"ownerReferences": []}});
    let named = |name: Value| json!({"metadata": {"annotations": {"agents.x-k8s.io/pod-name": name}}});
    let rows = [
        (Step::PatchClaim(target(), owners()), "failed to patch PVC with owner reference: no"),
        (Step::PatchPod(target(), owners()), "failed to patch pod: no"),
        (Step::DeletePod(target()), "failed to delete pod: no"),
        (Step::PatchService(target(), json!({})), "failed to patch owned service: no"),
        (Step::PatchService(target(), owners()), "failed to update service with owner reference: no"),
        (Step::DeleteService(target()), "failed to delete service: no"),
        (Step::PatchSandbox(target(), named(json!("p"))), "failed to set pod name annotation: no"),
        (Step::PatchSandbox(target(), named(Value::Null)), "failed to clear pod name annotation: no"),
        (Step::DeleteSandbox(target()), "failed to delete sandbox: no"),
        (Step::CreatePod(Box::default()), "no"),
        (Step::CreateService(Box::default()), "no"),
        (Step::CreateClaim(Box::default()), "no"),
    ];
    for (step, expected) in rows {
        assert_eq!(Failure::of(&step, "no", true).text, expected);
    }
}

#[test]
fn a_service_that_could_not_be_made_or_removed_leaves_the_status_as_it_was() {
    let mut world = World::running(json!({"service": true}));
    world.spec(json!({"service": false}));
    world.refused = Some(("delete service", "no", true));
    world.pass();
    assert_eq!(error(&world), "error: failed to delete service: no");
    assert_eq!(
        (&world.status()["service"], &world.status()["serviceFQDN"]),
        (&json!("s"), &json!("s.ns.svc.cluster.local"))
    );
    let mut world = World::running(json!({"service": true}));
    world.services.clear();
    world.refused = Some(("create service", "no", true));
    world.pass();
    assert_eq!(world.status()["service"], "s");
    let foreign = json!({"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": true}]});
    world.refused = None;
    world.stray_service(foreign, json!({}));
    world.pass();
    assert!(error(&world).contains("is owned by X/x"), "{}", error(&world));
    assert_eq!(world.status()["service"], "s");
}

#[test]
fn several_pods_do_not_keep_other_errors_from_being_tried_again() {
    let spec = json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let mut world = World::running(spec);
    let owner = world.pods["s"]["metadata"]["ownerReferences"].clone();
    world.stray_pod("s2", json!({"ownerReferences": owner}));
    world.pass();
    assert_eq!(world.pass().1, "", "several Pods wait for news of one of them");
    world.claims.clear();
    world.stray_claim("data-s", json!({}));
    assert_eq!(world.pass().1, "retry", "somebody may offer the claim without news of it");
    assert_eq!(world.ready(), "False MultiplePods");
}

#[test]
fn several_pods_are_told_after_the_write_that_says_so() {
    let mut world = World::running(json!({}));
    let owner = world.pods["s"]["metadata"]["ownerReferences"].clone();
    world.stray_pod("s2", json!({"ownerReferences": owner}));
    world.refused = Some(("patch status", "try later", false));
    world.pass();
    assert!(world.warnings.is_empty(), "{:?}", world.warnings);
    world.refused = None;
    world.pass();
    assert_eq!(world.warnings.len(), 1);
    world.pass();
    assert_eq!(world.warnings.len(), 1);
}
