//! JSON patch, merge patch, strategic merge patch.

use super::*;
use crate::{PatchError, json_patch, merge_patch, strategic};

/// Patches the spec of a Pod.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "a table of literals reads better")]
fn pod_spec(live: Value, patch: Value, wanted: Value) {
    let mut object = json!({"spec": live});
    strategic(&kind("", "Pod"), &mut object, &json!({"spec": patch})).unwrap();
    assert_eq!(object["spec"], wanted);
}

#[test]
fn json_patch_is_applied_in_order_or_refused() {
    let mut object = json!({"a": {"b": 1}});
    let patch = json!([{"op": "replace", "path": "/a/b", "value": 2}, {"op": "remove", "path": "/c"}]);
    assert!(matches!(json_patch(&mut object.clone(), &patch), Err(PatchError::Unfit(_))));
    let patch =
        json!([{"op": "test", "path": "/a/b", "value": 1}, {"op": "add", "path": "/a/c", "value": [1]}]);
    json_patch(&mut object, &patch).unwrap();
    assert_eq!(object, json!({"a": {"b": 1, "c": [1]}}));
    assert!(matches!(json_patch(&mut object, &json!({"op": "add"})), Err(PatchError::Malformed(_))));
}

#[test]
fn json_patch_refuses_absurdly_many_operations() {
    let operations = vec![json!({"op": "test", "path": "", "value": {}}); 10_001];
    assert!(matches!(json_patch(&mut json!({}), &operations.into()), Err(PatchError::TooLarge(_))));
}

/// Kubernetes bounds what `copy` may add at 3 MiB (`JSONPatchMaxCopyBytes`). Twenty doublings of one KiB are a GiB.
#[test]
fn copies_that_double_the_object_are_refused_before_they_fill_the_memory() {
    let mut object = json!({"spec": {"text": "x".repeat(1024)}});
    let copies: Vec<Value> =
        (0..25).map(|n| json!({"op": "copy", "from": "/spec", "path": format!("/spec/{n}")})).collect();
    assert!(matches!(json_patch(&mut object, &copies.into()), Err(PatchError::Unfit(_))));
    assert!(crate::measure(&object).bytes < 5 << 20);
}

/// An object nested thousands deep overflows the stack of whoever walks or drops it.
#[test]
fn operations_that_nest_the_object_ever_deeper_are_refused() {
    let copies = (0..200).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/a"}));
    let moves = (0..200).flat_map(|_| {
        [
            json!({"op": "move", "from": "/a", "path": "/b"}),
            json!({"op": "add", "path": "/a", "value": {}}),
            json!({"op": "move", "from": "/b", "path": "/a/a"}),
        ]
    });
    let adds = (1..300).map(|n| json!({"op": "add", "path": "/a".repeat(n), "value": {}}));
    for patch in [copies.collect::<Vec<_>>(), moves.collect(), adds.collect()] {
        let mut object = json!({"a": {}});
        assert!(matches!(json_patch(&mut object, &patch.into()), Err(PatchError::Unfit(_))));
        assert!(crate::measure(&object).depth <= crate::MAX_DEPTH);
    }
}

/// Each move of a big part takes a walk through it, so there may not be thousands of those.
#[test]
fn moving_a_big_part_about_for_ever_is_refused() {
    let mut object = json!({"a": "x".repeat(1 << 20)});
    let there_and_back = [("/a", "/b"), ("/b", "/a")];
    let moves = (0..200).map(|n| there_and_back[n % 2]);
    let moves: Vec<Value> =
        moves.map(|(from, path)| json!({"op": "move", "from": from, "path": path})).collect();
    assert!(matches!(json_patch(&mut object, &moves.into()), Err(PatchError::Unfit(_))));
}

