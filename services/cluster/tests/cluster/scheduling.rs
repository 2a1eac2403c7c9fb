//! Pods and the node.
use super::world::*;
use kube::api::PropagationPolicy::Background;
use serde_json::{Value, json};

fn unscheduled(pod: &Value) -> Option<String> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == "PodScheduled" && c["status"] == "False")?;
    condition["message"].as_str().map(str::to_owned)
}

fn needing(cpu: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_waits_for_a_node_and_then_goes_to_it() {
    let world = start().await;
    world.create("default", pod("early", json!({}))).await;
    let early = world.until("v1/Pod", "default", "early", |p| unscheduled(p).is_some()).await;
    assert_eq!(unscheduled(&early).unwrap(), "no nodes available to schedule pods");
    world.node(json!({"cpu": "2", "memory": "4Gi", "pods": "10"})).await;
    let early = world.until("v1/Pod", "default", "early", |p| p["spec"]["nodeName"] == "host").await;
    assert_eq!(unscheduled(&early), None);
    let notes = loop {
        let notes = world.notes("default", "early").await;
        if notes.len() == 2 {
            break notes;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(
        notes.contains(&"Scheduled: Successfully assigned default/early to host".to_owned()),
        "{notes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pods_never_take_the_same_room_and_the_second_gets_it_when_it_is_free() {
    let world = start().await;
    world.node(json!({"cpu": "1", "memory": "4Gi", "pods": "10"})).await;
    world.create("default", pod("a", needing("600m"))).await;
    world.until("v1/Pod", "default", "a", |p| p["spec"]["nodeName"] == "host").await;
    world.create("default", pod("b", needing("600m"))).await;
    let b = world.until("v1/Pod", "default", "b", |p| unscheduled(p).is_some()).await;
    let text = unscheduled(&b).unwrap();
    assert!(text.starts_with("0/1 nodes are available: 1 Insufficient cpu. preemption:"), "{text}");
    world.delete("v1/Pod", "default", "a", Background).await;
    world.until("v1/Pod", "default", "b", |p| p["spec"]["nodeName"] == "host").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_pods_at_once_fill_the_node_and_no_more() {
    let world = start().await;
    world.node(json!({"cpu": "3", "memory": "4Gi", "pods": "100"})).await;
    let made = (0..50).map(|i| world.create("default", pod(&format!("p{i}"), needing("100m"))));
    futures::future::join_all(made.collect::<Vec<_>>()).await;
    for i in 0..50 {
        world
            .until("v1/Pod", "default", &format!("p{i}"), |p| {
                p["spec"]["nodeName"] == "host" || unscheduled(p).is_some()
            })
            .await;
    }
    let pods = world.api("v1/Pod", "default").list(&Default::default()).await.unwrap().items;
    assert_eq!(pods.iter().filter(|p| p.data["spec"]["nodeName"] == "host").count(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_and_runtime_class_overhead_count() {
    let world = start().await;
    world.node(json!({"cpu": "1", "memory": "1Gi", "pods": "10"})).await;
    world
        .create(
            "",
            json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"},
        "handler": "heavy", "overhead": {"podFixed": {"memory": "2Gi"}}}),
        )
        .await;
    world.create("default", pod("picky", json!({"nodeSelector": {"disk": "hdd"}}))).await;
    let picky = world.until("v1/Pod", "default", "picky", |p| unscheduled(p).is_some()).await;
    assert!(unscheduled(&picky).unwrap().contains("1 node(s) didn't match Pod's node affinity/selector"));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    world.create("default", pod("fat", json!({"runtimeClassName": "heavy"}))).await;
    let fat = world.until("v1/Pod", "default", "fat", |p| unscheduled(p).is_some()).await;
    assert!(unscheduled(&fat).unwrap().contains("1 Insufficient memory"));
}
