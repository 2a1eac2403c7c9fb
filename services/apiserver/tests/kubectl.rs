//! Real kubectl does its daily work against the server.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Api, start};
use serde_json::Value;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: main, image: busybox, command: [sleep, '1000'], ports: [{containerPort: 80}]}
";
const SANDBOX: &str = "
apiVersion: agents.x-k8s.io/v1alpha1
kind: Sandbox
metadata: {name: my-sandbox}
spec:
  podTemplate:
    spec:
      containers:
      - {name: main, image: busybox}
";
const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

async fn json(api: &Api, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&api.kubectl(&args, "").await).unwrap()
}

#[tokio::test]
async fn apply_creates_changes_and_leaves_alone() {
    let api = start().await;
    for (input, name) in
        [(POD, "pod/web"), (SERVICE, "service/web"), (SANDBOX, "sandbox.agents.x-k8s.io/my-sandbox")]
    {
        let apply = ["apply", "-f", "-"];
        assert_eq!(api.kubectl(&apply, input).await.trim(), format!("{name} created"));
        assert_eq!(api.kubectl(&apply, input).await.trim(), format!("{name} unchanged"));
        let changed = input.replace("metadata: {", "metadata: {annotations: {a: b}, ");
        assert_eq!(api.kubectl(&apply, &changed).await.trim(), format!("{name} configured"));
        assert_eq!(api.kubectl(&apply, &changed).await.trim(), format!("{name} unchanged"));
        // What was applied and is no longer is removed.
        assert_eq!(api.kubectl(&apply, input).await.trim(), format!("{name} configured"));
        let object = json(&api, &["get", name]).await;
        assert_eq!(object["metadata"]["annotations"].get("a"), None, "{object}");
    }
}

#[tokio::test]
async fn server_side_apply_works_and_conflicts_are_told() {
    let api = start().await;
    let apply = ["apply", "--server-side", "-f", "-"];
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: '{value}'}}\n")
    };
    assert_eq!(api.kubectl(&apply, &map("1")).await.trim(), "configmap/a serverside-applied");
    assert_eq!(api.kubectl(&apply, &map("1")).await.trim(), "configmap/a serverside-applied");
    let other = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let (_, err, ok) = api.kubectl_raw(&other, &map("2")).await;
    assert!(!ok && err.contains("conflict with \"kubectl\": .data.k"), "{err}");
    let force = ["apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-"];
    api.kubectl(&force, &map("2")).await;
    assert_eq!(json(&api, &["get", "cm", "a"]).await["data"]["k"], "2");
}

#[tokio::test]
async fn get_prints_tables_names_and_documents() {
    let api = start().await;
    api.kubectl(&["apply", "-f", "-"], POD).await;
    api.kubectl(&["apply", "-f", "-"], SANDBOX).await;
    let table = api.kubectl(&["get", "pods"], "").await;
    let heading: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert!(table.contains("web") && table.contains("0/1") && table.contains("Pending"), "{table}");
    let wide = api.kubectl(&["get", "pods", "-A", "-o", "wide"], "").await;
    assert!(wide.contains("NAMESPACE") && wide.contains("NODE") && wide.contains("default"), "{wide}");
    assert_eq!(api.kubectl(&["get", "pods", "-o", "name"], "").await.trim(), "pod/web");
    assert!(api.kubectl(&["get", "pod", "web", "-o", "yaml"], "").await.contains("\n  name: web\n"));
    assert_eq!(api.kubectl(&["get", "pods", "-l", "app=web", "-o", "name"], "").await.trim(), "pod/web");
    assert_eq!(api.kubectl(&["get", "pods", "-l", "app!=web", "-o", "name"], "").await.trim(), "");
    let pending = ["get", "pods", "--field-selector", "status.phase=Pending", "-o", "name"];
    assert_eq!(api.kubectl(&pending, "").await.trim(), "pod/web");
    let sandboxes = api.kubectl(&["get", "sandboxes"], "").await;
    let heading: Vec<&str> = sandboxes.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["NAME", "READY", "REASON", "AGE"]);
    let all = api.kubectl(&["get", "ns"], "").await;
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        assert!(all.contains(name), "{all}");
    }
    let (_, err, ok) = api.kubectl_raw(&["get", "pod", "none"], "").await;
    assert_eq!((ok, err.trim()), (false, "Error from server (NotFound): pods \"none\" not found"));
    let (_, err, _) = api.kubectl_raw(&["get", "widgets"], "").await;
    assert!(err.contains("the server doesn't have a resource type \"widgets\""), "{err}");
}

