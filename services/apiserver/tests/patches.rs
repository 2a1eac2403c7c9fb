//! Patches that are none, do not fit, or would do harm are answered as Kubernetes answers them.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Answer, Api, config_map, pod, start};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SANDBOXES: &str = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes";
const UNFIT: &str = "the server rejected our request due to an error in our request";

async fn with_objects() -> Api {
    let api = start().await;
    let sandbox = json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "a"},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}}});
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    api.post(PODS, &pod("a")).await.expect(201);
    api.post(SANDBOXES, &sandbox).await.expect(201);
    api
}

fn message(answer: &Answer, code: u16) -> String {
    assert_eq!(answer.status, code, "{}", answer.text);
    answer.json()["message"].as_str().unwrap().to_owned()
}

/// Facts: `NewGenericServerResponse` has one text for every 422; the malformed are `error decoding patch` of Go's decoder.
#[tokio::test]
async fn no_patch_makes_an_object_something_else() {
    let api = with_objects().await;
    for path in [format!("{MAPS}/a"), format!("{SANDBOXES}/a")] {
        let before = api.get(&path).await.expect(200);
        for (patch, found) in [(json!("x"), "string"), (json!(1), "number"), (json!([]), "array")] {
            let want = format!(
                "error decoding patch: json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"
            );
            assert_eq!(message(&api.patch(&path, "merge", &patch).await, 400), want);
        }
        assert_eq!(message(&api.patch(&path, "merge", &Value::Null).await, 400), "Invalid JSON Patch");
        for value in [json!([]), json!("x"), Value::Null, json!(1)] {
            let patch = json!([{"op": "replace", "path": "", "value": value}]);
            let text = message(&api.patch(&path, "json", &patch).await, 422);
            assert!(text.starts_with(" \"\" is invalid: patch: Invalid value: "), "{text}");
        }
        let remove = json!([{"op": "remove", "path": "/nothing"}]);
        assert_eq!(message(&api.patch(&path, "json", &remove).await, 422), UNFIT);
        let unnamed = api.patch(&path, "merge", &json!({"metadata": {"name": null}})).await;
        assert_eq!(
            message(&unnamed, 400),
            "the name of the object (a based on URL) was undeterminable: name must be provided"
        );
        let odd = api.patch(&path, "merge", &json!({"metadata": "x"})).await;
        assert!(message(&odd, 422).contains("patch: Invalid value"), "{}", odd.text);
        assert_eq!(api.get(&path).await.expect(200), before);
    }
}

