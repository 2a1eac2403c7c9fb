//! Server-side apply and the record of owners.

use super::*;
use crate::Manager;
use crate::apply::{Conflict, apply, message, track_update};

fn manager(name: &str) -> Manager {
    Manager {
        name: name.to_owned(),
        api_version: "v1".to_owned(),
        time: "2026-01-01T00:00:00Z".to_owned(),
        ..Manager::default()
    }
}

fn config(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn owners(object: &Value) -> Vec<(&str, &str, &Value)> {
    let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .map(|entry| {
            (entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap(), &entry["fieldsV1"])
        })
        .collect()
}

#[test]
fn a_created_object_carries_what_was_applied() {
    let wanted = json!([{
        "manager": "me", "operation": "Apply", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}},
    }]);
    let object =
        apply(&kind("", "ConfigMap"), None, &config(&json!({"a": "1"})), &manager("me"), false).unwrap();
    assert_eq!(object["metadata"]["managedFields"], wanted);
    assert_eq!(object["data"], json!({"a": "1"}));
}

/// The shape that `kubectl get --show-managed-fields` shows for a Pod of `kubectl apply --server-side`.
#[test]
fn items_of_associative_lists_are_owned_by_key_with_defaults_filled_in() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "x"}, "finalizers": ["a/b"]},
        "spec": {"containers": [{"name": "a", "args": ["1"], "ports": [{"containerPort": 80}], "securityContext": {}}]},
    });
    let object = apply(&kind("", "Pod"), None, &pod, &manager("me"), false).unwrap();
    let wanted = json!({
        "f:metadata": {"f:labels": {"f:app": {}}, "f:finalizers": {"v:\"a/b\"": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {
            ".": {}, "f:name": {}, "f:args": {}, "f:securityContext": {},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
        }}},
    });
    assert_eq!(owners(&object), [("me", "Apply", &wanted)]);
}

#[test]
fn fields_no_longer_applied_are_removed_unless_somebody_else_owns_them() {
    let schema = kind("", "ConfigMap");
    let first =
        apply(&schema, None, &config(&json!({"a": "1", "b": "2", "c": "3"})), &manager("me"), false).unwrap();
    let second = apply(&schema, Some(&first), &config(&json!({"b": "2"})), &manager("you"), false).unwrap();
    let third = apply(&schema, Some(&second), &config(&json!({"a": "1"})), &manager("me"), false).unwrap();
    assert_eq!(third["data"], json!({"a": "1", "b": "2"}));
    let wanted =
        [("you", "Apply", &json!({"f:data": {"f:b": {}}})), ("me", "Apply", &json!({"f:data": {"f:a": {}}}))];
    // Fact (tests/differential, `patch/apply-shared`): an apply that changes nothing has no time, and what has none comes first.
    assert_eq!(owners(&third), wanted);
    let fourth = apply(&schema, Some(&third), &config(&json!({})), &manager("you"), false).unwrap();
    assert_eq!(fourth["data"], json!({"a": "1"}));
}

/// The texts are those of apimachinery's managedfields package.
#[test]
fn conflicts_name_the_owner_and_the_field_and_force_takes_it() {
    let schema = kind("", "ConfigMap");
    let mut live = config(&json!({"a": "1", "b": "2"}));
    track_update(&schema, None, &mut live, &manager("kubectl"));
    let change = config(&json!({"a": "9"}));
    let conflicts = apply(&schema, Some(&live), &change, &manager("me"), false).unwrap_err();
    let owner = r#""kubectl" using v1"#.to_owned();
    assert_eq!(conflicts, [Conflict { manager: owner.clone(), path: ".data.a".to_owned() }]);
    assert_eq!(
        message(&conflicts),
        r#"Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.a"#
    );
    let two = [conflicts[0].clone(), Conflict { manager: owner, path: ".data.b".to_owned() }];
    let wanted = "Apply failed with 2 conflicts: conflicts with \"kubectl\" using v1:\n- .data.a\n- .data.b";
    assert_eq!(message(&two), wanted);
    let forced = apply(&schema, Some(&live), &change, &manager("me"), true).unwrap();
    assert_eq!(forced["data"], json!({"a": "9", "b": "2"}));
    assert_eq!(owners(&forced)[0], ("me", "Apply", &json!({"f:data": {"f:a": {}}})));
    assert_eq!(owners(&forced)[1], ("kubectl", "Update", &json!({"f:data": {".": {}, "f:b": {}}})));
    let same = apply(&schema, Some(&live), &config(&json!({"a": "1"})), &manager("me"), false).unwrap();
    assert_eq!(owners(&same).len(), 2, "an equal value is shared, not fought over");
}