/// The texts are those of Go's decoder, as the handler of JSON patches gives them.
#[test]
fn what_is_no_patch_is_told_from_what_does_not_fit() {
    let malformed = |error: &str| Err(PatchError::Malformed(format!("error decoding patch: json: {error}")));
    let json = |patch: Value| json_patch(&mut json!({"a": 1}), &patch);
    assert_eq!(
        json(json!({"op": "add"})),
        malformed("cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
    );
    assert_eq!(
        json(json!([1])),
        malformed("cannot unmarshal number into Go value of type handlers.jsonPatchOp")
    );
    assert_eq!(
        json(json!([{"op": 1, "path": "/a"}])),
        malformed("cannot unmarshal number into Go struct field jsonPatchOp.op of type string")
    );
    assert!(matches!(json(json!([{"op": "odd", "path": "/a"}])), Err(PatchError::Unfit(_))));
    assert!(matches!(json(json!([{"op": "remove", "path": "/b"}])), Err(PatchError::Unfit(_))));
    let merge = |patch: Value| merge_patch(&mut json!({"a": 1}), &patch);
    let map = "into Go value of type map[string]interface {}";
    assert_eq!(merge(json!("x")), malformed(&format!("cannot unmarshal string {map}")));
    assert_eq!(merge(json!([])), malformed(&format!("cannot unmarshal array {map}")));
    assert_eq!(merge(Value::Null), Err(PatchError::Malformed("Invalid JSON Patch".to_owned())));
}

/// The example of RFC 7396.
#[test]
fn merge_patch_deletes_with_null_and_replaces_lists() {
    let mut object = json!({
        "title": "Goodbye!", "author": {"givenName": "John", "familyName": "Doe"},
        "tags": ["example", "sample"], "content": "This will be unchanged",
    });
    let patch = json!({
        "title": "Hello!", "phoneNumber": "+01-123-456-7890", "author": {"familyName": null}, "tags": ["example"],
        "new": {"a": null, "b": 1},
    });
    merge_patch(&mut object, &patch).unwrap();
    let wanted = json!({
        "title": "Hello!", "author": {"givenName": "John"}, "tags": ["example"],
        "content": "This will be unchanged", "phoneNumber": "+01-123-456-7890", "new": {"b": 1},
    });
    assert_eq!(object, wanted);
}

/// From "Update API Objects in Place Using kubectl patch": the sidecar joins, tolerations are replaced.
#[test]
fn lists_with_a_merge_key_are_merged_and_atomic_ones_replaced() {
    pod_spec(
        json!({"containers": [{"name": "a", "image": "nginx"}], "tolerations": [{"key": "x"}]}),
        json!({"containers": [{"name": "b", "image": "redis"}], "tolerations": [{"key": "y"}]}),
        json!({"containers": [{"name": "b", "image": "redis"}, {"name": "a", "image": "nginx"}], "tolerations": [{"key": "y"}]}),
    );
    pod_spec(
        json!({"containers": [{"name": "a", "image": "x", "env": [{"name": "K", "value": "1"}]}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "L", "value": "2"}, {"name": "K", "value": null}]}]}),
        json!({"containers": [{"name": "a", "image": "x", "env": [{"name": "L", "value": "2"}, {"name": "K"}]}]}),
    );
}

#[test]
fn directives_delete_and_replace() {
    let two = json!({"containers": [{"name": "a", "image": "x"}, {"name": "b"}]});
    pod_spec(
        two.clone(),
        json!({"containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
    pod_spec(
        two.clone(),
        json!({"containers": [{"$patch": "replace"}, {"name": "c", "image": null}]}),
        json!({"containers": [{"name": "c"}]}),
    );
    pod_spec(
        json!({"securityContext": {"runAsUser": 1, "runAsGroup": 2}}),
        json!({"securityContext": {"$patch": "replace", "runAsUser": 3}}),
        json!({"securityContext": {"runAsUser": 3}}),
    );
    pod_spec(two, json!({"$patch": "delete"}), json!({}));
    let error = |patch: Value| {
        let mut object = json!({"spec": {"containers": [{"name": "a"}]}});
        strategic(&kind("", "Pod"), &mut object, &json!({"spec": patch})).unwrap_err().to_string()
    };
    let missing = error(json!({"containers": [{"image": "x"}]}));
    assert_eq!(missing, r#"map: {"image":"x"} does not contain declared merge key: name"#);
    assert!(error(json!({"$patch": "twist"})).contains("unknown patch type"));
}

#[test]
fn retain_keys_drops_the_other_members_of_a_union() {
    let mut object =
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    strategic(&kind("apps", "Deployment"), &mut object, &patch).unwrap();
    assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}});
    assert!(strategic(&kind("apps", "Deployment"), &mut object, &patch).is_err());
    pod_spec(
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}),
        json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
    );
}

