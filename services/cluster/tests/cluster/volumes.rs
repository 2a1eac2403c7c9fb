//! Claims, volumes, and the pods that wait for them.
use super::world::*;
use kube::api::PropagationPolicy::Background;
use serde_json::{Value, json};

fn claim(name: &str, size: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}})
}

async fn with_disk() -> World {
    let world = start().await;
    world.until("storage.k8s.io/v1/StorageClass", "", "standard", |_| true).await;
    world.node(json!({"cpu": "4", "memory": "4Gi", "pods": "10", "ephemeral-storage": "40Gi"})).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_bound_and_its_pod_scheduled_without_complaint() {
    let world = with_disk().await;
    world.create("default", claim("data", "1Gi")).await;
    let volume = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    world.create("default", pod("p", volume)).await;
    let bound =
        world.until("v1/PersistentVolumeClaim", "default", "data", |c| c["status"]["phase"] == "Bound").await;
    let name = format!("pvc-{}", bound["metadata"]["uid"].as_str().unwrap());
    assert_eq!(bound["spec"]["volumeName"], *name);
    assert_eq!(bound["spec"]["storageClassName"], "standard");
    assert_eq!(bound["status"]["capacity"]["storage"], "1Gi");
    let volume = world.until("v1/PersistentVolume", "", &name, |v| v["status"]["phase"] == "Bound").await;
    assert_eq!(
        volume["metadata"]["finalizers"],
        json!(["agent-sandbox.local/volume", "kubernetes.io/pv-protection"])
    );
    world.until("v1/Pod", "default", "p", |p| p["spec"]["nodeName"] == "host").await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let notes = world.notes("default", "p").await;
    assert!(!notes.iter().any(|note| note.starts_with("FailedScheduling")), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_larger_than_the_disk_stays_pending_with_the_fix() {
    let world = with_disk().await;
    world.create("default", claim("huge", "10Ti")).await;
    world
        .create(
            "default",
            pod("p", json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "huge"}}]})),
        )
        .await;
    let start = std::time::Instant::now();
    while !world
        .notes("default", "huge")
        .await
        .iter()
        .any(|n| n.starts_with("ProvisioningFailed") && n.contains("40Gi"))
    {
        assert!(start.elapsed().as_secs() < 10, "{:?}", world.notes("default", "huge").await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let pod = world.until("v1/Pod", "default", "p", |p| p["status"]["conditions"].is_array()).await;
    assert_eq!(pod["status"]["conditions"][0]["reason"], "Unschedulable");
    let text = pod["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        text.starts_with("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        "{text}"
    );
    assert_eq!(
        world.get("v1/PersistentVolumeClaim", "default", "huge").await.unwrap()["status"]["phase"],
        "Pending"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_in_use_outlives_its_deletion_and_its_volume_goes_last() {
    let world = with_disk().await;
    world.create("default", claim("data", "1Gi")).await;
    world
        .create(
            "default",
            pod("p", json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]})),
        )
        .await;
    world.until("v1/Pod", "default", "p", |p| p["spec"]["nodeName"] == "host").await;
    let bound = world.get("v1/PersistentVolumeClaim", "default", "data").await.unwrap();
    let volume = bound["spec"]["volumeName"].as_str().unwrap().to_owned();
    world.delete("v1/PersistentVolumeClaim", "default", "data", Background).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(world.get("v1/PersistentVolumeClaim", "default", "data").await.is_some(), "a pod uses it");
    world.delete("v1/Pod", "default", "p", Background).await;
    world.gone("v1/PersistentVolumeClaim", "default", "data").await;
    let going = world
        .until("v1/PersistentVolume", "", &volume, |v| !v["metadata"]["deletionTimestamp"].is_null())
        .await;
    assert_eq!(going["status"]["phase"], "Released");
    // What the node agent does once the directory is gone.
    world.patch("v1/PersistentVolume", "", &volume, json!({"metadata": {"finalizers": null}})).await;
    world.gone("v1/PersistentVolume", "", &volume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_retains_keeps_the_volume() {
    let world = with_disk().await;
    world
        .create(
            "",
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "keep"},
        "provisioner": "agent-sandbox.local", "reclaimPolicy": "Retain"}),
        )
        .await;
    let mut kept = claim("data", "1Gi");
    kept["spec"]["storageClassName"] = json!("keep");
    world.create("default", kept).await;
    let bound =
        world.until("v1/PersistentVolumeClaim", "default", "data", |c| c["status"]["phase"] == "Bound").await;
    let volume = bound["spec"]["volumeName"].as_str().unwrap().to_owned();
    world.delete("v1/PersistentVolumeClaim", "default", "data", Background).await;
    let released =
        world.until("v1/PersistentVolume", "", &volume, |v| v["status"]["phase"] == "Released").await;
    assert!(released["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_made_by_hand_is_taken_by_the_claim_it_fits() {
    let world = with_disk().await;
    world.create("", json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "mine"},
        "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
            "csi": {"driver": "agent-sandbox.local", "volumeHandle": "mine"}}})).await;
    world.until("v1/PersistentVolume", "", "mine", |v| v["status"]["phase"] == "Available").await;
    let mut wanting = claim("data", "2Gi");
    wanting["spec"]["storageClassName"] = json!("by-hand");
    world.create("default", wanting).await;
    let bound =
        world.until("v1/PersistentVolumeClaim", "default", "data", |c| c["status"]["phase"] == "Bound").await;
    assert_eq!(bound["spec"]["volumeName"], "mine");
    assert_eq!(bound["status"]["capacity"]["storage"], "5Gi");
}

/// Facts: a bound volume that is deleted stays until it is no longer bound (the pv-protection controller), and a claim that
/// no pod uses goes at once, bound or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_volume_stays_while_it_is_bound() {
    let world = with_disk().await;
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "mine"},
        "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
            "hostPath": {"path": "/x"}}});
    world.create("", volume).await;
    let mut asking = claim("data", "1Gi");
    asking["spec"]["storageClassName"] = json!("by-hand");
    world.create("default", asking).await;
    world.until("v1/PersistentVolume", "", "mine", |v| v["status"]["phase"] == "Bound").await;
    world.until("v1/PersistentVolumeClaim", "default", "data", |c| c["status"]["phase"] == "Bound").await;
    world.delete("v1/PersistentVolume", "", "mine", Background).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let kept = world.get("v1/PersistentVolume", "", "mine").await.unwrap();
    assert_eq!(kept["status"]["phase"], "Bound");
    world.delete("v1/PersistentVolumeClaim", "default", "data", Background).await;
    world.gone("v1/PersistentVolumeClaim", "default", "data").await;
    world.gone("v1/PersistentVolume", "", "mine").await;
}
