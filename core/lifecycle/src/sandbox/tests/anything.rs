//! Whatever happens in whatever order: the plan converges, harms nobody else's objects and tells the truth.

use super::World;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Something that somebody does to the world.
#[derive(Clone, Debug)]
enum Event {
    Schedule,
    Run,
    End(bool),
    Terminate,
    Gone,
    StrayPod { name: &'static str, owner: Owner },
    StrayService(Owner),
    StrayClaim(Owner),
    Spec(Value),
    Annotate(Value),
    Refuse(&'static str, bool),
    Relent,
    Advance(i64),
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    Nobody,
    Offered,
    Us,
    Somebody,
}

fn event() -> impl Strategy<Value = Event> {
    let owner =
        || prop_oneof![Just(Owner::Nobody), Just(Owner::Offered), Just(Owner::Us), Just(Owner::Somebody)];
    let spec = prop_oneof![
        Just(json!({"operatingMode": "Suspended"})),
        Just(json!({"operatingMode": "Running"})),
        Just(json!({"service": true})),
        Just(json!({"service": false})),
        Just(json!({"service": null})),
        Just(json!({"shutdownTime": "2026-01-02T03:04:06Z"})),
        Just(json!({"shutdownTime": null})),
        Just(json!({"shutdownTime": "2026-01-02T03:04:06Z", "shutdownPolicy": "Delete"})),
        Just(json!({"podTemplate": {"metadata": {"labels": {"a": "1", "agents.x-k8s.io/x": "y"}}}})),
        Just(json!({"podTemplate": {"metadata": {"labels": {"a": null}, "annotations": {"b": "2"}}}})),
    ];
    let request = prop_oneof![
        Just("create pod"),
        Just("delete pod"),
        Just("patch pod"),
        Just("create service"),
        Just("create claim"),
        Just("patch status"),
        Just("patch sandbox")
    ];
    prop_oneof![
        Just(Event::Schedule),
        Just(Event::Run),
        any::<bool>().prop_map(Event::End),
        Just(Event::Terminate),
        Just(Event::Gone),
        (prop_oneof![Just("s"), Just("other")], owner())
            .prop_map(|(name, owner)| Event::StrayPod { name, owner }),
        owner().prop_map(Event::StrayService),
        owner().prop_map(Event::StrayClaim),
        spec.prop_map(Event::Spec),
        prop_oneof![Just(json!("other")), Just(json!("s")), Just(json!("")), Just(Value::Null)]
            .prop_map(Event::Annotate),
        (request, any::<bool>()).prop_map(|(request, lasting)| Event::Refuse(request, lasting)),
        Just(Event::Relent),
        (0_i64..3000).prop_map(Event::Advance),
    ]
}

fn metadata(owner: Owner) -> Value {
    let by = |uid: &str| {
        json!({"ownerReferences": [{"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "name": "s", "uid": uid,
                                    "controller": true}]})
    };
    match owner {
        Owner::Nobody => json!({}),
        Owner::Offered => json!({"labels": {"agents.x-k8s.io/adoptable": "true"}}),
        Owner::Us => by("sandbox-uid"),
        Owner::Somebody => by("another-uid"),
    }
}

fn happen(world: &mut World, event: Event) {
    let pod = world.pods.keys().next().cloned();
    match (event, pod) {
        (Event::Schedule, Some(pod)) => world.schedule(&pod),
        (Event::Run, Some(pod)) => world.run(&pod),
        (Event::End(well), Some(pod)) => {
            world.change(
                "Pod",
                &pod,
                json!({"status": {"phase": if well { "Succeeded" } else { "Failed" }}}),
            );
        }
        (Event::Terminate, Some(pod)) => {
            world.change("Pod", &pod, json!({"metadata": {"deletionTimestamp": super::world::START}}));
        }
        (Event::Gone, Some(pod)) => {
            world.pods.remove(&pod);
        }
        (Event::StrayPod { name, owner }, _) if !world.pods.contains_key(name) => {
            world.stray_pod(name, metadata(owner));
        }
        (Event::StrayService(owner), _) if world.services.is_empty() => {
            world.stray_service(metadata(owner), json!({}));
        }
        (Event::StrayClaim(owner), _) if world.claims.is_empty() => {
            world.stray_claim("data-s", metadata(owner))
        }
        (Event::Spec(spec), _) => world.spec(spec),
        (Event::Annotate(name), _) => {
            world.change(
                "Sandbox",
                "s",
                json!({"metadata": {"annotations": {"agents.x-k8s.io/pod-name": name}}}),
            );
        }
        (Event::Refuse(part, lasting), _) => world.refused = Some((part, "on purpose", lasting)),
        (Event::Relent, _) => world.refused = None,
        (Event::Advance(time), _) => world.advance(time),
        _ => {}
    }
}

/// Objects that are nobody's business but their owner's.
fn of_others(world: &World) -> Vec<Value> {
    let all = world.pods.values().chain(world.services.values()).chain(world.claims.values());
    all.filter(|object| object["metadata"]["ownerReferences"][0]["uid"] == "another-uid").cloned().collect()
}

fn owned(world: &World) -> Vec<&Value> {
    world.pods.values().filter(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == "sandbox-uid").collect()
}

fn check(world: &World, before: &[Value]) {
    assert_eq!(of_others(world), before, "objects of others are as they were");
    if world.sandbox.is_none() || world.refused.is_some() {
        return;
    }
    let ready = world.ready();
    if ready.starts_with("True") {
        let [pod] = owned(world)[..] else { panic!("Ready with {} Pods", owned(world).len()) };
        assert!(pod["metadata"]["deletionTimestamp"].is_null(), "Ready while its Pod goes");
        assert_eq!(pod["status"]["phase"], "Running");
    }
    if ready.ends_with("DependenciesNotReady") || ready.starts_with("True") {
        assert!(owned(world).len() <= 1, "no second Pod is made");
    }
    if owned(world).is_empty() {
        assert_eq!(world.status()["podIPs"], Value::Null, "addresses of nothing");
        assert!(
            world.condition("Finished") == "absent" || ready.ends_with("SandboxExpired"),
            "finished without a Pod"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_converges_and_tells_the_truth(events in proptest::collection::vec(event(), 1..25)) {
        let mut world = World::new(json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}));
        for event in events {
            if world.sandbox.is_none() {
                break;
            }
            happen(&mut world, event);
            let others = of_others(&world);
            // A pass panics if it does not end, deletes or patches a version that is not there, or creates over something.
            let (_, wait) = world.pass();
            let held_back = wait.parse::<i64>().is_ok_and(|wait| wait <= 10_000);
            if world.sandbox.is_some() && world.refused.is_none() {
                let (again, _) = world.pass();
                prop_assert!(again.is_empty(), "a second look sends {:?}", again);
                if held_back {
                    world.advance(10_000);
                    world.pass();
                }
            }
            check(&world, &others);
        }
    }
}
