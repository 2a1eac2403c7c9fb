//! Garbage collection, as `kubectl delete` users know it.
use super::world::*;
use kube::api::PropagationPolicy::{Background, Foreground, Orphan};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_object_owned_goes_with_it_down_to_the_last() {
    let world = start().await;
    let root = world.create("default", map("root", &[])).await;
    let child = world.create("default", map("child", &[(&root, true)])).await;
    world.create("default", map("grandchild", &[(&child, true)])).await;
    let other = world.create("default", map("other", &[])).await;
    world.create("default", map("shared", &[(&root, true), (&other, true)])).await;
    world.delete("v1/ConfigMap", "default", "root", Background).await;
    world.gone("v1/ConfigMap", "default", "child").await;
    world.gone("v1/ConfigMap", "default", "grandchild").await;
    let shared = world
        .until("v1/ConfigMap", "default", "shared", |o| {
            o["metadata"]["ownerReferences"].as_array().unwrap().len() == 1
        })
        .await;
    assert_eq!(shared["metadata"]["ownerReferences"][0]["name"], "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreground_deletion_waits_for_what_blocks() {
    let world = start().await;
    let root = world.create("default", map("root", &[])).await;
    let mut child = map("child", &[(&root, true)]);
    child["metadata"]["finalizers"] = json!(["example.com/wait"]);
    world.create("default", child).await;
    world.delete("v1/ConfigMap", "default", "root", Foreground).await;
    world.until("v1/ConfigMap", "default", "child", |o| !o["metadata"]["deletionTimestamp"].is_null()).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(world.get("v1/ConfigMap", "default", "root").await.is_some(), "the child is still there");
    world.patch("v1/ConfigMap", "default", "child", json!({"metadata": {"finalizers": null}})).await;
    world.gone("v1/ConfigMap", "default", "root").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_stay_without_their_owner() {
    let world = start().await;
    let root = world.create("default", map("root", &[])).await;
    world.create("default", map("child", &[(&root, true)])).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    world.delete("v1/ConfigMap", "default", "root", Orphan).await;
    world.gone("v1/ConfigMap", "default", "root").await;
    let child = world.get("v1/ConfigMap", "default", "child").await.unwrap();
    assert!(child["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty), "{child}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_of_another_uid_or_deleted_while_nobody_looked_is_no_owner() {
    let mut world = server().await;
    let mut stale = world.create("default", map("root", &[])).await;
    world.create("default", map("left", &[(&stale, true)])).await;
    world.delete("v1/ConfigMap", "default", "root", Background).await;
    world.create("default", map("root", &[])).await;
    stale["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    stale["metadata"]["name"] = json!("never");
    world.create("default", map("stray", &[(&stale, true)])).await;
    world.control();
    world.gone("v1/ConfigMap", "default", "left").await;
    world.gone("v1/ConfigMap", "default", "stray").await;
    assert!(world.get("v1/ConfigMap", "default", "root").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_of_a_kind_that_is_not_served_keeps_its_dependents() {
    let world = start().await;
    let mut owner = map("x", &[]);
    owner["apiVersion"] = json!("example.com/v1");
    owner["kind"] = json!("Widget");
    owner["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000001");
    world.create("default", map("kept", &[(&owner, true)])).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(world.get("v1/ConfigMap", "default", "kept").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_own_each_other_can_be_deleted_in_the_foreground() {
    let world = start().await;
    let a = world.create("default", map("a", &[])).await;
    let b = world.create("default", map("b", &[(&a, true)])).await;
    world
        .patch("v1/ConfigMap", "default", "a", json!({"metadata": map("a", &[(&b, true)])["metadata"]}))
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    world.delete("v1/ConfigMap", "default", "a", Foreground).await;
    world.gone("v1/ConfigMap", "default", "a").await;
    world.gone("v1/ConfigMap", "default", "b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_takes_its_pod_along() {
    let world = start().await;
    let sandbox = world
        .create(
            "default",
            json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "s"},
            "spec": {"podTemplate": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
        )
        .await;
    let mut owned = map("of-sandbox", &[(&sandbox, true)]);
    // References made by clients of the older version mean the same object.
    owned["metadata"]["ownerReferences"][0]["apiVersion"] = json!("agents.x-k8s.io/v1alpha1");
    world.create("default", owned).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(world.get("v1/ConfigMap", "default", "of-sandbox").await.is_some());
    world.delete("agents.x-k8s.io/v1beta1/Sandbox", "default", "s", Background).await;
    world.gone("v1/ConfigMap", "default", "of-sandbox").await;
}