/// Facts: `maxJSONPatchOperations` is 10,000, `JSONPatchMaxCopyBytes` 3 MiB.
#[tokio::test]
async fn patches_that_would_fill_the_memory_are_refused() {
    let api = with_objects().await;
    let path = format!("{MAPS}/a");
    let many = vec![json!({"op": "test", "path": "/data/key", "value": "1"}); 10_001];
    assert_eq!(
        message(&api.patch(&path, "json", &many.into()).await, 413),
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    let long = json!({"op": "add", "path": "/data/long", "value": "x".repeat(100_000)});
    let copies = (0..60).map(|n| json!({"op": "copy", "from": "/data/long", "path": format!("/data/{n}")}));
    let copies: Vec<Value> = std::iter::once(long).chain(copies).collect();
    assert_eq!(message(&api.patch(&path, "json", &copies.into()).await, 422), UNFIT);
    let deep: Vec<Value> =
        (0..200).map(|_| json!({"op": "copy", "from": "/metadata", "path": "/metadata/m"})).collect();
    assert_eq!(message(&api.patch(&format!("{SANDBOXES}/a"), "json", &deep.into()).await, 422), UNFIT);
    api.get(&path).await.expect(200);
}

/// YAML has no limit of its own that would keep an object readable for JSON parsers.
#[tokio::test]
async fn yaml_that_is_nested_without_end_is_refused() {
    let api = start().await;
    let yaml =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {}{}", "{a: ".repeat(120), "}".repeat(120));
    let answer = api.send("POST", MAPS, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
}

/// Fact: what cannot be decoded after the patch is invalid on a field named `patch`, with the object, or with a strategic
/// patch as Go prints it.
#[tokio::test]
async fn a_value_of_the_wrong_type_is_invalid_on_the_patch() {
    let api = with_objects().await;
    let patch = json!({"spec": {"activeDeadlineSeconds": "soon"}});
    let text = message(&api.patch(&format!("{PODS}/a"), "merge", &patch).await, 422);
    assert!(text.starts_with(" \"\" is invalid: patch: Invalid value: \"{\\\""), "{text}");
    let text = message(&api.patch(&format!("{PODS}/a"), "strategic", &patch).await, 422);
    assert!(text.contains("patch: Invalid value: \"map[spec:map[activeDeadlineSeconds:soon]]\": "), "{text}");
}

/// Fact: strict decoding looks at the patch as well as at what it makes; the default is to warn.
#[tokio::test]
async fn fields_given_twice_in_a_patch_are_judged() {
    let api = with_objects().await;
    let path = format!("{MAPS}/a");
    let merge = [("content-type", "application/merge-patch+json")];
    let twice = r#"{"data": {"key": "2", "key": "3"}}"#;
    let strict = api.send("PATCH", &format!("{path}?fieldValidation=Strict"), &merge, twice).await;
    let text = message(&strict, 422);
    assert!(text.ends_with("strict decoding error: duplicate field \"data.key\""), "{text}");
    let warned = api.send("PATCH", &path, &merge, twice).await;
    assert_eq!(warned.headers["warning"], "299 - \"duplicate field \\\"data.key\\\"\"");
    assert_eq!(warned.expect(200)["data"]["key"], "3");
    let json_patch = [("content-type", "application/json-patch+json")];
    let odd = r#"[{"op": "test", "op": "add", "path": "/data/x", "value": "1", "odd": 1}]"#;
    let strict = api.send("PATCH", &format!("{path}?fieldValidation=Strict"), &json_patch, odd).await;
    let text = message(&strict, 422);
    let problems = "json patch duplicate field \"[0].op\", json patch unknown field \"[0].odd\"";
    assert!(text.ends_with(problems), "{text}");
    let quiet = api.send("PATCH", &format!("{path}?fieldValidation=Ignore"), &json_patch, odd).await;
    assert_eq!((quiet.headers.get("warning"), quiet.status.as_u16()), (None, 200));
}

/// Facts: `versionCheckManager` compares the whole type; an error of the type converter is no status, so it is a 500
/// without a reason, whatever `fieldValidation` says.
#[tokio::test]
async fn what_is_applied_is_of_the_kind_and_declared_field_by_field() {
    let api = with_objects().await;
    let apply = |path: String, body: Value| {
        let api = &api;
        async move { api.patch(&format!("{path}?fieldManager=m"), "apply", &body).await }
    };
    let map = |body: Value| apply(format!("{MAPS}/a"), body);
    let untyped = json!({"kind": "ConfigMap", "metadata": {"name": "a"}});
    assert_eq!(message(&map(untyped).await, 400), "invalid object type: /, Kind=ConfigMap");
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}});
    assert_eq!(message(&map(other).await, 400), "invalid object type: apps/v1, Kind=Deployment");
    let failed =
        map(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "date": {}})).await;
    let failed = failed.expect(500);
    assert_eq!(failed.get("reason"), None);
    assert_eq!(
        failed["message"],
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .date: field not declared in schema"
    );
    let sandbox = json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": {"name": "a", "namespace": "default"}, "spec": {"odd": 1}});
    assert_eq!(
        message(&apply(format!("{SANDBOXES}/a"), sandbox).await, 500),
        "failed to create typed patch object (default/a; agents.x-k8s.io/v1beta1, Kind=Sandbox): .spec.odd: field not \
         declared in schema"
    );
    let twice = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "main"}, {"name": "main"}]}});
    let text = message(&apply(format!("{PODS}/a"), twice).await, 500);
    assert!(text.ends_with(".spec.containers: duplicate entries for key [name=\"main\"]"), "{text}");
    let typed = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"activeDeadlineSeconds": "soon"}});
    let text = message(&apply(format!("{PODS}/a"), typed).await, 500);
    assert!(
        text.ends_with(".spec.activeDeadlineSeconds: expected numeric (int or float), got string"),
        "{text}"
    );
}

