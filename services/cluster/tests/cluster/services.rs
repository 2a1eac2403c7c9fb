//! Services and who stands behind them.
use super::world::*;
use kube::api::{ListParams, PropagationPolicy::Background};
use serde_json::{Value, json};

async fn slices(world: &World) -> Vec<Value> {
    let params = ListParams::default().labels("kubernetes.io/service-name=web");
    let list = world.api("discovery.k8s.io/v1/EndpointSlice", "default").list(&params).await.unwrap();
    list.items.into_iter().map(|slice| serde_json::to_value(slice).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_headless_service_follows_its_pods() {
    let world = start().await;
    world
        .create(
            "default",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}}}),
        )
        .await;
    world.node(json!({"cpu": "4", "memory": "4Gi", "pods": "10"})).await;
    world.create("default", pod("web", json!({}))).await;
    world.until("v1/Pod", "default", "web", |p| p["spec"]["nodeName"] == "host").await;
    let status = |ready: &str| {
        json!({"phase": "Running", "podIP": "10.201.0.2", "podIPs": [{"ip": "10.201.0.2"}],
        "conditions": [{"type": "Ready", "status": ready}]})
    };
    world.status("v1/Pod", "default", "web", status("False")).await;
    let unready = |e: &Value| e["subsets"][0]["notReadyAddresses"][0]["ip"] == "10.201.0.2";
    world.until("v1/Endpoints", "default", "web", unready).await;
    world.status("v1/Pod", "default", "web", status("True")).await;
    let ready = |e: &Value| e["subsets"][0]["addresses"][0]["targetRef"]["name"] == "web";
    world.until("v1/Endpoints", "default", "web", ready).await;
    let slices_now = slices(&world).await;
    assert_eq!(slices_now.len(), 1);
    assert_eq!(slices_now[0]["endpoints"][0]["addresses"], json!(["10.201.0.2"]));
    // Somebody's change is put right.
    let slice = slices_now[0]["metadata"]["name"].as_str().unwrap();
    world.patch("discovery.k8s.io/v1/EndpointSlice", "default", slice, json!({"endpoints": []})).await;
    world
        .until("discovery.k8s.io/v1/EndpointSlice", "default", slice, |s| s["endpoints"][0].is_object())
        .await;
    world.delete("v1/Pod", "default", "web", Background).await;
    world
        .until("v1/Endpoints", "default", "web", |e| e["subsets"].as_array().is_none_or(Vec::is_empty))
        .await;
    world.delete("v1/Service", "default", "web", Background).await;
    world.gone("v1/Endpoints", "default", "web").await;
    world.gone("discovery.k8s.io/v1/EndpointSlice", "default", slice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_a_selector_is_left_to_people() {
    let world = start().await;
    world
        .create(
            "default",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}]}}),
        )
        .await;
    world
        .create(
            "default",
            json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"},
        "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}]}),
        )
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(slices(&world).await.is_empty());
    assert_eq!(
        world.get("v1/Endpoints", "default", "web").await.unwrap()["subsets"][0]["addresses"][0]["ip"],
        "192.0.2.7"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_at_rest_writes_nothing() {
    let world = start().await;
    world.node(json!({"cpu": "1", "memory": "1Gi", "pods": "10", "ephemeral-storage": "1Gi"})).await;
    world.create("default", json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "x", "port": 81}]}})).await;
    world.create("default", pod("web", json!({}))).await;
    world
        .status("v1/Pod", "default", "web", json!({"podIP": "10.201.0.2", "podIPs": [{"ip": "10.201.0.2"}]}))
        .await;
    for (name, size) in [("fits", "1Mi"), ("huge", "1Ti")] {
        let size = json!({"requests": {"storage": size}});
        world
            .create(
                "default",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": size}}),
            )
            .await;
    }
    let huge = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "huge"}}]});
    world.create("default", pod("waits", huge)).await;
    let wanted = world.create("default", map("owner", &[])).await;
    world.create("default", map("owned", &[(&wanted, true)])).await;
    world.until("v1/PersistentVolumeClaim", "default", "fits", |c| c["status"]["phase"] == "Bound").await;
    world.until("v1/Pod", "default", "waits", |p| p["status"]["conditions"].is_array()).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let revision = async || {
        world.api("v1/Pod", "default").list(&ListParams::default()).await.unwrap().metadata.resource_version
    };
    let before = revision().await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(revision().await, before);
}
