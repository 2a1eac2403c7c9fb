//! Each row of the conversion rules, and round trips over generated documents.

#![allow(clippy::needless_pass_by_value, reason = "documents are written in place")]

use super::*;
use proptest::prelude::*;

const ALPHA: &str = "agents.x-k8s.io/v1alpha1";
const BETA: &str = "agents.x-k8s.io/v1beta1";
const EXT_ALPHA: &str = "extensions.agents.x-k8s.io/v1alpha1";
const EXT_BETA: &str = "extensions.agents.x-k8s.io/v1beta1";

fn up(value: Value) -> Value {
    let to = text(&value, "/apiVersion").unwrap().replace("v1alpha1", "v1beta1");
    convert(value, &to).unwrap()
}

fn down(value: Value) -> Value {
    let to = text(&value, "/apiVersion").unwrap().replace("v1beta1", "v1alpha1");
    convert(value, &to).unwrap()
}

fn sandbox(version: &str, spec: Value) -> Value {
    json!({"apiVersion": version, "kind": "Sandbox", "metadata": {"name": "s"}, "spec": spec})
}

fn claim(version: &str, spec: Value, bound: &str) -> Value {
    json!({"apiVersion": version, "kind": "SandboxClaim", "metadata": {"name": "c"}, "spec": spec,
           "status": {"sandbox": {"name": bound}}})
}

#[test]
fn replicas_become_the_mode_and_back() {
    for (replicas, mode) in
        [(json!({"replicas": 0}), "Suspended"), (json!({"replicas": 1}), "Running"), (json!({}), "Running")]
    {
        let stored = up(sandbox(ALPHA, replicas.clone()));
        assert_eq!(stored["spec"], json!({"operatingMode": mode}));
        assert_eq!(down(stored)["spec"], replicas);
    }
    assert_eq!(down(sandbox(BETA, json!({})))["spec"], json!({"replicas": 1}));
    assert_eq!(down(sandbox(BETA, json!({"operatingMode": "Suspended"})))["spec"], json!({"replicas": 0}));
}

#[test]
fn a_mode_changed_at_v1beta1_wins_over_what_was_remembered() {
    let mut stored = up(sandbox(ALPHA, json!({"replicas": 0})));
    stored["spec"]["operatingMode"] = json!("Running");
    assert_eq!(down(stored.clone())["spec"]["replicas"], 1);
    let mut stored = up(sandbox(ALPHA, json!({})));
    stored["spec"]["operatingMode"] = json!("Suspended");
    assert_eq!(down(stored)["spec"]["replicas"], 0);
}

#[test]
fn status_replicas_follow_the_mode_and_not_an_old_write() {
    let mut object = sandbox(ALPHA, json!({"replicas": 1}));
    object["status"] = json!({"replicas": 1, "podIPs": ["10.0.0.1"]});
    let mut stored = up(object);
    assert_eq!(stored["status"], json!({"podIPs": ["10.0.0.1"]}));
    stored["spec"]["operatingMode"] = json!("Suspended");
    stored["status"]["nodeName"] = json!("n");
    assert_eq!(down(stored)["status"], json!({"replicas": 0, "podIPs": ["10.0.0.1"]}));
}

#[test]
fn the_state_annotation_stays_small_for_a_big_object() {
    let filler = "x".repeat(200_000);
    let mut object =
        sandbox(ALPHA, json!({"replicas": 1, "podTemplate": {"spec": {"containers": [{"name": filler}]}}}));
    object["metadata"]["managedFields"] = json!([{"manager": filler}]);
    let stored = up(object);
    let state = stored["metadata"]["annotations"][crate::names::annotation::SANDBOX_STATE].as_str().unwrap();
    assert!(state.len() < 200, "{} bytes: {state}", state.len());
}

#[test]
fn a_whole_object_left_by_an_older_controller_is_read() {
    let mut stored = sandbox(BETA, json!({"operatingMode": "Running"}));
    let state = json!({"apiVersion": ALPHA, "kind": "Sandbox", "spec": {"podTemplate": {}}, "status": {"replicas": 7}});
    annotate(&mut stored, crate::names::annotation::SANDBOX_STATE, state.to_string());
    assert_eq!(down(stored), sandbox(ALPHA, json!({})));
}

#[test]
fn a_damaged_state_is_named() {
    let mut stored = sandbox(BETA, json!({}));
    annotate(&mut stored, crate::names::annotation::SANDBOX_STATE, "{".to_owned());
    let error = convert(stored, ALPHA).unwrap_err().to_string();
    assert!(error.starts_with("failed to unmarshal v1alpha1 sandbox state: "), "{error}");
}

#[test]
fn claims_find_their_pool() {
    let rows = [
        (json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "p"}), "", "p"),
        (json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "p"}), "q-abcde", "p"),
        (json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "default"}), "", "shadow-pool-t"),
        (json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "none"}), "c", "shadow-pool-t"),
        (json!({"sandboxTemplateRef": {"name": "t"}}), "my-pool-x7k2p", "my-pool"),
        (json!({"sandboxTemplateRef": {"name": "t"}}), "plain", "plain"),
    ];
    for (spec, bound, pool) in rows {
        let object = claim(EXT_ALPHA, spec, bound);
        let stored = up(object.clone());
        assert_eq!(stored["spec"], json!({"warmPoolRef": {"name": pool}}), "{object}");
        assert_eq!(down(stored), object);
    }
}