#[test]
fn two_appliers_share_one_container() {
    let schema = kind("", "Pod");
    let pod =
        |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    let one = pod(json!({"containers": [{"name": "a", "image": "x", "env": [{"name": "A", "value": "1"}]}]}));
    let two =
        pod(json!({"containers": [{"name": "a", "env": [{"name": "B", "value": "2"}]}, {"name": "side"}]}));
    let live = apply(&schema, None, &one, &manager("one"), false).unwrap();
    let live = apply(&schema, Some(&live), &two, &manager("two"), false).unwrap();
    let env = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]);
    assert_eq!(
        live["spec"]["containers"],
        json!([{"name": "a", "image": "x", "env": env}, {"name": "side"}])
    );
    let gone = apply(&schema, Some(&live), &pod(json!({})), &manager("two"), false).unwrap();
    assert_eq!(gone["spec"], one["spec"]);
    let empty = apply(&schema, Some(&live), &pod(json!({})), &manager("one"), false).unwrap();
    let left = json!([{"name": "a", "env": [{"name": "B", "value": "2"}]}, {"name": "side"}]);
    assert_eq!(empty["spec"]["containers"], left);
}

#[test]
fn atomic_lists_and_maps_have_one_owner() {
    let schema = kind("apps", "Deployment");
    let deployment = |selector: Value, args: Value| {
        let template = json!({"spec": {"containers": [{"name": "a", "args": args}]}});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
               "spec": {"selector": {"matchLabels": selector}, "template": template}})
    };
    let live =
        apply(&schema, None, &deployment(json!({"a": "1"}), json!(["x"])), &manager("one"), false).unwrap();
    let change = deployment(json!({"a": "1", "b": "2"}), json!(["x", "y"]));
    let conflicts = apply(&schema, Some(&live), &change, &manager("two"), false).unwrap_err();
    let paths: Vec<&str> = conflicts.iter().map(|conflict| conflict.path.as_str()).collect();
    assert_eq!(paths, [".spec.selector", r#".spec.template.spec.containers[name="a"].args"#]);
    assert_eq!(conflicts[0].manager, r#""one""#);
}

#[test]
fn subresources_are_tracked_apart_and_what_they_reset_is_not_owned() {
    let schema = kind("", "Pod");
    let mut live = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n"}});
    track_update(&schema, None, &mut live, &manager("creator"));
    let status = Manager {
        subresource: Some("status".to_owned()),
        reset: vec!["spec".to_owned()],
        ..manager("creator")
    };
    let change =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "other"}, "status": {"phase": "Running"}});
    let object = apply(&schema, Some(&live), &change, &status, false).unwrap();
    assert_eq!(object["spec"]["nodeName"], "n");
    assert_eq!(object["status"]["phase"], "Running");
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries[0]["subresource"], "status");
    assert_eq!(entries[0]["fieldsV1"], json!({"f:status": {"f:phase": {}}}));
    let other = json!({"metadata": {"name": "p"}, "status": {"phase": "Failed"}});
    let conflicts = apply(&schema, Some(&object), &other, &Manager { name: "x".to_owned(), ..status }, false)
        .unwrap_err();
    assert_eq!(conflicts[0].manager, r#""creator" with subresource "status""#);
}

#[test]
fn times_change_only_with_the_set() {
    let schema = kind("", "ConfigMap");
    let later = |name: &str| Manager { time: "2026-02-02T00:00:00Z".to_owned(), ..manager(name) };
    let live = apply(&schema, None, &config(&json!({"a": "1"})), &manager("me"), false).unwrap();
    assert_eq!(apply(&schema, Some(&live), &config(&json!({"a": "1"})), &later("me"), false).unwrap(), live);
    let mut same = live.clone();
    track_update(&schema, Some(&live), &mut same, &later("other"));
    assert_eq!(same, live, "a write that changes nothing leaves no trace");
    let changed = apply(&schema, Some(&live), &config(&json!({"a": "2"})), &later("me"), false).unwrap();
    assert_eq!(changed["metadata"]["managedFields"][0]["time"], "2026-02-02T00:00:00Z");
}