#[tokio::test]
async fn describe_shows_the_object_and_its_events() {
    let api = start().await;
    api.kubectl(&["apply", "-f", "-"], POD).await;
    api.kubectl(&["apply", "-f", "-"], SANDBOX).await;
    let uid = json(&api, &["get", "sandbox", "my-sandbox"]).await["metadata"]["uid"].clone();
    let event = serde_json::json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e1"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "action": "Create", "reason": "Made", "type": "Normal", "note": "made a pod",
        "regarding": {"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "name": "my-sandbox",
            "namespace": "default", "uid": uid}});
    api.post("/apis/events.k8s.io/v1/namespaces/default/events", &event).await.expect(201);
    let text = api.kubectl(&["describe", "sandbox", "my-sandbox"], "").await;
    assert!(text.contains("Name:         my-sandbox") && text.contains("made a pod"), "{text}");
    let text = api.kubectl(&["describe", "pod", "web"], "").await;
    assert!(text.contains("Image:      busybox") && text.contains("QoS Class:"), "{text}");
    let text = api.kubectl(&["get", "events"], "").await;
    assert!(text.contains("sandbox/my-sandbox") && text.contains("made a pod"), "{text}");
}

#[tokio::test]
async fn patch_label_annotate_scale_and_diff_work() {
    let api = start().await;
    api.kubectl(&["apply", "-f", "-"], POD).await;
    api.kubectl(&["label", "pod", "web", "tier=front"], "").await;
    api.kubectl(&["annotate", "pod", "web", "note=x"], "").await;
    api.kubectl(&["patch", "pod", "web", "-p", "{\"metadata\":{\"labels\":{\"b\":\"c\"}}}"], "").await;
    let json_patch = "[{\"op\":\"remove\",\"path\":\"/metadata/labels/b\"}]";
    api.kubectl(&["patch", "pod", "web", "--type=json", "-p", json_patch], "").await;
    let pod = json(&api, &["get", "pod", "web"]).await;
    assert_eq!(pod["metadata"]["labels"], serde_json::json!({"app": "web", "tier": "front"}));
    assert_eq!(pod["metadata"]["annotations"]["note"], "x");
    let (out, _, same) = api.kubectl_raw(&["diff", "-f", "-"], POD).await;
    assert!(same, "{out}");
    let (out, _, same) = api.kubectl_raw(&["diff", "-f", "-"], &POD.replace("app: web", "app: other")).await;
    assert!(!same && out.contains("-    app: web") && out.contains("+    app: other"), "{out}");
    api.kubectl(&["create", "deployment", "d", "--image=busybox"], "").await;
    api.kubectl(&["scale", "deployment", "d", "--replicas=3"], "").await;
    assert_eq!(json(&api, &["get", "deployment", "d"]).await["spec"]["replicas"], 3);
}

#[tokio::test]
async fn delete_waits_until_the_object_is_gone() {
    let api = start().await;
    api.kubectl(&["apply", "-f", "-"], POD).await;
    assert!(api.kubectl(&["delete", "pod", "web"], "").await.starts_with("pod \"web\" deleted"));
    api.kubectl(&["apply", "-f", "-"], POD).await;
    api.kubectl(&["delete", "pods", "--all", "--now"], "").await;
    assert_eq!(api.kubectl(&["get", "pods", "-o", "name"], "").await.trim(), "");
    let (_, err, ok) = api.kubectl_raw(&["delete", "ns", "default"], "").await;
    assert!(!ok && err.contains("this namespace may not be deleted"), "{err}");
}

