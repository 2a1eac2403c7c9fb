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

/// Fact: OrderedNamespaceDeletion: as long as a pod is there, nothing else is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_before_everything_else_in_their_namespace() {
    let world = start().await;
    world.create("", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})).await;
    world.create("team", map("config", &[])).await;
    let mut held = pod("p", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    world.create("team", held).await;
    world.delete("v1/Namespace", "", "team", Background).await;
    world.until("v1/Pod", "team", "p", |pod| pod["metadata"]["deletionTimestamp"].is_string()).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let config = world.get("v1/ConfigMap", "team", "config").await.expect("it goes after the pod");
    assert!(config["metadata"]["deletionTimestamp"].is_null());
    world.patch("v1/Pod", "team", "p", json!({"metadata": {"finalizers": null}})).await;
    world.gone("v1/Namespace", "", "team").await;
}

/// Fact: what cannot be deleted is said in the condition NamespaceDeletionContentFailure, and all other content goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_cannot_be_deleted_holds_up_no_other() {
    let mut world = server().await;
    world.control_refusing("/endpointslices");
    world.create("", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})).await;
    let kinds = [("v1", "ConfigMap"), ("v1", "Secret"), ("networking.k8s.io/v1", "NetworkPolicy")];
    for (version, kind) in kinds {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}});
        if kind == "NetworkPolicy" {
            object["spec"] = json!({"podSelector": {}});
        }
        world.create("team", object).await;
    }
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"},
        "addressType": "IPv4", "endpoints": []});
    world.create("team", slice).await;
    world.delete("v1/Namespace", "", "team", Background).await;
    for (version, kind) in kinds {
        world.gone(&format!("{version}/{kind}"), "team", "a").await;
    }
    let failed = |namespace: &serde_json::Value| {
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|c| {
            c["type"] == "NamespaceDeletionContentFailure"
                && c["status"] == "True"
                && c["message"]
                    .as_str()
                    .is_some_and(|m| m.starts_with("Failed to delete all resource types, 1 remaining:"))
        })
    };
    world.until("v1/Namespace", "", "team", failed).await;
}
