//! Deletion waits for what it must wait for, and for nothing else.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Api, config_map, pod, start};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn bound_pod(api: &Api, name: &str) -> Value {
    api.post(PODS, &pod(name)).await.expect(201);
    api.post(&format!("{PODS}/{name}/binding"), &json!({"target": {"name": "n1"}})).await.expect(201);
    api.get(&format!("{PODS}/{name}")).await.expect(200)
}

#[tokio::test]
async fn a_plain_object_goes_at_once() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let status = api.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(status["details"], json!({"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}));
    assert_eq!(api.delete(&format!("{MAPS}/a"), &Value::Null).await.status, 404);
}

// Facts (tests/differential, `delete/plain`): some stores of kube-apiserver have `ReturnDeletedObject`; a pod is marked before it
// goes, and is answered at the revision of its deletion.
#[tokio::test]
async fn a_pod_that_goes_at_once_is_answered_as_it_was_marked() {
    let api = start().await;
    let mut made = api.post(PODS, &pod("p")).await.expect(201);
    let gone = api.delete(&format!("{PODS}/p"), &Value::Null).await.expect(200);
    assert!(gone["metadata"]["deletionTimestamp"].is_string());
    made["metadata"]["deletionGracePeriodSeconds"] = 0.into();
    made["metadata"]["generation"] = 2.into();
    for field in ["resourceVersion", "deletionTimestamp"] {
        made["metadata"][field] = gone["metadata"][field].clone();
    }
    assert_eq!(gone, made);
    assert_eq!(gone["metadata"]["resourceVersion"], api.store.revision().to_string());
}

// Facts: 202 is only for who says `orphanDependents: false` about an object that stays for now; namespaces have no
// deletecollection.
#[tokio::test]
async fn who_asks_in_the_old_way_is_told_that_the_object_stays_for_now() {
    let api = start().await;
    for name in ["a", "b"] {
        let mut map = config_map(name, "1");
        map["metadata"]["finalizers"] = json!(["example.com/hold"]);
        api.post(MAPS, &map).await.expect(201);
    }
    api.delete(&format!("{MAPS}/a"), &json!({"orphanDependents": false})).await.expect(202);
    api.delete(&format!("{MAPS}/b"), &json!({"propagationPolicy": "Background"})).await.expect(200);
    assert_eq!(api.delete("/api/v1/namespaces", &Value::Null).await.status, 405);
}

#[tokio::test]
async fn a_dry_run_shows_the_object_as_it_would_be_marked() {
    let api = start().await;
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let made = api.post(MAPS, &map).await.expect(201);
    let shown = api.delete(&format!("{MAPS}/a"), &json!({"dryRun": ["All"]})).await.expect(200);
    assert!(shown["metadata"]["deletionTimestamp"].is_string(), "{shown}");
    assert_eq!(api.get(&format!("{MAPS}/a")).await.expect(200), made);
}

#[tokio::test]
async fn preconditions_must_hold() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let wrong = json!({"preconditions": {"uid": "other"}});
    let status = api.delete(&format!("{MAPS}/a"), &wrong).await.expect(409);
    assert_eq!(status["reason"], "Conflict");
    assert!(
        status["message"].as_str().unwrap().contains("the UID in the precondition (other) does not match"),
        "{status}"
    );
    let wrong = json!({"preconditions": {"resourceVersion": "1"}});
    api.delete(&format!("{MAPS}/a"), &wrong).await.expect(409);
    let right = json!({"preconditions": {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}});
    api.delete(&format!("{MAPS}/a"), &right).await.expect(200);
}

#[tokio::test]
async fn finalizers_are_waited_for() {
    let api = start().await;
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(MAPS, &map).await.expect(201);
    let marked = api.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    assert_eq!(marked["kind"], "ConfigMap");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = api.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    assert_eq!(again, marked);
    let from = marked["metadata"]["resourceVersion"].as_str().unwrap();
    api.patch(&format!("{MAPS}/a"), "merge", &json!({"metadata": {"finalizers": null}})).await.expect(200);
    assert_eq!(api.get(&format!("{MAPS}/a")).await.status, 404);
    let events = api.events(&format!("{MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=1")).await;
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("DELETED")));
}

