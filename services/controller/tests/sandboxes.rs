//! The Sandbox controller against the real API server: what clients see, what it costs, what cannot go wrong.

#[path = "harness/bench.rs"]
mod bench;

use bench::{Bench, Faults, condition};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn create_suspend_and_resume_cost_three_requests_each() {
    let mut bench = Bench::start().await;
    bench.kubelet(10 * MS);
    let running = bench.controller(Faults::default()).await;
    bench.create("s", json!({})).await;
    let sandbox = bench.wait_ready("s", "True DependenciesReady: Pod is Ready").await;
    let status = sandbox.status.unwrap();
    assert_eq!(status.pod_ips, ["10.0.0.1"]);
    assert!(sandbox.metadata.annotations.is_none(), "no annotation while the Pod has the Sandbox's name");
    let created = running.quiet().await;
    assert_eq!(created, 3, "{:?}", running.requests());

    bench.change("s", json!({"operatingMode": "Suspended"})).await;
    let sandbox = bench.wait_ready("s", "False SandboxSuspended: Sandbox is suspended").await;
    assert_eq!(condition(&sandbox, "Suspended").split(':').next(), Some("True PodTerminated"));
    assert_eq!(condition(&sandbox, "Finished"), "absent");
    let suspended = running.quiet().await;
    assert!(suspended - created <= 3, "{:?}", running.requests());

    bench.change("s", json!({"operatingMode": "Running"})).await;
    bench.wait_ready("s", "True DependenciesReady").await;
    let resumed = running.quiet().await;
    assert!(resumed - suspended <= 3, "{:?}", running.requests());
    running.stop().await;
}

#[tokio::test]
async fn a_slow_start_costs_at_most_four_requests() {
    let mut bench = Bench::start().await;
    bench.kubelet(600 * MS);
    let running = bench.controller(Faults::default()).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "True").await;
    assert!(running.quiet().await <= 4, "{:?}", running.requests());
}

#[tokio::test]
async fn caches_that_lag_never_make_a_second_pod_or_an_error() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let running = bench.controller(Faults { watch_delay: 150 * MS, ..Faults::default() }).await;
    bench.create("s", json!({"service": true})).await;
    let sandbox = bench.wait_ready("s", "True DependenciesReady: Pod is Ready; Service Exists").await;
    bench.change("s", json!({"operatingMode": "Suspended"})).await;
    bench.wait_ready("s", "False SandboxSuspended: Sandbox is suspended").await;
    bench.change("s", json!({"operatingMode": "Running"})).await;
    bench.wait_ready("s", "True").await;
    running.quiet().await;
    let requests = running.requests();
    let creates: Vec<&String> = requests.iter().filter(|line| line.starts_with("create pods")).collect();
    assert_eq!(creates, ["create pods ok=2"], "{requests:?}");
    assert!(sandbox.status.unwrap().condition("Ready").unwrap().reason != "ReconcilerError");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_again() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    faults.lose_answer.lock().push(("POST", "/pods"));
    let running = bench.controller(faults).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "True").await;
    running.quiet().await;
    let count = bench.pods.list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(count, 1, "{:?}", running.requests());
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_nobody_is_alarmed() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    faults.fail.lock().extend([("POST", "/pods", 429), ("POST", "/pods", 503), ("PATCH", "/status", 500)]);
    let running = bench.controller(faults).await;
    bench.create("s", json!({})).await;
    let sandbox = bench.wait_ready("s", "True").await;
    assert!(sandbox.status.unwrap().conditions.iter().all(|condition| condition.reason != "ReconcilerError"));
    assert!(running.metrics.retries() >= 1);
}

#[tokio::test]
async fn a_refusal_is_told_on_the_object_and_overcome_later() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    faults.fail.lock().extend([("POST", "/pods", 403); 3]);
    let _running = bench.controller(faults).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "False ReconcilerError: Error seen: on purpose").await;
    bench.wait_ready("s", "True").await;
}

