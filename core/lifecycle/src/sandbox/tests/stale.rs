//! Decisions on a state that is no more: the server refuses what was decided on it, and nobody's object is harmed.

use super::World;
use serde_json::{Value, json};

const CONFLICT: &str = "10000 retry";

/// Another Pod of the same name, controlled by the Sandbox all the same.
fn replace_pod(world: &mut World) -> Value {
    let owner = world.pods["s"]["metadata"]["ownerReferences"].clone();
    world.pods.clear();
    world.stray_pod(
        "s",
        json!({"ownerReferences": owner, "labels": {"agents.x-k8s.io/sandbox-name-hash": "f60c4582"}}),
    );
    world.pods["s"]["metadata"]["uid"].clone()
}

#[test]
fn a_pod_that_took_the_place_of_the_one_seen_is_not_deleted_for_it() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    world.hold_watch();
    let uid = replace_pod(&mut world);
    assert_eq!(
        world.pass(),
        (vec!["delete pod s".to_owned(), "patch status".to_owned()], CONFLICT.to_owned())
    );
    assert_eq!(world.pods["s"]["metadata"]["uid"], uid);
    assert!(world.pods["s"]["metadata"]["deletionTimestamp"].is_null());
    world.release_watch();
    assert_eq!(world.pass().0[0], "delete pod s");
    assert!(!world.pods["s"]["metadata"]["deletionTimestamp"].is_null());
}

#[test]
fn a_pod_that_changed_since_is_not_relabelled_on_the_old_state() {
    let mut world = World::running(json!({}));
    world.spec(json!({"podTemplate": {"metadata": {"labels": {"a": "1"}}}}));
    world.hold_watch();
    world.change("Pod", "s", json!({"metadata": {"labels": {"a": "theirs"}}}));
    assert_eq!(world.pass().1, CONFLICT);
    assert_eq!(world.pods["s"]["metadata"]["labels"]["a"], "theirs");
    world.release_watch();
    world.settled();
    assert_eq!(world.pods["s"]["metadata"]["labels"]["a"], "1");
}

#[test]
fn a_status_written_by_somebody_else_meanwhile_survives_until_it_is_seen() {
    let mut world = World::running(json!({}));
    world.hold_watch();
    let theirs = json!([{"type": "Theirs", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]);
    world.change("Sandbox", "s", json!({"status": {"conditions": theirs}}));
    world.pods.clear();
    world.release_watch();
    world.hold_watch();
    world.change("Sandbox", "s", json!({"metadata": {"labels": {"a": "b"}}}));
    let (sent, again) = world.pass();
    assert_eq!(
        (sent, again.as_str()),
        (vec!["create pod s".to_owned(), "patch status".to_owned()], CONFLICT)
    );
    assert_eq!(world.status()["conditions"][0]["type"], "Theirs");
    world.release_watch();
    assert_eq!(world.settled(), ["patch status"]);
    assert_eq!(world.condition("Theirs"), "True R: ", "what others say stays beside it");
    assert_eq!(world.sandbox.unwrap()["metadata"]["labels"]["a"], "b");
}

#[test]
fn a_pod_made_by_somebody_else_meanwhile_is_looked_at_before_it_is_used() {
    let mut world = World::new(json!({}));
    world.hold_watch();
    world.stray_pod("s", json!({}));
    assert_eq!(world.pass().0, ["create pod s", "patch status"]);
    assert!(world.condition("Ready").contains("cannot adopt unowned pod"), "{}", world.condition("Ready"));
    assert!(world.pods["s"]["metadata"]["ownerReferences"].is_null());
}

#[test]
fn an_expired_sandbox_that_got_more_time_meanwhile_is_not_deleted() {
    let mut world = World::new(json!({"shutdownTime": "2026-01-02T03:04:06Z", "shutdownPolicy": "Delete"}));
    world.settled();
    world.pods.clear();
    world.advance(2000);
    world.hold_watch();
    world.spec(json!({"shutdownTime": "2027-01-02T03:04:06Z"}));
    assert_eq!(world.pass().1, CONFLICT);
    world.release_watch();
    world.pass();
    assert!(world.sandbox.is_some());
    assert_eq!(world.ready(), "False DependenciesNotReady");
}

#[test]
fn a_pod_that_is_gone_already_needs_no_second_deletion() {
    let mut world = World::running(json!({}));
    world.spec(json!({"operatingMode": "Suspended"}));
    world.hold_watch();
    world.pods.clear();
    assert_eq!(world.settled(), ["delete pod s", "patch status"]);
    assert_eq!(
        world.condition("Suspended"),
        "True PodTerminated: Pod has been terminated. Sandbox is suspended"
    );
}
