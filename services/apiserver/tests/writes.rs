//! Creates, updates and patches do to an object what Kubernetes does.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{config_map, pod, start};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SANDBOXES: &str = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes";

fn sandbox(name: &str) -> Value {
    json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": name},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}}})
}

#[tokio::test]
async fn a_new_object_gets_its_identity_and_its_defaults() {
    let api = start().await;
    let mut sent = pod("p");
    sent["metadata"]["uid"] = "forged".into();
    sent["metadata"]["creationTimestamp"] = "1999-01-01T00:00:00Z".into();
    sent["metadata"]["deletionTimestamp"] = "1999-01-01T00:00:00Z".into();
    sent["status"] = json!({"phase": "Running"});
    let made = api.post(PODS, &sent).await.expect(201);
    let meta = &made["metadata"];
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert!(meta["creationTimestamp"].as_str().unwrap() > "2020");
    assert_eq!((meta.get("deletionTimestamp"), meta.get("selfLink")), (None, None));
    assert_eq!(meta["namespace"], "default");
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    assert_eq!(made["spec"]["terminationGracePeriodSeconds"], 30);
    let read = api.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(read, made);
}

#[tokio::test]
async fn names_are_generated_from_a_prefix() {
    let api = start().await;
    let sent = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "job-"}});
    let (a, b) = (api.post(MAPS, &sent).await.expect(201), api.post(MAPS, &sent).await.expect(201));
    let names = [&a, &b].map(|made| made["metadata"]["name"].as_str().unwrap().to_owned());
    assert!(names.iter().all(|name| name.starts_with("job-") && name.len() == 9), "{names:?}");
    assert_ne!(names[0], names[1]);
    assert_eq!(a["metadata"]["generateName"], "job-");
}

#[tokio::test]
async fn yaml_is_understood() {
    let api = start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  a: 'true'\n";
    let made = api.send("POST", MAPS, &[("content-type", "application/yaml")], yaml).await.expect(201);
    assert_eq!(made["data"]["a"], "true");
}

#[tokio::test]
async fn a_dry_run_answers_and_stores_nothing() {
    let api = start().await;
    let made = api.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await.expect(201);
    assert!(made["metadata"]["uid"].is_string());
    assert_eq!(made["metadata"].get("resourceVersion"), None);
    assert_eq!(api.get(&format!("{MAPS}/a")).await.status, 404);
    let real = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    assert_eq!(api.post(&format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await.status, 409);
    let patch = json!({"data": {"key": "2"}});
    let dry = api.patch(&format!("{MAPS}/a?dryRun=All"), "merge", &patch).await.expect(200);
    assert_eq!(
        (&dry["data"]["key"], &dry["metadata"]["resourceVersion"]),
        (&json!("2"), &real["metadata"]["resourceVersion"])
    );
    api.delete(&format!("{MAPS}/a"), &json!({"dryRun": ["All"]})).await.expect(200);
    assert_eq!(api.get(&format!("{MAPS}/a")).await.expect(200), real);
}

// Fact: a write that changes nothing leaves resourceVersion and managedFields alone and makes no event.
#[tokio::test]
async fn a_write_that_changes_nothing_writes_nothing() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let before = api.store.revision();
    assert_eq!(api.put(&format!("{MAPS}/a"), &made).await.expect(200), made);
    assert_eq!(
        api.patch(&format!("{MAPS}/a"), "merge", &json!({"data": {"key": "1"}})).await.expect(200),
        made
    );
    assert_eq!(api.store.revision(), before);
}