#[test]
fn updates_take_what_they_change_and_lose_what_they_remove() {
    let schema = kind("", "ConfigMap");
    let live = apply(&schema, None, &config(&json!({"a": "1", "b": "2"})), &manager("me"), false).unwrap();
    let mut new = live.clone();
    new["data"] = json!({"a": "9", "c": "3"});
    track_update(&schema, Some(&live), &mut new, &manager("editor"));
    let wanted = json!({"f:data": {"f:a": {}, "f:c": {}}});
    assert_eq!(owners(&new), [("editor", "Update", &wanted)]);
    let mut forgotten = new.clone();
    forgotten["metadata"]["managedFields"] = json!([{}]);
    track_update(&schema, Some(&new), &mut forgotten, &manager("editor"));
    assert_eq!(forgotten["metadata"].get("managedFields"), None);
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner() {
    let live = config(&json!({"a": "1"}));
    let change = config(&json!({"a": "2"}));
    let conflicts = apply(&kind("", "ConfigMap"), Some(&live), &change, &manager("me"), false).unwrap_err();
    assert_eq!(conflicts[0].manager, r#""before-first-apply" using v1"#);
}

#[test]
fn the_oldest_updaters_are_folded_into_one() {
    let schema = kind("", "ConfigMap");
    let mut live = config(&json!({}));
    for number in 0..15 {
        let mut new = live.clone();
        new["data"][format!("k{number:02}")] = json!("v");
        let who =
            Manager { time: format!("2026-01-01T00:00:{number:02}Z"), ..manager(&format!("m{number:02}")) };
        track_update(&schema, Some(&live), &mut new, &who);
        live = new;
    }
    let found = owners(&live);
    assert_eq!(found.len(), 10);
    assert!(
        found
            .iter()
            .any(|(name, _, fields)| *name == "ancient-changes" && fields["f:data"]["f:k00"].is_object())
    );
}

/// A custom resource's fields without schema are maps and single values.
#[test]
fn fields_without_a_schema_are_merged_as_maps() {
    let schema = Schema::compile(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}))
    .unwrap();
    let object =
        |spec: Value| json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a"}, "spec": spec});
    let live =
        apply(&schema, None, &object(json!({"a": {"x": 1}, "l": [1]})), &manager("one"), false).unwrap();
    let live = apply(&schema, Some(&live), &object(json!({"a": {"y": 2}})), &manager("two"), false).unwrap();
    assert_eq!(live["spec"], json!({"a": {"x": 1, "y": 2}, "l": [1]}));
    assert!(apply(&schema, Some(&live), &object(json!({"l": [1, 2]})), &manager("two"), false).is_err());
}

/// Two equal ports are legal on a live Pod; an apply of something else must not lose one.
#[test]
fn repeated_items_that_nobody_applies_stay() {
    let schema = kind("", "Pod");
    let ports =
        json!([{"containerPort": 1, "name": "a"}, {"containerPort": 1, "name": "b"}, {"containerPort": 2}]);
    let mut live =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "ports": ports}]}});
    track_update(&schema, None, &mut live, &manager("creator"));
    let change = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 3}]}]}});
    let object = apply(&schema, Some(&live), &change, &manager("me"), false).unwrap();
    assert_eq!(object["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 4);
}

/// The texts are those of structured-merge-diff.
#[test]
fn configurations_that_do_not_fit_the_schema_are_refused() {
    let schema = kind("", "Pod");
    let check = |spec: Value| crate::apply::check(&schema, &json!({"kind": "Pod", "spec": spec}));
    assert_eq!(
        check(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 1}]}], "nodeSelector": {"x": "y"}})
        ),
        Ok(())
    );
    assert_eq!(check(json!({"foo": 1})).unwrap_err(), ".spec.foo: field not declared in schema");
    let wrong =
        check(json!({"containers": [{"name": "a", "bar": 1}, {"name": "a"}, {}], "volumes": 1})).unwrap_err();
    let wanted = [
        "errors:",
        r#".spec.containers[name="a"].bar: field not declared in schema"#,
        r#".spec.containers: duplicate entries for key [name="a"]"#,
        r#".spec.containers: element 2: associative list with keys has an element that omits key field "name" (and doesn't have default value)"#,
        ".spec.volumes: expected list, got 1",
    ];
    assert_eq!(wrong, wanted.join("\n  "));
}