#[tokio::test]
async fn a_lost_pod_is_shown_and_replaced() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let _running = bench.controller(Faults::default()).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "True").await;
    let before = bench.pods.get("s").await.unwrap().metadata.uid;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    bench.pods.delete("s", &now).await.unwrap();
    let mut seen = 0;
    for _ in 0..15 {
        tokio::time::sleep(100 * MS).await;
        seen += u32::from(!condition(&bench.sandboxes.get("s").await.unwrap(), "Ready").starts_with("True"));
    }
    assert!(seen >= 1, "who polls every 100 ms sees the loss");
    bench.wait_ready("s", "True").await;
    assert_ne!(bench.pods.get("s").await.unwrap().metadata.uid, before);
}

#[tokio::test]
async fn a_restarted_controller_writes_nothing_about_what_is_as_it_should_be() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let running = bench.controller(Faults::default()).await;
    bench.create("a", json!({"service": true})).await;
    bench.create("b", json!({"operatingMode": "Suspended"})).await;
    bench.wait_ready("a", "True").await;
    bench.wait_ready("b", "False SandboxSuspended").await;
    running.quiet().await;
    running.stop().await;
    let again = bench.controller(Faults::default()).await;
    assert_eq!(again.quiet().await, 0, "{:?}", again.requests());
    assert!(again.metrics.passes() >= 2);
}

#[tokio::test]
async fn time_runs_out_on_time() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let _running = bench.controller(Faults::default()).await;
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    bench.create("keep", json!({"shutdownTime": end.to_string(), "service": true})).await;
    bench.create("go", json!({"shutdownTime": end.to_string(), "shutdownPolicy": "Delete"})).await;
    bench.wait_ready("keep", "True").await;
    let sandbox = bench.wait_ready("keep", "False SandboxExpired: Sandbox has expired").await;
    let late = jiff::Timestamp::now().duration_since(end);
    assert!(late < jiff::SignedDuration::from_millis(1500), "{late:?}");
    assert_eq!(sandbox.status.unwrap().service, None);
    tokio::time::sleep(500 * MS).await;
    assert!(bench.sandboxes.get_opt("go").await.unwrap().is_none());
    assert!(bench.pods.get_opt("keep").await.unwrap().is_none());
    assert!(bench.services.get_opt("keep").await.unwrap().is_none());
}

#[tokio::test]
async fn a_pod_of_somebody_else_is_neither_used_nor_harmed() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let _running = bench.controller(Faults::default()).await;
    let pod = json!({"metadata": {"name": "s"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    bench.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "False ReconcilerError: Error seen: cannot adopt unowned pod \"s\"").await;
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    bench.pods.delete("s", &now).await.unwrap();
    bench.wait_ready("s", "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_are_all_ready_with_one_pod_each() {
    let mut bench = Bench::start().await;
    bench.kubelet(Duration::ZERO);
    let running = bench.controller(Faults::default()).await;
    for n in 0..100 {
        bench.create(&format!("s{n}"), json!({})).await;
    }
    for n in 0..100 {
        bench.wait_ready(&format!("s{n}"), "True").await;
    }
    let total = running.quiet().await;
    let requests = running.requests();
    assert_eq!(bench.pods.list(&ListParams::default()).await.unwrap().items.len(), 100);
    assert!(requests.contains(&"create pods ok=100".to_owned()), "{requests:?}");
    assert!(total <= 450, "{requests:?}");
}

#[tokio::test]
async fn the_older_version_of_the_api_runs_and_suspends_by_replicas() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let _running = bench.controller(Faults::default()).await;
    let older: Api<crd::v1alpha1::Sandbox> = Api::namespaced(bench.client.clone(), "default");
    let manifest = json!({
        "apiVersion": "agents.x-k8s.io/v1alpha1", "kind": "Sandbox", "metadata": {"name": "my-sandbox"},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "my-container", "image": "i"}]}}}
    });
    older.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
    bench.wait_ready("my-sandbox", "True").await;
    let replicas = async || older.get("my-sandbox").await.unwrap().status.unwrap().replicas;
    assert_eq!(replicas().await, Some(1));
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    older.patch("my-sandbox", &PatchParams::default(), &none).await.unwrap();
    bench.wait_ready("my-sandbox", "False SandboxSuspended: Sandbox is suspended").await;
    assert_eq!(replicas().await, Some(0));
}
