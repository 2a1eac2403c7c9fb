//! Rows of the tables on claims, Pods, Services, ports and metadata.

use super::World;
use crate::sandbox::{Step, plan};
use serde_json::{Value, json};

const ADOPTABLE: &str = "agents.x-k8s.io/adoptable";

fn foreign() -> Value {
    json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true}]})
}

fn adoptable() -> Value {
    json!({"labels": {ADOPTABLE: "true"}})
}

/// The only object that the first plan creates of that kind.
fn created(world: &World, kind: &str) -> Value {
    let steps = plan(&world.snapshot(&[]), world.now);
    let objects = steps.iter().filter_map(|step| match (step, kind) {
        (Step::CreatePod(pod), "pod") => Some(json!(pod)),
        (Step::CreateService(service), "service") => Some(json!(service)),
        (Step::CreateClaim(claim), "claim") => Some(json!(claim)),
        _ => None,
    });
    let objects: Vec<Value> = objects.collect();
    assert_eq!(objects.len(), 1, "{steps:?}");
    objects[0].clone()
}

#[test]
fn children_are_made_as_published() {
    let mut world = World::new(json!({
        "service": true,
        "podTemplate": {
            "metadata": {
                "labels": {"app": "x", "agents.x-k8s.io/claim-uid": "forged", "extensions.agents.x-k8s.io/y": "forged"},
                "annotations": {"note": "n", "opentelemetry.io/trace-context": "{}", "sandbox.agent-sandbox.dev/init": "true"}
            },
            "spec": {
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 8080, "name": "http"}]}],
                "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
            }
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"l": "1"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    }));
    world.change("Sandbox", "s", json!({"metadata": {
        "labels": {"agents.x-k8s.io/created-by": "curl", "agents.x-k8s.io/claim-uid": "c-uid",
                   "agents.x-k8s.io/sandbox-template-ref-hash": "hash", "agents.x-k8s.io/warm-pool-sandbox": "pool"},
        "ownerReferences": [{"apiVersion": "extensions.agents.x-k8s.io/v1alpha1", "kind": "SandboxClaim", "name": "c",
                             "uid": "c-uid", "controller": true}]
    }}));
    insta::assert_json_snapshot!("created_pod", created(&world, "pod"));
    insta::assert_json_snapshot!("created_service", created(&world, "service"));
    insta::assert_json_snapshot!("created_claim", created(&world, "claim"));
}

#[test]
fn pods_of_others_are_refused_by_name() {
    let missing = "missing required pool authorization label (\"agents.x-k8s.io/adoptable\") or sandbox tracking label \
                   (\"agents.x-k8s.io/sandbox-name-hash\")";
    let rows = [
        (foreign(), "pod \"s\" is owned by ReplicaSet/r (UID: u), not by sandbox \"s\"".to_owned()),
        (json!({}), format!("cannot adopt unowned pod \"s\": {missing}")),
    ];
    for (metadata, error) in rows {
        let mut world = World::new(json!({}));
        world.stray_pod("s", metadata);
        let (sent, again) = world.pass();
        assert_eq!(sent, ["patch status"]);
        assert_eq!(again, "retry");
        assert_eq!(world.condition("Ready"), format!("False ReconcilerError: Error seen: {error}"));
        let unknown = "Pod state is unknown. Pod scheduling cannot be determined";
        assert_eq!(world.condition("PodScheduled"), format!("Unknown PodSchedulingUnknown: {unknown}"));
        assert_eq!(world.status()["selector"], json!(null), "as it was");
        assert_eq!(world.status()["podIPs"], json!(null));
    }
}

#[test]
fn suspending_leaves_the_pods_of_others_alone() {
    for metadata in [foreign(), json!({})] {
        let mut world = World::new(json!({"operatingMode": "Suspended"}));
        world.stray_pod("s", metadata);
        assert_eq!(world.settled(), ["patch status"]);
        let refused = "False PodNotOwned: Refused to delete pod because it is not owned by this sandbox";
        assert_eq!(world.condition("Suspended"), refused);
        assert_eq!(world.condition("Ready"), "False SandboxSuspended: Sandbox is suspending");
    }
}