#[test]
fn claims_written_at_v1beta1_get_a_template_name() {
    let shadow = down(claim(EXT_BETA, json!({"warmPoolRef": {"name": "shadow-pool-t"}}), ""));
    assert_eq!(shadow["spec"], json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "default"}));
    let other = down(claim(EXT_BETA, json!({"warmPoolRef": {"name": "p"}}), ""));
    assert_eq!(other["spec"], json!({"sandboxTemplateRef": {"name": "p"}, "warmpool": "p"}));
    let mut moved = up(claim(EXT_ALPHA, json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "p"}), ""));
    moved["spec"]["warmPoolRef"]["name"] = json!("elsewhere");
    assert_eq!(down(moved)["spec"], json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "elsewhere"}));
}

#[test]
fn a_template_shows_its_policy_as_an_annotation_at_v1alpha1() {
    let object = json!({"apiVersion": EXT_BETA, "kind": "SandboxTemplate", "metadata": {"name": "t"},
                        "spec": {"volumeClaimTemplatesPolicy": "Allowed"}});
    let seen = down(object.clone());
    assert_eq!(
        seen["metadata"]["annotations"],
        json!({(crate::names::annotation::CLAIM_TEMPLATES_POLICY): "Allowed"})
    );
    assert_eq!(up(seen.clone())["spec"], object["spec"]);
    let mut wrong = seen;
    annotate(&mut wrong, crate::names::annotation::CLAIM_TEMPLATES_POLICY, "Maybe".to_owned());
    let error = convert(wrong, EXT_BETA).unwrap_err().to_string();
    assert_eq!(error, "invalid VolumeClaimTemplatesPolicy annotation value: \"Maybe\"");
}

#[test]
fn a_pool_without_replicas_shows_one() {
    let object = json!({"apiVersion": EXT_BETA, "kind": "SandboxWarmPool", "metadata": {"name": "p"},
                        "spec": {"sandboxTemplateRef": {"name": "t"}}, "status": {"replicas": 1, "observedGeneration": 4}});
    let seen = down(object);
    assert_eq!(seen["spec"]["replicas"], 1);
    assert_eq!(seen["status"], json!({"replicas": 1}));
}

#[test]
fn what_is_not_ours_is_refused() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod"});
    assert_eq!(convert(pod, BETA).unwrap_err().to_string(), format!("cannot convert Pod from v1 to {BETA}"));
    assert!(convert(sandbox(ALPHA, json!({})), EXT_BETA).is_err());
    assert!(convert(json!({}), BETA).is_err());
    assert!(convert(json!(3), BETA).is_err());
}

fn names() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?"
}

fn metadata() -> impl Strategy<Value = Value> {
    let map = || proptest::option::of(proptest::collection::btree_map("[a-z./]{1,8}", "[a-z]{0,5}", 1..4));
    (names(), map(), map()).prop_map(|(name, labels, annotations)| {
        let mut metadata = json!({"name": name, "uid": "u", "managedFields": [{"manager": "m"}]});
        if let Some(labels) = labels {
            metadata["labels"] = json!(labels);
        }
        if let Some(annotations) = annotations {
            metadata["annotations"] = json!(annotations);
        }
        metadata
    })
}

prop_compose! {
    fn alpha_sandbox()(metadata in metadata(), replicas in proptest::option::of(0..=1), service in any::<Option<bool>>(),
                       status in proptest::option::of(names())) -> Value {
        let mut object = json!({"apiVersion": ALPHA, "kind": "Sandbox", "metadata": metadata,
                                "spec": {"podTemplate": {"spec": {"containers": []}}, "unknownToUs": {"kept": true}}});
        if let Some(replicas) = replicas {
            object["spec"]["replicas"] = json!(replicas);
        }
        if let Some(service) = service {
            object["spec"]["service"] = json!(service);
        }
        if let Some(service) = status {
            object["status"] = json!({"service": service, "replicas": replicas.unwrap_or(1)});
        }
        object
    }
}

prop_compose! {
    fn alpha_claim()(metadata in metadata(), template in names(), pool in proptest::option::of(names()),
                     bound in proptest::option::of(names()), env in any::<bool>()) -> Value {
        let mut object = json!({"apiVersion": EXT_ALPHA, "kind": "SandboxClaim", "metadata": metadata,
                                "spec": {"sandboxTemplateRef": {"name": template}}});
        if let Some(pool) = pool {
            object["spec"]["warmpool"] = json!(pool);
        }
        if let Some(bound) = bound {
            object["status"] = json!({"sandbox": {"name": bound}});
        }
        if env {
            object["spec"]["env"] = json!([{"name": "A", "value": "b"}]);
        }
        object
    }
}

proptest! {
    #[test]
    fn v1alpha1_sandboxes_survive_the_round_trip(object in alpha_sandbox()) {
        prop_assert_eq!(down(up(object.clone())), object);
    }

    #[test]
    fn v1alpha1_claims_survive_the_round_trip(object in alpha_claim()) {
        prop_assert_eq!(down(up(object.clone())), object);
    }

    #[test]
    fn v1beta1_sandboxes_keep_their_spec_through_v1alpha1(mut object in alpha_sandbox(), suspended in any::<bool>()) {
        object["apiVersion"] = json!(BETA);
        let spec = object["spec"].as_object_mut().unwrap();
        spec.remove("replicas");
        spec.insert("operatingMode".to_owned(), json!(if suspended { "Suspended" } else { "Running" }));
        let mut back = up(down(object.clone()));
        prop_assert_eq!(&back["spec"], &object["spec"]);
        take_annotation(&mut back, crate::names::annotation::SANDBOX_STATE);
        prop_assert_eq!(&back["metadata"], &object["metadata"]);
    }

    #[test]
    fn same_version_is_untouched(object in alpha_sandbox()) {
        prop_assert_eq!(convert(object.clone(), ALPHA).unwrap(), object);
    }
}
