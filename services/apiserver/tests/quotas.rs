//! What a namespace's quotas and limit ranges let in.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

#[path = "harness/api.rs"]
mod api;

use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, resources: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}

async fn quota(api: &api::Api, name: &str, spec: Value) {
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec});
    let answer = api.post("/api/v1/namespaces/default/resourcequotas", &quota).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

fn message(answer: &api::Answer) -> String {
    let status: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(
        (status["code"].as_i64(), status["reason"].as_str()),
        (Some(403), Some("Forbidden")),
        "{status}"
    );
    status["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_creates_at_once_exactly_as_many_pass_as_there_is_room_for() {
    let api = api::start().await;
    quota(&api, "q", json!({"hard": {"pods": "10", "requests.cpu": "1"}})).await;
    let pods: Vec<Value> =
        (0..64).map(|i| pod(&format!("p{i}"), json!({"requests": {"cpu": "125m"}}))).collect();
    let answers = futures::future::join_all(pods.iter().map(|pod| api.post(PODS, pod))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (8, 56), "eight times 125m is one");
    let said = message(&refused[0]);
    assert!(
        said.ends_with("is forbidden: exceeded quota: q, requested: requests.cpu=125m, used: requests.cpu=1, limited: requests.cpu=1"),
        "{said}"
    );
    // Room is there again as soon as a pod is gone, or has ended.
    let list = api.get(PODS).await;
    let list: Value = serde_json::from_str(&list.text).unwrap();
    let name = list["items"][0]["metadata"]["name"].as_str().unwrap();
    api.delete(&format!("{PODS}/{name}"), &Value::Null).await;
    assert_eq!(api.post(PODS, &pod("next", json!({"requests": {"cpu": "125m"}}))).await.status, 201);
    let ended = json!({"status": {"phase": "Succeeded"}});
    assert_eq!(api.patch(&format!("{PODS}/next/status"), "merge", &ended).await.status, 200);
    assert_eq!(api.post(PODS, &pod("last", json!({"requests": {"cpu": "125m"}}))).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_told_in_kubernetes_words() {
    let api = api::start().await;
    quota(&api, "q", json!({"hard": {"pods": "1", "limits.cpu": "2", "secrets": "1", "count/sandboxes.agents.x-k8s.io": "0"}})).await;
    let answer = api.post(PODS, &pod("x", json!({}))).await;
    assert_eq!(message(&answer), "pods \"x\" is forbidden: failed quota: q: must specify limits.cpu for: c");
    let limited = json!({"limits": {"cpu": "1"}});
    // A dry run takes no room.
    assert_eq!(api.post(&format!("{PODS}?dryRun=All"), &pod("x", limited.clone())).await.status, 201);
    assert_eq!(api.post(PODS, &pod("w", limited.clone())).await.status, 201);
    let answer = api.post(PODS, &pod("x", limited.clone())).await;
    assert_eq!(
        message(&answer),
        "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    );
    // What exists already is told first.
    assert_eq!(api.post(PODS, &pod("w", limited)).await.status, 409);
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let secrets = "/api/v1/namespaces/default/secrets";
    assert_eq!(api.post(secrets, &secret("a")).await.status, 201);
    assert_eq!(
        message(&api.post(secrets, &secret("b")).await),
        "secrets \"b\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1"
    );
    let sandbox = json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "s"},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let said =
        message(&api.post("/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes", &sandbox).await);
    assert!(said.contains("exceeded quota: q, requested: count/sandboxes.agents.x-k8s.io=1"), "{said}");
    let other = api.post("/api/v1/namespaces/kube-public/secrets", &secret("b")).await;
    assert_eq!(other.status, 201, "a quota is about its own namespace: {}", other.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_choose_the_pods_that_count() {
    let api = api::start().await;
    quota(&api, "q", json!({"hard": {"pods": "0"}, "scopes": ["BestEffort"]})).await;
    assert!(message(&api.post(PODS, &pod("x", json!({}))).await).contains("exceeded quota: q"));
    assert_eq!(api.post(PODS, &pod("x", json!({"requests": {"cpu": "1m"}}))).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_range_completes_pods_and_refuses_what_is_outside() {
    let api = api::start().await;
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}});
    assert_eq!(api.post("/api/v1/namespaces/default/limitranges", &range).await.status, 201);
    let made = api.post(PODS, &pod("x", json!({}))).await;
    let made: Value = serde_json::from_str(&made.text).unwrap();
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let large = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "2"}});
    assert_eq!(
        message(&api.post(PODS, &pod("y", large)).await),
        "pods \"y\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        message(&api.post("/api/v1/namespaces/default/persistentvolumeclaims", &claim).await),
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_asks_for_what_is_not_done_is_refused_by_name() {
    let api = api::start().await;
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
        "podFailurePolicy": {"rules": []},
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let answer = api.post("/apis/batch/v1/namespaces/default/jobs", &job).await;
    assert_eq!(
        message(&answer),
        "jobs.batch \"j\" is forbidden: spec.podFailurePolicy is not supported by this server: leave it out"
    );
    let missing = api.get("/apis/batch/v1/namespaces/default/cronjobs").await;
    assert_eq!(missing.status, 404);
}