#[tokio::test]
async fn propagation_sets_the_finalizer_of_its_policy() {
    let api = start().await;
    for (policy, finalizers) in [("Foreground", json!(["foregroundDeletion"])), ("Orphan", json!(["orphan"]))]
    {
        api.post(MAPS, &config_map(policy.to_lowercase().as_str(), "1")).await.expect(201);
        let path = format!("{MAPS}/{}", policy.to_lowercase());
        let marked = api.delete(&path, &json!({"propagationPolicy": policy})).await.expect(200);
        assert_eq!(marked["metadata"]["finalizers"], finalizers);
        let done = api.delete(&path, &json!({"propagationPolicy": "Background"})).await.expect(200);
        assert_eq!(done["status"], "Success");
    }
    let status = api.delete(&format!("{MAPS}/x?propagationPolicy=Sometimes"), &Value::Null).await.expect(422);
    assert_eq!(status["reason"], "Invalid");
}

#[tokio::test]
async fn a_pod_on_a_node_gets_its_time_and_the_node_ends_it() {
    let api = start().await;
    let before = bound_pod(&api, "p").await;
    let marked = api.delete(&format!("{PODS}/p"), &Value::Null).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(
        marked["metadata"]["deletionTimestamp"].as_str().unwrap()
            > before["metadata"]["creationTimestamp"].as_str().unwrap()
    );
    // A status write does not end it.
    let status = json!({"status": {"phase": "Running"}});
    api.patch(&format!("{PODS}/p/status"), "merge", &status).await.expect(200);
    assert_eq!(api.get(&format!("{PODS}/p")).await.status, 200);
    let shorter = api.delete(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 5})).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(
        shorter["metadata"]["deletionTimestamp"].as_str() < marked["metadata"]["deletionTimestamp"].as_str()
    );
    let longer = api.delete(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 50})).await.expect(200);
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5);
    let uid = before["metadata"]["uid"].clone();
    api.delete(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}))
        .await
        .expect(200);
    assert_eq!(api.get(&format!("{PODS}/p")).await.status, 404);
}

#[tokio::test]
async fn a_pod_without_a_node_or_that_is_over_goes_at_once() {
    let api = start().await;
    api.post(PODS, &pod("waiting")).await.expect(201);
    api.delete(&format!("{PODS}/waiting"), &Value::Null).await.expect(200);
    assert_eq!(api.get(&format!("{PODS}/waiting")).await.status, 404);
    bound_pod(&api, "over").await;
    api.patch(&format!("{PODS}/over/status"), "merge", &json!({"status": {"phase": "Succeeded"}}))
        .await
        .expect(200);
    api.delete(&format!("{PODS}/over"), &Value::Null).await.expect(200);
    assert_eq!(api.get(&format!("{PODS}/over")).await.status, 404);
}

#[tokio::test]
async fn eviction_deletes_a_pod() {
    let api = start().await;
    bound_pod(&api, "p").await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}});
    assert_eq!(api.post(&format!("{PODS}/p/eviction"), &eviction).await.expect(201)["status"], "Success");
    assert!(api.get(&format!("{PODS}/p")).await.expect(200)["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test]
async fn a_collection_goes_by_selection() {
    let api = start().await;
    for (name, group) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut map = config_map(name, "1");
        map["metadata"]["labels"] = json!({"group": group});
        api.post(MAPS, &map).await.expect(201);
    }
    let gone = api.delete(&format!("{MAPS}?labelSelector=group%3Dx"), &Value::Null).await.expect(200);
    assert_eq!((&gone["kind"], gone["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 2));
    let left = api.get(MAPS).await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    api.delete(MAPS, &Value::Null).await.expect(200);
    assert_eq!(api.delete("/api/v1/configmaps", &Value::Null).await.status, 405);
}
