//! Pods on a real gVisor. Needs root, runsc and the supervisor.

#[path = "harness/world.rs"]
mod world;

use serde_json::json;
use world::{World, is_ready, shell, state};

const WAIT: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

#[tokio::test(flavor = "multi_thread")]
async fn one_container_runs_is_probed_entered_and_restarted() {
    let world = World::new().await;
    let mut app =
        shell("app", &format!("python3 -m http.server 8080 --directory /tmp >/dev/null 2>&1 & {WAIT}"));
    app["readinessProbe"] = json!({"httpGet": {"port": 8080}, "periodSeconds": 1});
    app["volumeMounts"] = json!([{"name": "shm", "mountPath": "/mem"}]);
    let spec = json!({
        "runtimeClassName": "gvisor", "terminationGracePeriodSeconds": 1, "containers": [app],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    });
    world.pod("g", spec).await;
    world.ready("g").await;
    // gVisor's kernel calls itself 4.4.0.
    let (out, err, code) = world.exec("g", &["sh", "-c", "uname -r; exit 4"]).await;
    assert_eq!((out.as_str(), code), ("4.4.0\n", 4), "{err}");
    world.exec("g", &["sh", "-c", "echo kept > /mem/f; kill -TERM 1"]).await;
    world.wait("g", "a second run", |pod| state(pod, "app")["restartCount"] == 1 && is_ready(pod)).await;
    let (out, err, _) = world.exec("g", &["cat", "/mem/f"]).await;
    assert_eq!(out, "kept\n", "{err}");
    world.delete("g").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_containers_share_one_sandbox() {
    let mut world = World::new().await;
    let spec = json!({
        "runtimeClassName": "gvisor", "terminationGracePeriodSeconds": 1,
        "initContainers": [shell("init", "echo ready")],
        "containers": [
            shell("server", &format!("python3 -m http.server 8080 --bind 127.0.0.1 --directory /etc >/dev/null 2>&1 & {WAIT}")),
            // Kubernetes allows the name; the container that holds the sandbox together must not be called so.
            shell("pause", WAIT),
        ],
    });
    world.pod("m", spec).await;
    world.ready("m").await;
    let fetch = "import urllib.request as u, time\nfor n in range(50):\n  try: print(u.urlopen('http://127.0.0.1:8080/hostname').read().decode(), end=''); break\n  except OSError: time.sleep(0.1)";
    let params = kube::api::AttachParams::default().container("pause").stdin(false).stderr(false);
    let mut process = world.pods().exec("m", ["python3", "-c", fetch], &params).await.unwrap();
    let mut out = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut process.stdout().unwrap(), &mut out).await.unwrap();
    assert_eq!(out, "m\n");
    world.kill_node().await;
    world.start_node().await;
    world.wait("m", "still ready", is_ready).await;
    let took = world.delete("m").await;
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_class_says_what_there_is() {
    let world = World::new().await;
    let classes: kube::Api<k8s_openapi::api::node::v1::RuntimeClass> = kube::Api::all(world.client.clone());
    let class = serde_json::from_value(json!({"metadata": {"name": "kata"}, "handler": "kata"})).unwrap();
    classes.create(&Default::default(), &class).await.unwrap();
    let spec = json!({"runtimeClassName": "kata", "containers": [shell("app", WAIT)]});
    world.pod("k", spec).await;
    let pod = world
        .wait("k", "told", |pod| state(pod, "app")["state"]["waiting"]["reason"] == "CreatePodSandboxError")
        .await;
    let message = state(&pod, "app")["state"]["waiting"]["message"].to_string();
    assert!(message.contains("kata") && message.contains("gvisor"), "{message}");
    world.told("FailedCreatePodSandBox", "kata").await;
    world.end().await;
}
