//! How long a new pod waits for the controllers, which is part of what a person waits for.
use super::world::*;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_with_a_claim_has_its_node_at_once() {
    let world = start().await;
    world.until("storage.k8s.io/v1/StorageClass", "", "standard", |_| true).await;
    world.node(json!({"cpu": "100", "memory": "40Gi", "pods": "100", "ephemeral-storage": "40Gi"})).await;
    let (mut plain, mut claimed) = (Vec::new(), Vec::new());
    for i in 0..20 {
        let name = format!("p{i}");
        let start = Instant::now();
        world.create("default", pod(&name, json!({}))).await;
        world.until("v1/Pod", "default", &name, |p| p["spec"]["nodeName"] == "host").await;
        plain.push(start.elapsed());
        let name = format!("c{i}");
        let start = Instant::now();
        world
            .create(
                "default",
                json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}),
            )
            .await;
        let volumes = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]});
        world.create("default", pod(&name, volumes)).await;
        world.until("v1/Pod", "default", &name, |p| p["spec"]["nodeName"] == "host").await;
        claimed.push(start.elapsed());
    }
    plain.sort();
    claimed.sort();
    println!("pod to node p50 {:?}; claim and pod to node p50 {:?}", plain[10], claimed[10]);
    // Twenty times what it takes on a quiet machine: this finds waiting for a timer, not a slow machine.
    assert!(plain[10] < Duration::from_millis(400) && claimed[10] < Duration::from_millis(1000));
}
