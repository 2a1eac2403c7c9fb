//! The Sandbox controller against the real API server: what clients see, what it costs, what cannot go wrong.

#[path = "harness/bench.rs"]
mod bench;

use bench::{Bench, Faults, condition};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use telemetry::ManualClock;

const MS: Duration = Duration::from_millis(1);

/// A clock that stands still: what is held back for a while stays back until it is moved.
fn still() -> ManualClock {
    ManualClock::new("2026-01-02T03:04:05Z".parse().expect("a time"))
}

#[tokio::test]
async fn create_suspend_and_resume_cost_three_requests_each() {
    let mut bench = Bench::start().await;
    bench.kubelet(10 * MS);
    let running = bench.controller_at(Faults::default(), Arc::new(still())).await;
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
async fn a_slow_start_costs_four_requests_and_shows_progress() {
    let bench = Bench::start().await;
    let clock = still();
    let running = bench.controller_at(Faults::default(), Arc::new(clock.clone())).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "False DependenciesNotReady: Pod exists with phase: Pending").await;
    let scheduled =
        json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = async |status: serde_json::Value| {
        let patch = Patch::Merge(json!({ "status": status }));
        bench.pods.patch_status("s", &PatchParams::default(), &patch).await.unwrap();
    };
    status(json!({"phase": "Pending", "conditions": [scheduled]})).await;
    assert_eq!(running.quiet().await, 2, "progress is held back: {:?}", running.requests());
    clock.advance(jiff::SignedDuration::from_millis(200));
    while condition(&bench.sandboxes.get("s").await.unwrap(), "PodScheduled") != "True PodScheduled: " {
        tokio::time::sleep(5 * MS).await;
    }
    status(json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [scheduled, ready]}))
        .await;
    bench.wait_ready("s", "True").await;
    assert_eq!(running.quiet().await, 4, "{:?}", running.requests());
}

#[tokio::test]
async fn caches_that_lag_never_make_a_second_pod_or_an_error() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let seen = bench.watch_ready("s");
    let running = bench.controller(Faults { watch_delay: 150 * MS, ..Faults::default() }).await;
    bench.create("s", json!({"service": true})).await;
    bench.wait_ready("s", "True DependenciesReady: Pod is Ready; Service Exists").await;
    bench.change("s", json!({"operatingMode": "Suspended"})).await;
    bench.wait_ready("s", "False SandboxSuspended: Sandbox is suspended").await;
    bench.change("s", json!({"operatingMode": "Running"})).await;
    bench.wait_ready("s", "True").await;
    running.quiet().await;
    let requests = running.requests();
    let creates: Vec<&String> = requests.iter().filter(|line| line.starts_with("create pods")).collect();
    assert_eq!(creates, ["create pods ok=2"], "{requests:?}");
    let seen = seen.until("True DependenciesReady").await;
    let expected =
        ["absent", "False DependenciesNotReady", "True DependenciesReady", "False SandboxSuspended"];
    assert!(seen.iter().all(|ready| expected.contains(&ready.as_str())), "{seen:?}");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_again() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    faults.lose_answer.lock().push(("POST", "/pods"));
    let running = bench.controller(faults.clone()).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "True").await;
    running.quiet().await;
    assert!(faults.lose_answer.lock().is_empty(), "the answer was lost");
    let count = bench.pods.list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(count, 1, "{:?}", running.requests());
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_nobody_is_alarmed() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let seen = bench.watch_ready("s");
    let faults = Faults::default();
    faults.fail.lock().extend([
        ("POST", "/pods", 429),
        ("POST", "/pods", 503),
        ("POST", "/pods", 401),
        ("PATCH", "/status", 500),
    ]);
    let running = bench.controller(faults.clone()).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "True").await;
    let seen = seen.until("True DependenciesReady").await;
    assert!(seen.iter().all(|ready| !ready.ends_with("ReconcilerError")), "{seen:?}");
    assert!(faults.fail.lock().is_empty(), "every fault was met: {:?}", faults.fail.lock());
    assert!(running.metrics.retries() >= 3);
}

#[tokio::test]
async fn a_refusal_is_told_on_the_object_and_overcome_later() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    *faults.outage.lock() = Some(("POST", "/pods", 403));
    let _running = bench.controller(faults.clone()).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "False ReconcilerError: Error seen: on purpose").await;
    *faults.outage.lock() = None;
    bench.wait_ready("s", "True").await;
}

#[tokio::test]
async fn an_outage_is_told_after_ten_seconds_and_not_before() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let (faults, clock) = (Faults::default(), still());
    *faults.outage.lock() = Some(("POST", "/pods", 503));
    let running = bench.controller_at(faults.clone(), Arc::new(clock.clone())).await;
    bench.create("s", json!({})).await;
    while running.metrics.retries() < 4 {
        tokio::time::sleep(5 * MS).await;
    }
    bench.wait_ready("s", "False DependenciesNotReady: Pod does not exist").await;
    clock.advance(jiff::SignedDuration::from_secs(10));
    bench.wait_ready("s", "False ReconcilerError: Error seen: on purpose").await;
    *faults.outage.lock() = None;
    bench.wait_ready("s", "True").await;
}

