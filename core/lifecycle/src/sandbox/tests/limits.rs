//! Whatever others put into names, reasons and messages: the status can be written, and what cannot be made is refused
//! before anything is.

use super::World;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// Fails if the shipped schema refuses the Sandbox as it is.
#[track_caller]
fn check_schema(world: &World) {
    static SCHEMA: LazyLock<Arc<schema::Schema>> = LazyLock::new(|| {
        let document: Value = serde_saphyr::from_str(crd::documents()[0]).unwrap();
        let versions = document["spec"]["versions"].as_array().unwrap().clone();
        let stored = versions.into_iter().find(|version| version["storage"] == true).unwrap();
        schema::Schema::compile(&stored["schema"]["openAPIV3Schema"]).unwrap()
    });
    let errors = schema::validate(&SCHEMA, world.sandbox.as_ref().unwrap(), None);
    assert!(errors.is_empty(), "{:?}", errors.iter().take(3).map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn an_error_longer_than_a_condition_can_hold_is_cut_between_characters() {
    static LONG: LazyLock<String> = LazyLock::new(|| "é".repeat(40_000));
    let mut world = World::new(json!({}));
    world.refused = Some(("create pod", &LONG, true));
    world.pass();
    let message = world.condition("Ready");
    assert!(message.starts_with("False ReconcilerError: Error seen: éé") && message.ends_with('é'));
    assert!(message.len() > 32_700);
    check_schema(&world);
    assert_eq!(world.pass().0, ["create pod s"], "the cut message is the one that is there");
}

/// Kubernetes does not check the reason of a Pod's condition: a scheduler may write any text.
#[test]
fn a_reason_that_a_condition_cannot_have_is_replaced() {
    let long = "R".repeat(1025);
    let rows = [
        ("True", "", "PodScheduled"),
        ("False", "", "PodSchedulingUnknown"),
        ("Unknown", "", "PodSchedulingUnknown"),
        ("False", "Unschedulable", "Unschedulable"),
        ("False", "A,b:C_1", "A,b:C_1"),
        ("False", "not a word", "PodSchedulingUnknown"),
        ("True", "ends-", "PodScheduled"),
        ("False", "Ends:", "PodSchedulingUnknown"),
        ("False", "9Lives", "PodSchedulingUnknown"),
        ("False", &long, "PodSchedulingUnknown"),
    ];
    for (status, reason, expected) in rows {
        let mut world = World::new(json!({}));
        world.settled();
        world.advance(60_000);
        let condition = json!({"type": "PodScheduled", "status": status, "reason": reason, "message": "m".repeat(40_000)});
        world.change("Pod", "s", json!({"status": {"phase": "Pending", "conditions": [condition]}}));
        world.settled();
        let says = world.condition("PodScheduled");
        assert!(
            says.starts_with(&format!("{status} {expected}: mm")),
            "{reason}: {}",
            &says[..80.min(says.len())]
        );
        check_schema(&world);
    }
}

#[test]
fn a_volume_claim_that_no_server_would_take_is_refused_before_anything_is_made() {
    let long = "n".repeat(240);
    let template = |names: &[&str]| {
        let templates: Vec<Value> =
            names.iter().map(|name| json!({"metadata": {"name": name}, "spec": {}})).collect();
        json!({ "volumeClaimTemplates": templates })
    };
    let rows = [
        ("s", template(&["fine", "Data"]), "volumeClaimTemplate name \"Data\" cannot name a volume"),
        ("s", template(&[""]), "volumeClaimTemplate name \"\" cannot name a volume"),
        ("s", template(&["a.b"]), "cannot name a volume"),
        ("s", template(&["-a"]), "cannot name a volume"),
        ("s", template(&["a", "a"]), "volumeClaimTemplate name \"a\" is given twice"),
        (long.as_str(), template(&["thirteen-char"]), "would have 254 characters, of at most 253"),
    ];
    for (name, spec, says) in rows {
        let mut world = World::named(name, spec);
        assert_eq!(world.settled(), ["patch status"]);
        assert_eq!(world.ready(), "False ReconcilerError");
        assert!(world.condition("Ready").contains(says), "{}", world.condition("Ready"));
    }
    let mut world = World::named(&long, template(&["twelve-chars"]));
    assert_eq!(world.settled().len(), 3, "253 characters are fine");
}

/// Kubernetes takes a Service name that begins with a digit from 1.36 on (RelaxedServiceNameValidation).
#[test]
fn a_name_that_begins_with_a_digit_is_left_to_the_server_before_anything_else_is_made() {
    let spec = json!({"service": true, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let mut world = World::named("1s", spec.clone());
    world.refused =
        Some(("create service", "a DNS-1035 label must start with an alphabetic character", true));
    let (sent, again) = world.pass();
    assert_eq!(
        (sent, again.as_str()),
        (vec!["create service 1s".to_owned(), "patch status".to_owned()], "retry")
    );
    assert!(world.condition("Ready").contains("DNS-1035"), "{}", world.condition("Ready"));
    let mut world = World::named("1s", spec);
    assert_eq!(
        world.settled(),
        ["create service 1s", "create claim data-1s", "create pod 1s", "patch status"]
    );
}

/// `x-kubernetes-int-or-string` sets no bounds: the server takes a port that no Pod can have.
fn unreadable(world: &mut World) {
    let probe = json!({"httpGet": {"port": 3_000_000_000_u64}});
    world.spec(json!({"podTemplate": {"spec": {"containers": [{"name": "c", "readinessProbe": probe}]}}}));
}

#[test]
fn a_sandbox_that_cannot_be_read_says_what_and_makes_nothing() {
    let mut world = World::new(json!({"service": true}));
    unreadable(&mut world);
    assert_eq!(world.settled(), ["patch status"]);
    let ready = world.condition("Ready");
    let path = "False ReconcilerError: Error seen: spec.podTemplate.spec.containers[0].readinessProbe";
    assert!(ready.starts_with(path) && ready.contains("3000000000"), "{ready}");
    world.spec(json!({"podTemplate": {"spec": {"containers": [{"name": "c"}]}}}));
    assert_eq!(world.settled(), ["create pod s", "create service s", "patch status"]);
}

#[test]
fn a_running_sandbox_that_cannot_be_read_any_more_keeps_its_pod_and_still_ends() {
    let running = || {
        let mut world = World::running(json!({"shutdownTime": "2026-01-02T04:00:00Z"}));
        world.change("Pod", "s", json!({"metadata": {"labels": {"theirs": "1"}}}));
        unreadable(&mut world);
        assert_eq!(world.settled(), ["patch status"]);
        assert_eq!(world.ready(), "False ReconcilerError");
        assert_eq!(world.status()["podIPs"], json!(["10.0.0.1"]));
        assert_eq!(world.pods["s"]["metadata"]["labels"]["theirs"], "1");
        world
    };
    let mut world = running();
    world.spec(json!({"operatingMode": "Suspended"}));
    assert_eq!(world.settled(), ["delete pod s", "patch status"]);
    let mut world = running();
    world.advance(3_600_000);
    assert_eq!(world.settled(), ["delete pod s", "patch status"]);
    assert_eq!(world.ready(), "False SandboxExpired");
}