/// Finalizers are a list of scalars that is merged.
#[test]
fn scalars_are_merged_as_a_set_and_deleted_by_directive() {
    let mut object = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    let schema = kind("", "Pod");
    strategic(&schema, &mut object, &json!({"metadata": {"finalizers": ["c", "d"]}})).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!(["a", "b", "c", "d"]));
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}});
    strategic(&schema, &mut object, &patch).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!(["a", "c", "d"]));
    let patch = json!({"metadata": {"$setElementOrder/finalizers": ["d", "a"], "$deleteFromPrimitiveList/finalizers": ["c"]}});
    strategic(&schema, &mut object, &patch).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!(["d", "a"]));
}

/// The form in which `kubectl apply` and `kubectl edit` send changes of lists.
#[test]
fn element_order_is_the_one_that_the_patch_gives() {
    pod_spec(
        json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}, {"name": "c"}]}),
        json!({
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "n"}],
            "containers": [{"name": "b", "image": "y"}, {"name": "a", "$patch": "delete"}, {"name": "n", "image": "x"}],
        }),
        json!({"containers": [
            {"name": "server"}, {"name": "c"}, {"name": "b", "image": "y"}, {"name": "n", "image": "x"},
        ]}),
    );
    pod_spec(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
        json!({"containers": [{"name": "b"}, {"name": "a"}]}),
    );
}

#[test]
fn nothing_of_a_directive_is_stored() {
    pod_spec(
        json!({}),
        json!({"containers": [
            {"name": "a", "image": null, "$setElementOrder/env": [{"name": "A"}], "env": [{"name": "A"}]},
            {"name": "b", "$patch": "delete"},
        ], "securityContext": {"$retainKeys": ["runAsUser"], "runAsUser": 1}}),
        json!({"containers": [{"name": "a", "env": [{"name": "A"}]}], "securityContext": {"runAsUser": 1}}),
    );
    let mut object = json!({"metadata": {"labels": {"a": "1"}}});
    let patch = json!({"metadata": {"labels": {"a": null, "b": "2"}, "annotations": null}});
    strategic(&kind("", "Pod"), &mut object, &patch).unwrap();
    assert_eq!(object, json!({"metadata": {"labels": {"b": "2"}}}));
}

/// What no reader of the API sees: empty values, and directives, which real servers drop when they decode.
fn visible(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, child)| (name.clone(), visible(child)));
            Value::Object(fields.filter(|(name, child)| !name.starts_with('$') && !is_empty(child)).collect())
        }
        Value::Array(items) => {
            items.iter().filter(|item| item.get("$patch").is_none()).map(visible).collect()
        }
        scalar => scalar.clone(),
    }
}

/// Random patches and what kubectl 1.36.2 makes of them (`kubectl patch --local --type=strategic`, which runs
/// Kubernetes' own code).
#[test]
fn recorded_patches_give_what_kubernetes_gives() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("strategic_cases.json")).unwrap();
    assert!(cases.len() >= 80);
    for case in cases {
        let mut object = case["live"].clone();
        let result = strategic(&kind("", "Pod"), &mut object, &case["patch"]);
        assert_eq!(result.is_err(), case["error"] == true, "{case}");
        if result.is_ok() {
            assert_eq!(visible(&object), case["result"], "{case}");
        }
    }
}