#[test]
fn an_offered_pod_is_adopted_in_one_write_and_keeps_its_labels() {
    for labels in [
        json!({ADOPTABLE: "true", "mine": "1"}),
        json!({"agents.x-k8s.io/sandbox-name-hash": "f60c4582", "mine": "1"}),
    ] {
        let mut world = World::new(json!({}));
        world.stray_pod("s", json!({ "labels": labels }));
        assert_eq!(world.settled(), ["patch pod s", "patch status"]);
        let pod = &world.pods["s"]["metadata"];
        assert_eq!(pod["ownerReferences"][0]["uid"], "sandbox-uid");
        assert_eq!(pod["labels"]["mine"], "1");
        assert_eq!(pod["labels"]["agents.x-k8s.io/sandbox-name-hash"], "f60c4582");
    }
}

#[test]
fn claims_are_adopted_or_refused_as_pods_are() {
    let spec = json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    let mut world = World::new(spec.clone());
    world.stray_claim("data-s", adoptable());
    assert_eq!(world.settled()[0], "patch claim data-s");
    assert_eq!(world.claims["data-s"]["metadata"]["ownerReferences"][0]["kind"], "Sandbox");
    let mut world = World::new(spec);
    world.stray_claim("data-s", foreign());
    let (sent, _) = world.pass();
    assert_eq!(sent, ["create pod s", "patch status"], "the Pod is made all the same");
    let error = "PVC \"data-s\" is owned by ReplicaSet/r (UID: u), not by sandbox \"s\"";
    assert_eq!(world.condition("Ready"), format!("False ReconcilerError: Error seen: {error}"));
}

#[test]
fn claims_are_made_while_suspended() {
    let mut world = World::new(json!({
        "operatingMode": "Suspended", "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]
    }));
    assert_eq!(world.settled(), ["create claim data-s", "patch status"]);
}

#[test]
fn a_service_follows_the_three_wishes() {
    let mut world = World::running(json!({"service": true}));
    world.spec(json!({"service": null}));
    assert_eq!(world.settled(), ["patch status"], "kept; the new generation is told");
    assert_eq!(world.condition("Ready"), "True DependenciesReady: Pod is Ready; Service Exists");
    world.change(
        "Service",
        "s",
        json!({"spec": {"selector": {"a": "b"}, "ports": [{"port": 1, "name": "x", "protocol": "TCP"}]}}),
    );
    assert_eq!(world.settled(), ["patch service s"], "its selector is mended");
    assert_eq!(
        world.services["s"]["spec"]["selector"],
        json!({"agents.x-k8s.io/sandbox-name-hash": "f60c4582"})
    );
    assert_eq!(world.services["s"]["spec"]["ports"][0]["port"], 1, "its ports are left");
    world.spec(json!({"service": true}));
    assert_eq!(world.settled(), ["patch service s", "patch status"], "now its ports are mended");
    world.spec(json!({"service": false}));
    assert_eq!(world.settled(), ["delete service s", "patch status"]);
    assert_eq!(world.status()["service"], json!(null));
    assert_eq!(world.condition("Ready"), "True DependenciesReady: Pod is Ready");
    world.spec(json!({"service": null}));
    assert_eq!(world.settled(), ["patch status"], "never made unless wished for");
}

#[test]
fn services_of_others_are_left_alone() {
    let rows = [
        (foreign(), json!({}), Some("service \"s\" is owned by ReplicaSet/r (UID: u), not by sandbox \"s\"")),
        (
            adoptable(),
            json!({"clusterIP": "10.1.1.1"}),
            Some(
                "cannot adopt service \"s\": ClusterIP is \"10.1.1.1\" (expected \"None\", field is immutable)",
            ),
        ),
        (adoptable(), json!({"clusterIP": "None"}), None),
    ];
    for (metadata, spec, error) in rows {
        let mut world = World::new(json!({"service": true}));
        world.stray_service(metadata, spec);
        let (sent, _) = world.pass();
        match error {
            Some(error) => {
                assert_eq!(sent, ["create pod s", "patch status"]);
                assert_eq!(world.condition("Ready"), format!("False ReconcilerError: Error seen: {error}"));
            }
            None => {
                assert_eq!(sent, ["create pod s", "patch service s", "patch status"]);
                assert_eq!(world.services["s"]["metadata"]["ownerReferences"][0]["uid"], "sandbox-uid");
            }
        }
    }
    for wish in [json!({}), json!({"service": false})] {
        let mut world = World::new(wish);
        world.stray_service(adoptable(), json!({}));
        assert_eq!(world.settled(), ["create pod s", "patch status"]);
        assert_eq!(world.status()["service"], json!(null));
    }
}