#[tokio::test]
async fn a_pod_that_took_the_place_of_the_one_seen_is_not_deleted_for_it() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    let running = bench.controller(faults.clone()).await;
    bench.create("s", json!({})).await;
    bench.wait_ready("s", "True").await;
    running.quiet().await;
    faults.held_watch.send_replace(Some("/pods"));
    let mut pod = bench.pods.get("s").await.unwrap();
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    bench.pods.delete("s", &now).await.unwrap();
    (pod.metadata.uid, pod.metadata.resource_version) = (None, None);
    let pod = bench.pods.create(&PostParams::default(), &pod).await.unwrap();
    bench.change("s", json!({"operatingMode": "Suspended"})).await;
    bench.wait_ready("s", "False SandboxSuspended: Sandbox is suspending").await;
    let conflicts = |line: &String| line.starts_with("delete pods conflict=");
    assert!(running.requests().iter().any(conflicts), "{:?}", running.requests());
    let left = bench.pods.get("s").await.unwrap().metadata;
    assert_eq!((left.uid, left.deletion_timestamp), (pod.metadata.uid, None));
    faults.held_watch.send_replace(None);
    bench.wait_ready("s", "False SandboxSuspended: Sandbox is suspended").await;
}

#[tokio::test]
async fn a_status_that_somebody_else_wrote_is_not_overwritten_unseen() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let faults = Faults::default();
    let running = bench.controller(faults.clone()).await;
    bench.create("s", json!({})).await;
    let sandbox = bench.wait_ready("s", "True").await;
    running.quiet().await;
    faults.held_watch.send_replace(Some("/sandboxes"));
    let mut conditions = sandbox.status.unwrap().conditions;
    conditions.push(
        serde_json::from_value(json!({"type": "Theirs", "status": "True", "reason": "R", "message": "m",
                                                  "lastTransitionTime": "2026-01-01T00:00:00Z"}))
        .unwrap(),
    );
    let theirs = Patch::Merge(json!({"status": {"conditions": conditions}}));
    bench.sandboxes.patch_status("s", &PatchParams::default(), &theirs).await.unwrap();
    let failed = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    bench.pods.patch_status("s", &PatchParams::default(), &failed).await.unwrap();
    while !running.requests().iter().any(|line| line.starts_with("patch_status sandboxes conflict=")) {
        tokio::time::sleep(5 * MS).await;
    }
    let sandbox = bench.wait_ready("s", "True").await;
    assert_eq!(condition(&sandbox, "Theirs"), "True R: m");
    faults.held_watch.send_replace(None);
    let sandbox = bench.wait_ready("s", "False PodFailed").await;
    assert_eq!(condition(&sandbox, "Theirs"), "True R: m");
}

/// The API server accepts what no program that reads Pods can read: an int-or-string field has no bounds, and a time is
/// RFC 3339 and no more.
#[tokio::test]
async fn a_sandbox_that_cannot_be_read_says_so_and_hides_no_other() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let bad = || json!({"httpGet": {"port": 3_000_000_000_u64}});
    let pod = |probe| json!({"podTemplate": {"spec": {"containers": [{"name": "c", "image": "i", "readinessProbe": probe}]}}});
    bench.create_raw("before", pod(bad())).await;
    let _running = bench.controller(Faults::default()).await;
    let says = "False ReconcilerError: Error seen: spec.podTemplate.spec.containers[0].readinessProbe";
    bench.wait_ready("before", says).await;
    bench.create_raw("after", pod(bad())).await;
    bench.create_raw("far", json!({"shutdownTime": "9999-12-31T23:59:59Z"})).await;
    bench.create_raw("fine", json!({"shutdownTime": "2226-01-02T03:04:05.1234567890123Z"})).await;
    bench.wait_ready("after", says).await;
    bench.wait_ready("far", "True").await;
    bench.wait_ready("fine", "True").await;
    bench.change("far", pod(bad())).await;
    let sandbox = bench.wait_ready("far", says).await;
    assert_eq!(sandbox.status.unwrap().pod_ips, ["10.0.0.1"], "its Pod runs on");
    bench.change("far", json!({"operatingMode": "Suspended"})).await;
    bench.change("before", pod(json!(null))).await;
    bench.wait_ready("before", "True").await;
    while bench.pods.get_opt("far").await.unwrap().is_some() {
        tokio::time::sleep(5 * MS).await;
    }
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
async fn time_runs_out_on_time_and_not_a_moment_before() {
    let mut bench = Bench::start().await;
    bench.kubelet(MS);
    let _running = bench.controller(Faults::default()).await;
    // Most of a second would be lost if anything on the way counted in whole seconds.
    let second = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 2).unwrap();
    let end = second + jiff::SignedDuration::from_millis(950);
    let time = format!("{}.9500000001Z", second.to_string().trim_end_matches('Z'));
    bench.create_raw("keep", json!({"shutdownTime": time, "service": true})).await;
    bench.create_raw("go", json!({"shutdownTime": time, "shutdownPolicy": "Delete"})).await;
    bench.wait_ready("keep", "True").await;
    let sandbox = bench.wait_ready("keep", "False SandboxExpired: Sandbox has expired").await;
    let late = jiff::Timestamp::now().duration_since(end);
    assert!(late >= jiff::SignedDuration::ZERO, "{late:?} before its time");
    assert!(late < jiff::SignedDuration::from_secs(5), "{late:?}");
    assert_eq!(sandbox.status.unwrap().service, None);
    let gone = async || {
        bench.sandboxes.get_opt("go").await.unwrap().is_none()
            && bench.pods.get_opt("keep").await.unwrap().is_none()
            && bench.services.get_opt("keep").await.unwrap().is_none()
    };
    while !gone().await {
        tokio::time::sleep(5 * MS).await;
    }
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