#[tokio::test]
async fn all_kinds_of_patch_work() {
    let api = start().await;
    api.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p");
    let add = json!({"spec": {"containers": [{"name": "main", "image": "other"}]}, "metadata": {"labels": {"a": "1"}}});
    let patched = api.patch(&path, "strategic", &add).await.expect(200);
    assert_eq!(patched["spec"]["containers"][0]["image"], "other");
    assert_eq!(patched["spec"]["containers"].as_array().unwrap().len(), 1);
    let json_patch = json!([{"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "replace", "path": "/metadata/labels/a", "value": "2"}]);
    assert_eq!(api.patch(&path, "json", &json_patch).await.expect(200)["metadata"]["labels"]["a"], "2");
    assert_eq!(api.patch(&path, "json", &json_patch).await.expect(422)["reason"], "Invalid");
    let merge = json!({"metadata": {"labels": {"a": null, "b": "3"}}});
    assert_eq!(api.patch(&path, "merge", &merge).await.expect(200)["metadata"]["labels"], json!({"b": "3"}));
}

#[tokio::test]
async fn apply_creates_merges_and_tells_conflicts() {
    let api = start().await;
    let path = format!("{MAPS}/a");
    let made =
        api.patch(&format!("{path}?fieldManager=one"), "apply", &config_map("a", "1")).await.expect(201);
    assert_eq!(made["metadata"]["managedFields"][0]["manager"], "one");
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Apply");
    let again =
        api.patch(&format!("{path}?fieldManager=one"), "apply", &config_map("a", "1")).await.expect(200);
    assert_eq!(again, made);
    let conflict = api.patch(&format!("{path}?fieldManager=two"), "apply", &config_map("a", "2")).await;
    let status = conflict.expect(409);
    assert_eq!(status["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.key");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldManagerConflict");
    let forced =
        api.patch(&format!("{path}?fieldManager=two&force=true"), "apply", &config_map("a", "2")).await;
    assert_eq!(forced.expect(200)["data"]["key"], "2");
    let nobody = api.patch(&path, "apply", &config_map("a", "1")).await;
    let text = nobody.expect(422)["message"].as_str().unwrap().to_owned();
    assert!(text.contains("fieldManager: Required value: is required for apply patch"), "{text}");
    let gone = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let left = api.patch(&format!("{path}?fieldManager=two"), "apply", &gone).await.expect(200);
    assert_eq!(left["data"].as_object().map_or(0, serde_json::Map::len), 0, "{left}");
}

#[tokio::test]
async fn every_write_says_who_owns_what() {
    let api = start().await;
    let agent = [("content-type", "application/json"), ("user-agent", "my-tool/v1.2 (linux)")];
    let made = api.send("POST", MAPS, &agent, config_map("a", "1").to_string()).await.expect(201);
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("my-tool"), &json!("Update")));
    assert_eq!(entry["fieldsV1"], json!({"f:data": {".": {}, "f:key": {}}}));
    assert_eq!(entry["fieldsType"], "FieldsV1");
    let path = format!("{MAPS}/a?fieldManager=other");
    let changed = api.patch(&path, "merge", &json!({"data": {"key": "2"}})).await.expect(200);
    let managers = changed["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.iter().any(|entry| entry["manager"] == "other"), "{managers:?}");
    api.post(SANDBOXES, &sandbox("s")).await.expect(201);
    let status = json!({"status": {"conditions": []}});
    let changed = api.patch(&format!("{SANDBOXES}/s/status"), "merge", &status).await.expect(200);
    let managers = changed["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers.iter().any(|entry| entry["subresource"] == "status" && entry["manager"] == "test"),
        "{managers:?}"
    );
}

#[tokio::test]
async fn spec_and_status_are_written_apart() {
    let api = start().await;
    let mut sent = sandbox("s");
    sent["status"] = json!({"replicas": 5});
    let made = api.post(SANDBOXES, &sent).await.expect(201);
    assert_eq!((made.get("status"), &made["metadata"]["generation"]), (None, &json!(1)));
    let status = json!({"status": {"serviceFQDN": "x"}, "spec": {"operatingMode": "Suspended"}});
    let after = api.patch(&format!("{SANDBOXES}/s/status"), "merge", &status).await.expect(200);
    assert_eq!(
        (&after["status"]["serviceFQDN"], &after["metadata"]["generation"]),
        (&json!("x"), &json!(1)),
        "{after}"
    );
    assert_ne!(after["spec"]["operatingMode"], "Suspended");
    let spec = json!({"status": {"serviceFQDN": "y"}, "spec": {"operatingMode": "Suspended"}});
    let after = api.patch(&format!("{SANDBOXES}/s"), "merge", &spec).await.expect(200);
    assert_eq!((&after["status"]["serviceFQDN"], &after["metadata"]["generation"]), (&json!("x"), &json!(2)));
}

#[tokio::test]
async fn a_patch_without_a_revision_survives_a_race() {
    let api = start().await;
    api.post(MAPS, &config_map("a", "0")).await.expect(201);
    let path = format!("{MAPS}/a");
    let writes = (0..20).map(|n| {
        let patch = json!({"data": {(format!("k{n}")): "v"}});
        let (api, path) = (&api, &path);
        async move { api.patch(path, "merge", &patch).await.expect(200) }
    });
    futures::future::join_all(writes).await;
    assert_eq!(api.get(&path).await.expect(200)["data"].as_object().unwrap().len(), 21);
}

#[tokio::test]
async fn a_sandbox_needs_a_revision_to_be_replaced_and_a_config_map_does_not() {
    let api = start().await;
    api.post(SANDBOXES, &sandbox("s")).await.expect(201);
    let status = api.put(&format!("{SANDBOXES}/s"), &sandbox("s")).await.expect(422);
    assert_eq!(
        status["message"],
        "sandboxes.agents.x-k8s.io \"s\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for \
         an update"
    );
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    assert_eq!(api.put(&format!("{MAPS}/a"), &config_map("a", "2")).await.expect(200)["data"]["key"], "2");
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let api = start().await;
    api.post(PODS, &pod("p")).await.expect(201);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}});
    assert_eq!(api.post(&format!("{PODS}/p/binding"), &binding).await.expect(201)["status"], "Success");
    let bound = api.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let status = api.post(&format!("{PODS}/p/binding"), &binding).await.expect(409);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
}

#[tokio::test]
async fn scale_reads_and_writes_the_number_only() {
    let api = start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.post(deployments, &deployment).await.expect(201);
    let scale = api.get(&format!("{deployments}/d/scale")).await.expect(200);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(1)));
    assert_eq!(scale["status"]["selector"], "a=b");
    let patch = json!({"spec": {"replicas": 4}});
    let scale = api.patch(&format!("{deployments}/d/scale"), "merge", &patch).await.expect(200);
    assert_eq!(scale["spec"]["replicas"], 4);
    let after = api.get(&format!("{deployments}/d")).await.expect(200);
    assert_eq!((&after["spec"]["replicas"], &after["metadata"]["generation"]), (&json!(4), &json!(2)));
}