/// Facts: YAML keys given twice are told by strict decoding with their line; the last one counts.
#[tokio::test]
async fn yaml_keys_given_twice_are_judged() {
    let api = start().await;
    let yaml = [("content-type", "application/yaml")];
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  a: '1'\n  a: '2'\n";
    let strict = api.send("POST", &format!("{MAPS}?fieldValidation=Strict"), &yaml, body).await;
    let text = message(&strict, 400);
    assert!(text.contains("line 7: key \"a\" already set in map"), "{text}");
    let warned = api.send("POST", MAPS, &yaml, body).await;
    assert!(warned.headers["warning"].to_str().unwrap().contains("line 7: key"));
    assert_eq!(warned.expect(201)["data"]["a"], "2");
    let path = format!("{MAPS}/m?fieldManager=m&force=true");
    let apply = [("content-type", "application/apply-patch+yaml")];
    let strict = api.send("PATCH", &format!("{path}&fieldValidation=Strict"), &apply, body).await;
    assert!(message(&strict, 400).starts_with("error strict decoding YAML: "), "{}", strict.text);
    assert_eq!(api.send("PATCH", &path, &apply, body).await.expect(200)["data"]["a"], "2");
}

/// Fact: Go reads a null in a `map[string]string` as the empty string.
#[tokio::test]
async fn a_null_in_a_map_of_strings_is_the_empty_string() {
    let api = start().await;
    let mut map = config_map("m", "1");
    map["data"]["nothing"] = Value::Null;
    map["metadata"]["labels"] = json!({"empty": null});
    map["metadata"]["annotations"] = Value::Null;
    let made = api.post(MAPS, &map).await.expect(201);
    assert_eq!(made["data"], json!({"key": "1", "nothing": ""}));
    assert_eq!(made["metadata"]["labels"], json!({"empty": ""}));
    assert_eq!(made["metadata"].get("annotations"), None);
}

/// Facts: protobuf exists for built-in kinds only, and `application/yaml` is the only name of YAML.
#[tokio::test]
async fn media_types_that_a_kind_does_not_have_are_unsupported() {
    let api = start().await;
    let send = |path: &'static str, kind: &'static str| {
        let api = &api;
        async move { api.send("POST", path, &[("content-type", kind)], "x").await }
    };
    let text = message(&send(SANDBOXES, "application/vnd.kubernetes.protobuf").await, 415);
    assert!(text.ends_with("accepted media types include: application/json, application/yaml"), "{text}");
    assert_eq!(send(MAPS, "text/yaml").await.status, 415);
    assert_eq!(send(MAPS, "application/x-yaml").await.status, 415);
    assert_eq!(send(MAPS, "application/vnd.kubernetes.protobuf").await.status, 400);
}

/// Facts: `ErrResourceVersionSetOnCreate` is no status; leases, runtime classes and CRDs refuse an update that names no
/// revision, as custom kinds do; a resourceVersion of 0 names none.
#[tokio::test]
async fn revisions_where_they_must_or_must_not_be() {
    let api = with_objects().await;
    let mut map = config_map("b", "1");
    map["metadata"]["resourceVersion"] = "7".into();
    let failed = api.post(MAPS, &map).await.expect(500);
    assert_eq!(failed["message"], "resourceVersion should not be set on objects to be created");
    assert_eq!(failed.get("reason"), None);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}});
    let made = api.post(leases, &lease).await.expect(201);
    assert_eq!(
        message(&api.put(&format!("{leases}/l"), &lease).await, 422),
        "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for \
         an update"
    );
    api.put(&format!("{leases}/l"), &made).await.expect(200);
    let mut sandbox = api.get(&format!("{SANDBOXES}/a")).await.expect(200);
    sandbox["metadata"]["resourceVersion"] = "0".into();
    assert_eq!(api.put(&format!("{SANDBOXES}/a"), &sandbox).await.status, 422);
    assert_eq!(
        api.put(&format!("{SANDBOXES}/b"), &{
            let mut other = sandbox.clone();
            other["metadata"]["name"] = "b".into();
            other
        })
        .await
        .status,
        404
    );
    let mut map = api.get(&format!("{MAPS}/a")).await.expect(200);
    map["metadata"]["resourceVersion"] = "0".into();
    api.put(&format!("{MAPS}/a"), &map).await.expect(200);
    map["metadata"]["name"].take();
    assert_eq!(
        message(&api.put(&format!("{MAPS}/a"), &map).await, 400),
        "the name of the object (a based on URL) was undeterminable: name must be provided"
    );
}