#[test]
fn a_missing_service_that_is_wished_for_keeps_the_sandbox_from_being_ready() {
    let mut world = World::new(json!({"service": true}));
    world.refused = Some(("create service", "try later", false));
    world.pass();
    world.run("s");
    world.advance(1000);
    world.pass();
    assert_eq!(world.condition("Ready"), "False DependenciesNotReady: Pod is Ready; Service does not exist");
}

#[test]
fn a_name_that_no_service_can_have_is_refused_before_anything_is_made() {
    let long = "n".repeat(64);
    let spec = json!({"service": true, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]});
    for (name, says) in [(long.as_str(), "has 64 characters"), ("with.dot", "contains a dot")] {
        let mut world = World::named(name, spec.clone());
        assert_eq!(world.settled(), ["patch status"]);
        assert_eq!(world.ready(), "False ReconcilerError");
        assert!(world.condition("Ready").contains(says), "{}", world.condition("Ready"));
        assert!(world.condition("Ready").contains("leave service unset"));
    }
    let mut world = World::named(&long, json!({}));
    assert_eq!(world.settled().len(), 2, "without a Service the name is fine");
    let mut world = World::named(&"n".repeat(63), json!({"service": true}));
    assert_eq!(world.settled().len(), 3);
}

#[test]
fn ports_are_joined_named_and_sorted() {
    let port = |number: i32, name: &str, protocol: &str| {
        let mut port = json!({"containerPort": number});
        if !name.is_empty() {
            port["name"] = json!(name);
        }
        if !protocol.is_empty() {
            port["protocol"] = json!(protocol);
        }
        port
    };
    let world = World::new(json!({"service": true, "podTemplate": {"spec": {
        "containers": [
            {"name": "a", "ports": [port(9000, "", ""), port(80, "http", "TCP"), port(53, "dns", "UDP"), port(0, "zero", "")]},
            {"name": "b", "ports": [port(9000, "late", "TCP"), port(81, "http", "TCP"), port(53, "dns", "TCP")]}
        ],
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "ports": [port(7000, "p-81-tcp", "")]},
            {"name": "once", "ports": [port(6000, "gone", "")]}
        ]
    }}}));
    let service = created(&world, "service");
    let ports: Vec<String> = service["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            format!("{}/{}={} to {}", port["port"], port["protocol"], port["name"], port["targetPort"])
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        ports,
        [
            "53/TCP=p-53-tcp to 53",
            "53/UDP=dns to 53",
            "80/TCP=http to 80",
            "81/TCP=p-81-tcp-2 to 81",
            "7000/TCP=p-81-tcp to 7000",
            "9000/TCP=late to 9000",
        ]
    );
}

#[test]
fn metadata_of_a_pod_follows_the_template_and_spares_what_others_set() {
    let mut world = World::running(json!({"podTemplate": {
        "metadata": {"labels": {"a": "1", "b": "1"}, "annotations": {"x": "1"}},
        "spec": {"containers": [{"name": "c"}]}
    }}));
    world.change(
        "Pod",
        "s",
        json!({"metadata": {"labels": {"theirs": "1", "a": "drifted"}, "annotations": {"theirs": "1"}}}),
    );
    assert_eq!(world.settled(), ["patch pod s"]);
    world.spec(json!({"podTemplate": {"metadata": {"labels": {"a": "2", "b": null}, "annotations": null}}}));
    assert_eq!(world.settled(), ["patch pod s", "patch status"]);
    insta::assert_json_snapshot!(
        "reconciled_pod_metadata",
        json!({
            "labels": world.pods["s"]["metadata"]["labels"], "annotations": world.pods["s"]["metadata"]["annotations"]
        })
    );
}

