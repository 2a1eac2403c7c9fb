//! Deployments, ReplicaSets and Jobs, with a test that plays the node.
use super::world::*;
use kube::api::{ListParams, PropagationPolicy::*};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const DEPLOYMENT: &str = "apps/v1/Deployment";
const SET: &str = "apps/v1/ReplicaSet";
const JOB: &str = "batch/v1/Job";

fn template(restart: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": image}]}})
}

fn deployment(replicas: i32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template("Always", "one")}})
}

fn set(replicas: i32) -> Value {
    let mut set = deployment(replicas);
    set["kind"] = json!("ReplicaSet");
    set
}

fn job(spec: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"},
        "spec": {"template": template("Never", "one")}});
    for (name, value) in spec.as_object().unwrap() {
        job["spec"][name] = value.clone();
    }
    job
}

// === impl World ===

impl World {
    async fn pods(&self) -> Vec<Value> {
        let list = self.api("v1/Pod", "default").list(&ListParams::default()).await.unwrap();
        let all = list.items.into_iter().map(|pod| serde_json::to_value(pod).unwrap());
        all.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    async fn until_pods(&self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let pods = self.pods().await;
            if wanted(&pods) {
                return pods;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{pods:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every pod that has not ended gets this status, as a node would write it.
    async fn play(&self, phase: &str) {
        let ready = if phase == "Running" { "True" } else { "False" };
        for pod in self.pods().await {
            if pod["status"]["phase"] == "Pending"
                || (phase != "Running" && pod["status"]["phase"] == "Running")
            {
                let conditions =
                    json!([{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
                let status = json!({"phase": phase, "conditions": conditions});
                self.status("v1/Pod", "default", name(&pod), status).await;
            }
        }
    }

    /// Plays the node until an object is as wanted.
    async fn played(&self, kind: &str, name: &str, phase: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            self.play(phase).await;
            let found = self.get(kind, "default", name).await.unwrap();
            if wanted(&found) {
                return found;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{found:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn sets(&self) -> Vec<Value> {
        let list = self.api(SET, "default").list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|set| serde_json::to_value(set).unwrap()).collect()
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn condition(object: &Value, kind: &str) -> Option<String> {
    let all = object["status"]["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == kind && condition["status"] == "True")?;
    found["reason"].as_str().map(str::to_owned)
}

fn complete(replicas: i32) -> impl Fn(&Value) -> bool {
    move |d| {
        condition(d, "Progressing").as_deref() == Some("NewReplicaSetAvailable")
            && d["status"]["updatedReplicas"] == replicas
            && d["status"]["replicas"] == replicas
            && d["status"]["observedGeneration"] == d["metadata"]["generation"]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_set_keeps_its_number_and_takes_and_lets_go_by_labels() {
    let world = start().await;
    let mut lonely = pod("lonely", json!({}));
    lonely["metadata"]["labels"] = json!({"app": "web"});
    world.create("default", lonely).await;
    world.create("default", set(3)).await;
    let pods = world.until_pods(|pods| pods.len() == 3).await;
    for pod in &pods {
        assert_eq!(
            pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet",
            "also the one that was there"
        );
    }
    // A pod whose labels no longer match is let go of, and replaced.
    world.patch("v1/Pod", "default", "lonely", json!({"metadata": {"labels": {"app": "other"}}})).await;
    world.until_pods(|pods| pods.len() == 4).await;
    let lonely = world
        .until("v1/Pod", "default", "lonely", |pod| {
            pod["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty)
        })
        .await;
    assert_eq!(lonely["metadata"]["labels"]["app"], "other");
    let made = pods.iter().find(|pod| name(pod) != "lonely").map(name).unwrap().to_owned();
    world.delete("v1/Pod", "default", &made, Background).await;
    world.until_pods(|pods| pods.len() == 4 && pods.iter().all(|pod| name(pod) != made)).await;
    world.played(SET, "web", "Running", |set| set["status"]["availableReplicas"] == 3).await;
    world.patch(SET, "default", "web", json!({"spec": {"replicas": 1}})).await;
    world.until_pods(|pods| pods.len() == 2).await;
    world
        .until(SET, "default", "web", |set| {
            set["status"]["replicas"] == 1 && set["status"]["observedGeneration"] == 2
        })
        .await;
    let notes = world.notes("default", "web").await;
    assert!(notes.iter().any(|note| note.starts_with("SuccessfulCreate: Created pod: web-")), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("SuccessfulDelete: Deleted pod: web-")), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_rolls_out_goes_back_and_takes_its_pods_along() {
    let world = start().await;
    world.create("default", deployment(3)).await;
    let first = world.played(DEPLOYMENT, "web", "Running", complete(3)).await;
    assert_eq!(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(first["metadata"]["generation"], 1, "its notes start no new generation");
    assert_eq!(condition(&first, "Available").as_deref(), Some("MinimumReplicasAvailable"));
    let change = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    world.patch(DEPLOYMENT, "default", "web", change("two")).await;
    world.played(DEPLOYMENT, "web", "Running", complete(3)).await;
    let pods = world.until_pods(|pods| pods.len() == 3).await;
    assert!(pods.iter().all(|pod| pod["spec"]["containers"][0]["image"] == "two"));
    assert_eq!(world.sets().await.len(), 2);
    world.patch(DEPLOYMENT, "default", "web", change("one")).await;
    let back = world.played(DEPLOYMENT, "web", "Running", complete(3)).await;
    assert_eq!(back["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(world.sets().await.len(), 2);
    world.delete(DEPLOYMENT, "default", "web", Foreground).await;
    world.gone(DEPLOYMENT, "default", "web").await;
    assert!(world.sets().await.is_empty() && world.pods().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_deleted_with_orphans_leaves_sets_that_the_next_one_takes() {
    let world = start().await;
    world.create("default", deployment(2)).await;
    world.played(DEPLOYMENT, "web", "Running", complete(2)).await;
    let before: Vec<String> = world.pods().await.iter().map(|pod| name(pod).to_owned()).collect();
    world.delete(DEPLOYMENT, "default", "web", Orphan).await;
    world.gone(DEPLOYMENT, "default", "web").await;
    assert_eq!((world.sets().await.len(), world.pods().await.len()), (1, 2));
    world.create("default", deployment(2)).await;
    world.played(DEPLOYMENT, "web", "Running", complete(2)).await;
    let after: Vec<String> = world.pods().await.iter().map(|pod| name(pod).to_owned()).collect();
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_to_its_end_and_every_pod_is_counted_once() {
    let world = start().await;
    world.create("default", job(json!({"completions": 5, "parallelism": 2}))).await;
    let pods = world.until_pods(|pods| pods.len() == 2).await;
    assert_eq!(pods[0]["metadata"]["finalizers"], json!(["batch.kubernetes.io/job-tracking"]));
    assert_eq!(pods[0]["metadata"]["labels"]["batch.kubernetes.io/job-name"], "work");
    let done = world.played(JOB, "work", "Succeeded", |job| condition(job, "Complete").is_some()).await;
    assert_eq!((&done["status"]["succeeded"], done["status"].get("failed")), (&json!(5), None));
    assert_eq!(condition(&done, "SuccessCriteriaMet").as_deref(), Some("CompletionsReached"));
    let pods = world.pods().await;
    assert_eq!(pods.len(), 5);
    assert!(pods.iter().all(|pod| pod["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)));
    world.delete(JOB, "default", "work", Background).await;
    world.until_pods(<[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_pod_fails_fails_and_goes_when_its_time_is_over() {
    let world = start().await;
    world.create("default", job(json!({"backoffLimit": 0, "ttlSecondsAfterFinished": 1}))).await;
    world.until_pods(|pods| pods.len() == 1).await;
    world
        .played(JOB, "work", "Failed", |job| {
            condition(job, "Failed").as_deref() == Some("BackoffLimitExceeded")
        })
        .await;
    world.gone(JOB, "default", "work").await;
    world.until_pods(<[Value]>::is_empty).await;
}

/// Fact: nobody counts the pods of a Job that is gone, so they are let go of: the tracking finalizer must not hold them for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_deleted_while_it_runs_leaves_no_pod_behind() {
    let world = start().await;
    world.create("default", job(json!({"parallelism": 3, "completions": 3}))).await;
    world.until_pods(|pods| pods.len() == 3).await;
    world.delete(JOB, "default", "work", Background).await;
    let start = Instant::now();
    loop {
        let left = world.api("v1/Pod", "default").list(&ListParams::default()).await.unwrap().items;
        if left.is_empty() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{left:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fact: the pods of a set are charged to the quota one by one; what is refused is an event and a condition, and when there is room
/// again the set goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_beyond_its_quota_says_so_and_goes_on_when_there_is_room() {
    let world = start().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": {"pods": "2", "count/replicasets.apps": "5"}}});
    world.create("default", quota).await;
    world.create("default", set(3)).await;
    let told = |set: &Value| condition(set, "ReplicaFailure").as_deref() == Some("FailedCreate");
    let refused = world.until(SET, "default", "web", told).await;
    let message = refused["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message
            .ends_with("is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"),
        "{message}"
    );
    let used = json!({"pods": "2", "count/replicasets.apps": "1"});
    let quota =
        world.until("v1/ResourceQuota", "default", "q", |quota| quota["status"]["used"] == used).await;
    assert_eq!(quota["status"]["hard"], quota["spec"]["hard"]);
    world.patch("v1/ResourceQuota", "default", "q", json!({"spec": {"hard": {"pods": "3"}}})).await;
    world.until_pods(|pods| pods.len() == 3).await;
    world.until(SET, "default", "web", |set| condition(set, "ReplicaFailure").is_none()).await;
    world.until("v1/ResourceQuota", "default", "q", |quota| quota["status"]["used"]["pods"] == "3").await;
}
