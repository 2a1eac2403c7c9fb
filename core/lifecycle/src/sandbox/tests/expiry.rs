//! The end of a Sandbox's time.

use super::World;
use serde_json::json;

const SOON: &str = "2026-01-02T03:05:06.500Z";

#[test]
fn it_comes_back_exactly_in_time() {
    let mut world = World::running(json!({"shutdownTime": SOON}));
    assert_eq!(world.pass().1, "1500");
    world.advance(1499);
    assert_eq!(world.pass().1, "1");
    world.advance(1);
    assert_eq!(world.pass().0[0], "delete pod s");
}

#[test]
fn a_far_end_is_looked_at_every_minute_because_clocks_are_set() {
    let mut world = World::running(json!({"shutdownTime": "2027-01-02T03:04:05Z"}));
    assert_eq!(world.pass().1, "60000");
}

#[test]
fn retain_takes_one_pass_and_keeps_claims_and_a_record() {
    let spec = json!({"service": true, "shutdownTime": SOON, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let mut world = World::running(spec);
    world.advance(2000);
    assert_eq!(
        world.pass(),
        (["delete pod s", "delete service s", "patch status"].map(str::to_owned).to_vec(), String::new())
    );
    insta::assert_json_snapshot!("status_expired", world.status());
    assert_eq!(world.claims.len(), 1);
    world.change("Pod", "s", json!({"status": {"phase": "Failed"}}));
    assert_eq!(world.pass(), (vec![], String::new()), "a terminating Pod is not deleted again");
}

#[test]
fn delete_marks_and_goes_after_its_children() {
    let mut world =
        World::running(json!({"service": true, "shutdownTime": SOON, "shutdownPolicy": "Delete"}));
    world.advance(2000);
    world.refused = Some(("delete pod", "try later", false));
    assert_eq!(world.pass().1, "10000 retry");
    assert!(world.sandbox.is_some(), "not before its Pod");
    assert_eq!(world.ready(), "False SandboxExpired");
    world.refused = None;
    assert_eq!(world.pass().0, ["delete pod s", "delete sandbox"]);
    assert!(world.sandbox.is_none());
}

#[test]
fn all_owned_pods_go_and_no_others() {
    let mut world = World::running(json!({"shutdownTime": SOON}));
    let owner = world.pods["s"]["metadata"]["ownerReferences"].clone();
    world.stray_pod("s2", json!({"ownerReferences": owner}));
    world.stray_pod("not-ours", json!({}));
    world.advance(2000);
    assert_eq!(world.pass().0, ["delete pod s", "delete pod s2", "patch status"]);
}

#[test]
fn a_refused_deletion_is_tried_again_and_the_mark_is_there() {
    let mut world = World::running(json!({"shutdownTime": SOON}));
    world.advance(2000);
    world.refused = Some(("delete pod", "no", true));
    assert_eq!(
        world.pass(),
        (["delete pod s", "patch status"].map(str::to_owned).to_vec(), "retry".to_owned())
    );
    assert_eq!(world.condition("Ready"), "False SandboxExpired: Sandbox has expired");
    assert_eq!(world.status()["podIPs"], json!(["10.0.0.1"]), "its Pod still runs");
    world.refused = None;
    assert_eq!(world.settled(), ["delete pod s", "patch status"]);
    assert_eq!(world.status()["podIPs"], json!(null));
}

#[test]
fn a_sandbox_that_finished_says_so_after_its_end() {
    let mut world = World::running(json!({"shutdownTime": SOON}));
    world.change("Pod", "s", json!({"status": {"phase": "Succeeded"}}));
    world.settled();
    world.advance(2000);
    world.pass();
    assert_eq!(world.condition("Finished"), "True PodSucceeded: Pod completed successfully");
}

#[test]
fn a_sandbox_born_expired_starts_nothing() {
    let mut world = World::new(json!({"service": true, "shutdownTime": "2020-01-01T00:00:00Z"}));
    assert_eq!(world.pass(), (vec!["patch status".to_owned()], String::new()));
    assert_eq!(world.ready(), "False SandboxExpired");
}

#[test]
fn more_time_brings_it_back() {
    let mut world = World::running(json!({"shutdownTime": SOON}));
    world.advance(2000);
    world.settled();
    world.pods.clear();
    world.spec(json!({"shutdownTime": "2026-01-02T04:00:00Z"}));
    assert_eq!(world.settled(), ["create pod s", "patch status"]);
    assert_eq!(world.ready(), "False DependenciesNotReady");
}
