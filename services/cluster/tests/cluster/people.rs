//! Namespaces, and what each has.
use super::world::*;
use kube::api::PropagationPolicy::Background;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_namespace_has_an_account_without_token_and_the_ca() {
    let world = start().await;
    world.create("", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})).await;
    for namespace in ["default", "team"] {
        let account = world.until("v1/ServiceAccount", namespace, "default", |_| true).await;
        assert_eq!(account["automountServiceAccountToken"], false);
        let map = world.until("v1/ConfigMap", namespace, "kube-root-ca.crt", |_| true).await;
        assert_eq!(map["data"]["ca.crt"], "PEM");
    }
    world.delete("v1/ServiceAccount", "team", "default", Background).await;
    world.patch("v1/ConfigMap", "team", "kube-root-ca.crt", json!({"data": {"ca.crt": "forged"}})).await;
    world.until("v1/ServiceAccount", "team", "default", |_| true).await;
    world.until("v1/ConfigMap", "team", "kube-root-ca.crt", |map| map["data"]["ca.crt"] == "PEM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_namespace_is_emptied_and_says_what_it_waits_for() {
    let world = start().await;
    world.create("", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})).await;
    world.until("v1/ConfigMap", "team", "kube-root-ca.crt", |_| true).await;
    let mut waits = map("waits", &[]);
    waits["metadata"]["finalizers"] = json!(["example.com/wait"]);
    world.create("team", waits).await;
    world.create("team", map("goes", &[])).await;
    world.delete("v1/Namespace", "", "team", Background).await;
    world.gone("v1/ConfigMap", "team", "goes").await;
    let said = |object: &serde_json::Value, kind: &str| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().find(|c| c["type"] == kind && c["status"] == "True").map(|c| c["message"].clone())
    };
    let namespace = world
        .until("v1/Namespace", "", "team", |o| {
            said(o, "NamespaceContentRemaining")
                .is_some_and(|m| m == "Some resources are remaining: configmaps. has 1 resource instances")
        })
        .await;
    assert_eq!(
        said(&namespace, "NamespaceFinalizersRemaining").unwrap(),
        "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
    );
    world.patch("v1/ConfigMap", "team", "waits", json!({"metadata": {"finalizers": null}})).await;
    world.gone("v1/Namespace", "", "team").await;
}