#[tokio::test]
async fn crds_are_established_and_may_be_applied_again() {
    let api = start().await;
    let names = api.kubectl(&["get", "crd", "-o", "name"], "").await;
    assert!(
        names.contains("customresourcedefinition.apiextensions.k8s.io/sandboxes.agents.x-k8s.io"),
        "{names}"
    );
    let wait = ["wait", "--for=condition=Established", "crd/sandboxes.agents.x-k8s.io", "--timeout=5s"];
    assert!(api.kubectl(&wait, "").await.contains("condition met"));
    for document in crd::documents() {
        api.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], document).await;
    }
    let document = crd::documents()[0];
    let (out, err, ok) = api.kubectl_raw(&["apply", "-f", "-"], document).await;
    assert!(ok, "{out}{err}");
    assert!(api.kubectl(&wait, "").await.contains("condition met"));
}

#[tokio::test]
async fn discovery_and_explain_know_our_kinds() {
    let api = start().await;
    let resources = api.kubectl(&["api-resources"], "").await;
    for name in ["pods ", "sandboxes ", "configmaps ", "deployments ", "networkpolicies "] {
        assert!(resources.contains(name), "{name}: {resources}");
    }
    let versions = api.kubectl(&["api-versions"], "").await;
    assert!(versions.contains("agents.x-k8s.io/v1alpha1") && versions.contains("agents.x-k8s.io/v1beta1"));
    let text = api.kubectl(&["explain", "sandbox.spec.podTemplate"], "").await;
    assert!(text.contains("KIND:       Sandbox") && text.contains("spec"), "{text}");
    let text = api.kubectl(&["explain", "pod.spec.containers.image"], "").await;
    assert!(text.contains("FIELD: image <string>"), "{text}");
    let text = api.kubectl(&["version", "-o", "json"], "").await;
    let version: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(version["serverVersion"]["minor"], "36");
    assert_eq!(
        api.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"], "").await,
        "kubernetes-admin"
    );
    assert_eq!(api.kubectl(&["auth", "can-i", "delete", "pods"], "").await.trim(), "yes");
    // The document of version 2, which kubectl asks for as protobuf.
    let old = async |field: &str| {
        let args = ["explain", field, "--output", "plaintext-openapiv2"];
        api.kubectl(&args, "").await
    };
    let text = old("pod.spec.containers.ports").await;
    assert!(text.contains("KIND:     Pod") && text.contains("RESOURCE: ports <[]Object>"), "{text}");
    assert!(text.contains("containerPort\t<integer> -required-"), "{text}");
    let text = old("sandbox.spec.podTemplate").await;
    assert!(
        text.contains("VERSION:  agents.x-k8s.io/v1beta1") && text.contains("spec\t<Object> -required-"),
        "{text}"
    );
}

#[tokio::test]
async fn wait_sees_a_condition_come() {
    let api = start().await;
    api.kubectl(&["apply", "-f", "-"], POD).await;
    let ready = serde_json::json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let wait = api.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=20s"], "");
    let change = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        api.patch("/api/v1/namespaces/default/pods/web/status", "strategic", &ready).await.expect(200);
    };
    let (out, ()) = tokio::join!(wait, change);
    assert_eq!(out.trim(), "pod/web condition met");
}

#[tokio::test]
async fn unknown_fields_are_refused_or_warned_about() {
    let api = start().await;
    let bad = POD.replace("spec:", "spec:\n  nonsense: 1");
    let (_, err, ok) = api.kubectl_raw(&["create", "-f", "-"], &bad).await;
    assert!(!ok && err.contains("strict decoding error: unknown field \"spec.nonsense\""), "{err}");
    let (_, err, ok) = api.kubectl_raw(&["create", "--validate=warn", "-f", "-"], &bad).await;
    assert!(ok && err.contains("Warning: unknown field \"spec.nonsense\""), "{err}");
    let bad = SANDBOX.replace("spec:\n  pod", "spec:\n  nonsense: 1\n  pod");
    let (_, err, ok) = api.kubectl_raw(&["apply", "-f", "-"], &bad).await;
    assert!(!ok && err.contains("unknown field \"spec.nonsense\""), "{err}");
}