#[test]
fn labels_of_a_pool_leave_the_pod_when_a_claim_takes_the_sandbox() {
    let mut world = World::new(json!({}));
    let owner = |kind: &str| {
        json!([{"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": kind, "name": "o", "uid": "o",
                                     "controller": true}])
    };
    let labels = json!({"agents.x-k8s.io/warm-pool-sandbox": "pool", "agents.x-k8s.io/sandbox-template-ref-hash": "t"});
    world.change(
        "Sandbox",
        "s",
        json!({"metadata": {"labels": labels, "ownerReferences": owner("SandboxWarmPool")}}),
    );
    world.settled();
    assert_eq!(world.pods["s"]["metadata"]["labels"]["agents.x-k8s.io/warm-pool-sandbox"], "pool");
    let labels = json!({"agents.x-k8s.io/warm-pool-sandbox": null, "agents.x-k8s.io/claim-uid": "o"});
    world.change(
        "Sandbox",
        "s",
        json!({"metadata": {"labels": labels, "ownerReferences": owner("SandboxClaim")}}),
    );
    assert_eq!(world.settled(), ["patch pod s"]);
    assert_eq!(
        world.pods["s"]["metadata"]["labels"],
        json!({
            "agents.x-k8s.io/sandbox-name-hash": "f60c4582", "agents.x-k8s.io/sandbox-template-ref-hash": "t",
            "agents.x-k8s.io/claim-uid": "o"
        })
    );
}

/// The name goes to the first pair that asks for it while it has none itself.
#[test]
fn port_names_are_given_in_order_of_declaration() {
    let names = |containers: &[&[(i32, &str)]]| {
        let containers: Vec<Value> = containers
            .iter()
            .map(|ports| {
                let ports = ports.iter().map(|(port, name)| match *name {
                    "" => json!({"containerPort": port}),
                    name => json!({"containerPort": port, "name": name}),
                });
                json!({"name": "c", "ports": ports.collect::<Vec<_>>()})
            })
            .collect();
        let service = created(
            &World::new(json!({"service": true, "podTemplate": {"spec": {"containers": containers}}})),
            "service",
        );
        let ports = service["spec"]["ports"].as_array().unwrap().clone();
        let named = ports.iter().map(|port| format!("{}={}", port["port"], port["name"].as_str().unwrap()));
        named.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[&[(80, ""), (81, "x")], &[(80, "x")]]), "80=p-80-tcp 81=x");
    assert_eq!(names(&[&[(80, "x")], &[(81, "x"), (81, "y")]]), "80=x 81=y");
    assert_eq!(names(&[&[(80, "x"), (80, "y")], &[(81, "y")]]), "80=x 81=y");
}

#[test]
fn what_nobody_owns_and_nobody_offers_is_not_taken() {
    let missing = "missing required pool authorization label (\"agents.x-k8s.io/adoptable\") or sandbox tracking label \
                   (\"agents.x-k8s.io/sandbox-name-hash\")";
    let mut world = World::new(json!({"service": true}));
    world.stray_service(json!({}), json!({}));
    let (sent, again) = world.pass();
    assert_eq!((sent, again.as_str()), (vec!["create pod s".to_owned(), "patch status".to_owned()], "retry"));
    let error = format!("False ReconcilerError: Error seen: cannot adopt unowned service \"s\": {missing}");
    assert_eq!(world.condition("Ready"), error);
    assert!(world.services["s"]["metadata"]["ownerReferences"].is_null());
    let mut world = World::new(
        json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}, {"metadata": {"name": "next"}, "spec": {}}]}),
    );
    world.stray_claim("data-s", json!({}));
    assert_eq!(world.pass().0, ["create pod s", "patch status"], "claims stop at the first error");
    let error = format!("False ReconcilerError: Error seen: cannot adopt unowned PVC \"data-s\": {missing}");
    assert_eq!(world.condition("Ready"), error);
}

/// A pool's label on a Sandbox that a claim controls is a leftover of an interrupted adoption, or forged.
#[test]
fn the_label_of_a_pool_does_not_reach_the_pod_of_a_claim() {
    let mut world = World::new(json!({}));
    let owner = json!([{"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxClaim", "name": "o", "uid": "o",
                        "controller": true}]);
    let labels = json!({"agents.x-k8s.io/warm-pool-sandbox": "pool", "agents.x-k8s.io/sandbox-template-ref-hash": "t"});
    world.change("Sandbox", "s", json!({"metadata": {"labels": labels, "ownerReferences": owner}}));
    let labels = created(&world, "pod")["metadata"]["labels"].clone();
    assert_eq!(
        labels,
        json!({"agents.x-k8s.io/sandbox-name-hash": "f60c4582", "agents.x-k8s.io/sandbox-template-ref-hash": "t"})
    );
}
