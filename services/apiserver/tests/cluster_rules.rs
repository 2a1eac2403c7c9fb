//! Namespaces, versions, services, CRDs, discovery: what holds across kinds.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{config_map, pod, start};
use serde_json::{Value, json};

#[tokio::test]
async fn the_first_namespaces_exist() {
    let api = start().await;
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let namespace = api.get(&format!("/api/v1/namespaces/{name}")).await.expect(200);
        assert_eq!(namespace["status"]["phase"], "Active");
        assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], name);
    }
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_missing_or_ending() {
    let api = start().await;
    let maps = "/api/v1/namespaces/n1/configmaps";
    let status = api.post(maps, &config_map("a", "1")).await.expect(404);
    assert_eq!(status["message"], "namespaces \"n1\" not found");
    let made = api
        .post(
            "/api/v1/namespaces",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n1"}}),
        )
        .await;
    assert_eq!(made.expect(201)["spec"]["finalizers"], json!(["kubernetes"]));
    api.post(maps, &config_map("a", "1")).await.expect(201);
    let marked = api.delete("/api/v1/namespaces/n1", &Value::Null).await.expect(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let status = api.post(maps, &config_map("b", "1")).await.expect(403);
    assert_eq!(
        status["message"],
        "configmaps \"b\" is forbidden: unable to create new content in namespace n1 because it is being terminated"
    );
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut done = api.get("/api/v1/namespaces/n1").await.expect(200);
    done["spec"]["finalizers"] = json!([]);
    api.put("/api/v1/namespaces/n1/finalize", &done).await.expect(200);
    assert_eq!(api.get("/api/v1/namespaces/n1").await.status, 404);
}

#[tokio::test]
async fn a_sandbox_is_one_object_in_both_versions() {
    let api = start().await;
    let alpha = "/apis/agents.x-k8s.io/v1alpha1/namespaces/default/sandboxes";
    let beta = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes";
    let sent = json!({"apiVersion": "agents.x-k8s.io/v1alpha1", "kind": "Sandbox", "metadata": {"name": "s"},
        "spec": {"replicas": 0, "podTemplate": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}}});
    let made = api.post(alpha, &sent).await;
    assert!(made.headers["warning"].to_str().unwrap().contains("deprecated"));
    assert_eq!(made.expect(201)["apiVersion"], "agents.x-k8s.io/v1alpha1");
    let seen = api.get(&format!("{beta}/s")).await.expect(200);
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"]["operatingMode"]),
        (&json!("agents.x-k8s.io/v1beta1"), &json!("Suspended"))
    );
    api.patch(&format!("{beta}/s"), "merge", &json!({"spec": {"operatingMode": "Running"}}))
        .await
        .expect(200);
    let seen = api.get(&format!("{alpha}/s")).await.expect(200);
    assert_eq!(seen["spec"]["replicas"], 1);
    let scale =
        api.patch(&format!("{alpha}/s/scale"), "merge", &json!({"spec": {"replicas": 0}})).await.expect(200);
    assert_eq!(scale["spec"]["replicas"], 0);
    assert_eq!(api.get(&format!("{beta}/s")).await.expect(200)["spec"]["operatingMode"], "Suspended");
    let list = api.get(alpha).await.expect(200);
    assert_eq!(list["items"][0]["apiVersion"], "agents.x-k8s.io/v1alpha1");
    let events = api.events(&format!("{alpha}?watch=1&timeoutSeconds=1")).await;
    assert_eq!(events[0]["object"]["apiVersion"], "agents.x-k8s.io/v1alpha1");
}

/// `status.nodeName` is a field of v1beta1 only.
#[tokio::test]
async fn a_write_through_the_older_version_says_nothing_about_the_status() {
    let api = start().await;
    let alpha = "/apis/agents.x-k8s.io/v1alpha1/namespaces/default/sandboxes";
    let beta = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes/s";
    let sent = json!({"apiVersion": "agents.x-k8s.io/v1alpha1", "kind": "Sandbox", "metadata": {"name": "s", "finalizers": ["a/b"]},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}}});
    api.post(alpha, &sent).await.expect(201);
    let status = json!({"status": {"nodeName": "n", "podIPs": ["10.0.0.1"]}});
    api.patch(&format!("{beta}/status"), "merge", &status).await.expect(200);
    let seen = api.patch(&format!("{alpha}/s"), "merge", &json!({"spec": {"replicas": 0}})).await.expect(200);
    assert_eq!(seen["status"], json!({"podIPs": ["10.0.0.1"], "replicas": 0}));
    assert_eq!(api.get(beta).await.expect(200)["status"], status["status"]);
    api.patch(&format!("{alpha}/s/scale"), "merge", &json!({"spec": {"replicas": 1}})).await.expect(200);
    assert_eq!(api.get(beta).await.expect(200)["status"], status["status"]);
    api.delete(&format!("{alpha}/s"), &json!({})).await.expect(200);
    assert_eq!(api.get(beta).await.expect(200)["status"], status["status"], "marked as deleted");
    let unmarked =
        api.patch(&format!("{alpha}/s/status"), "merge", &json!({"status": {"podIPs": null}})).await;
    unmarked.expect(200);
    assert_eq!(
        api.get(beta).await.expect(200)["status"]["podIPs"],
        json!(null),
        "a write of the status is one"
    );
}

#[tokio::test]
async fn an_event_is_one_object_in_both_groups() {
    let api = start().await;
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "action": "A", "reason": "R", "type": "Normal", "note": "hello",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}});
    api.post(new, &event).await.expect(201);
    let old = api.get("/api/v1/namespaces/default/events/e").await.expect(200);
    assert_eq!((&old["message"], &old["involvedObject"]["name"]), (&json!("hello"), &json!("p")));
    let found =
        api.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp").await.expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(api.get(&format!("{new}/e")).await.expect(200)["note"], "hello");
}

#[tokio::test]
async fn services_get_addresses_of_their_own() {
    let api = api::start_with(|config| config.service_network = ([10, 9, 8, 0].into(), 30)).await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, address: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": address, "ports": [{"port": 80}], "selector": {"a": "b"}}})
    };
    let a = api.post(services, &service("a", Value::Null)).await.expect(201);
    let b = api.post(services, &service("b", Value::Null)).await.expect(201);
    let address = |made: &Value| made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let mut both = [address(&a), address(&b)];
    both.sort();
    assert_eq!(both, ["10.9.8.1", "10.9.8.2"]);
    assert_eq!(a["spec"]["clusterIPs"], json!([address(&a)]));
    assert_eq!(api.post(services, &service("c", Value::Null)).await.status, 500);
    let none = api.post(services, &service("headless", json!("None"))).await.expect(201);
    assert_eq!(none["spec"]["clusterIP"], "None");
    let taken = api.post(services, &service("c", json!(address(&a)))).await.expect(422);
    assert!(taken["message"].as_str().unwrap().contains("provided IP is already allocated"), "{taken}");
    api.delete(&format!("{services}/a"), &Value::Null).await.expect(200);
    let c = api.post(services, &service("c", Value::Null)).await.expect(201);
    assert_eq!(address(&c), address(&a));
    api.patch(&format!("{services}/c"), "merge", &json!({"metadata": {"labels": {"x": "y"}}}))
        .await
        .expect(200);
    assert_eq!(address(&api.get(&format!("{services}/c")).await.expect(200)), address(&a));
}

#[tokio::test]
async fn our_definitions_stay() {
    let api = start().await;
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let ours = api.get(&format!("{crds}/sandboxes.agents.x-k8s.io")).await.expect(200);
    let types: Vec<&Value> =
        ours["status"]["conditions"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert_eq!(types, ["NamesAccepted", "Established"]);
    assert_eq!(api.delete(&format!("{crds}/sandboxes.agents.x-k8s.io"), &Value::Null).await.status, 403);
    let mut weaker = ours.clone();
    weaker["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let answer = api.put(&format!("{crds}/sandboxes.agents.x-k8s.io"), &weaker).await;
    assert_eq!(answer.expect(200)["spec"], ours["spec"]);
    assert!(answer.headers["warning"].to_str().unwrap().contains("is served as this build defines it"));
}

#[tokio::test]
async fn discovery_is_the_same_plain_and_aggregated() {
    let api = start().await;
    let groups = api.get("/apis").await.expect(200);
    let plain: Vec<String> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap().to_owned())
        .collect();
    for version in ["v2", "v2beta1"] {
        let accept = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let answer = api.send("GET", "/apis", &[("accept", accept.as_str())], "").await;
        assert_eq!(answer.headers["content-type"], accept.as_str());
        let list = answer.expect(200);
        assert_eq!(list["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
        let names: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, plain);
        let tag = answer.headers["etag"].to_str().unwrap().to_owned();
        let again = api
            .send("GET", "/apis", &[("accept", accept.as_str()), ("if-none-match", tag.as_str())], "")
            .await;
        assert_eq!(again.status, 304);
    }
    let agents = api.get("/apis/agents.x-k8s.io").await.expect(200);
    assert_eq!(agents["preferredVersion"]["version"], "v1beta1");
    let v1 = api.get("/api/v1").await.expect(200);
    let names: Vec<&str> =
        v1["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    for name in ["pods", "pods/log", "pods/exec", "namespaces/finalize", "nodes/proxy"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let aggregated = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let core = api.send("GET", "/api", &aggregated, "").await.expect(200);
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");
}

#[tokio::test]
async fn openapi_names_every_group_and_can_be_kept() {
    let api = start().await;
    let index = api.get("/openapi/v3").await.expect(200);
    for path in ["api/v1", "apis/apps/v1", "apis/agents.x-k8s.io/v1beta1", "apis/agents.x-k8s.io/v1alpha1"] {
        let url = index["paths"][path]["serverRelativeURL"].as_str().unwrap_or_else(|| panic!("{path}"));
        let answer = api.get(url).await;
        let document = answer.expect(200);
        assert!(document["components"]["schemas"].is_object(), "{path}");
        let tag = answer.headers["etag"].to_str().unwrap();
        assert_eq!(api.send("GET", url, &[("if-none-match", tag)], "").await.status, 304);
    }
}

// Facts: kube-openapi's handler knows protobuf by two names, answers by the second, and says nothing in a 406.
#[tokio::test]
async fn openapi_of_version_2_has_all_kinds_and_can_be_kept() {
    let api = start().await;
    let answer = api.get("/openapi/v2").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let document = answer.expect(200);
    let sandbox = &document["definitions"]["io.x-k8s.agents.v1beta1.Sandbox"];
    assert_eq!(sandbox["x-kubernetes-group-version-kind"][0]["kind"], "Sandbox");
    let spec =
        &sandbox["properties"]["spec"]["properties"]["podTemplate"]["properties"]["spec"]["properties"];
    assert_eq!(spec["containers"]["x-kubernetes-list-map-keys"], json!(["name"]));
    let tag = answer.headers["etag"].to_str().unwrap();
    let old = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let again = api.send("GET", "/openapi/v2", &[("if-none-match", tag), ("accept", old)], "").await;
    let kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    assert_eq!(
        (again.status.as_u16(), &again.headers["content-type"]),
        (304, &http::HeaderValue::from_static(kind))
    );
    let none = api.send("GET", "/openapi/v2", &[("accept", "application/cbor")], "").await;
    assert_eq!((none.status.as_u16(), none.text.as_str()), (406, ""));
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.x.io"},
        "spec": {"group": "x.io", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "properties": {"size": {"type": "integer", "nullable": true}}}}}]}});
    api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd).await.expect(201);
    let changed = api.send("GET", "/openapi/v2", &[("if-none-match", tag)], "").await;
    let document = changed.expect(200);
    assert_eq!(document["definitions"]["io.x.v1.Widget"]["properties"]["size"], json!({}));
    assert!(document["paths"]["/apis/x.io/v1/namespaces/{namespace}/widgets/{name}"]["patch"].is_object());
}

#[tokio::test]
async fn version_answers() {
    let api = start().await;
    let version = api.get("/version").await.expect(200);
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36."));
}

#[tokio::test]
async fn everything_is_still_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        store::Store::open(store::Config { dir: dir.path().join("store"), ..store::Config::default() })
            .unwrap()
    };
    let config = || apiserver::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pki_dir: dir.path().join("pki"),
        ..apiserver::Config::default()
    };
    let pods = |server: &apiserver::Server| {
        kube::Api::<k8s_openapi::api::core::v1::Pod>::default_namespaced(
            server.client(apiserver::Identity::component("t")),
        )
    };
    let store = open();
    let server = apiserver::Server::build(config(), store.clone()).await.unwrap();
    let sent = serde_json::from_value(pod("p")).unwrap();
    let made = pods(&server).create(&kube::api::PostParams::default(), &sent).await.unwrap();
    drop(server);
    let before = store.revision();
    store.close();
    let store = open();
    let server = apiserver::Server::build(config(), store.clone()).await.unwrap();
    assert_eq!(pods(&server).get("p").await.unwrap(), made);
    // Nothing that exists already is written again.
    assert_eq!(store.revision(), before);
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

// Facts: the texts of the admission plugins ServiceAccount and Priority. The account `default` may come after the first
// pods, and Kubernetes waits for it; here it gives a pod nothing, so nobody waits.
#[tokio::test]
async fn a_pod_names_an_account_and_a_priority_class_that_exist() {
    let api = start().await;
    let with = |field: &str, value: Value| {
        let mut pod = pod("p");
        pod["spec"][field] = value;
        pod
    };
    let refused = api.post(PODS, &with("serviceAccountName", json!("robot"))).await.expect(403);
    assert_eq!(
        refused["message"],
        "pods \"p\" is forbidden: error looking up service account default/robot: serviceaccount \"robot\" not found"
    );
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
    api.post(&format!("{PODS}?dryRun=All"), &with("serviceAccountName", json!("robot"))).await.expect(201);
    let refused = api.post(PODS, &with("priorityClassName", json!("high"))).await.expect(403);
    assert_eq!(refused["message"], "pods \"p\" is forbidden: no PriorityClass with name high was found");
    let class = |name: &str, value: i64, default: bool| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "globalDefault": default, "preemptionPolicy": "Never"})
    };
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let dry = format!("{PODS}?dryRun=All");
    api.post(classes, &class("high", 1000, false)).await.expect(201);
    let made = api.post(&dry, &with("priorityClassName", json!("high"))).await.expect(201);
    assert_eq!(
        (&made["spec"]["priority"], &made["spec"]["preemptionPolicy"]),
        (&json!(1000), &json!("Never"))
    );
    api.post(&dry, &with("priority", json!(7))).await.expect(403);
    api.post(classes, &class("usual", 10, true)).await.expect(201);
    let made = api.post(&dry, &pod("p")).await.expect(201);
    assert_eq!(
        (&made["spec"]["priority"], &made["spec"]["priorityClassName"]),
        (&json!(10), &json!("usual"))
    );
    let system = api.get(&format!("{classes}/system-node-critical")).await.expect(200);
    assert_eq!(system["value"], 2_000_001_000);
    let made = api.post(&dry, &with("priorityClassName", json!("system-node-critical"))).await.expect(201);
    assert_eq!(made["spec"]["priority"], 2_000_001_000);
}

// Facts: the texts of the admission plugin RuntimeClass.
#[tokio::test]
async fn a_runtime_class_adds_its_overhead_to_the_pod() {
    let api = start().await;
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"},
        "handler": "heavy", "overhead": {"podFixed": {"cpu": "250m", "memory": "120Mi"}}});
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.expect(201);
    let mut sent = pod("p");
    sent["spec"]["runtimeClassName"] = "heavy".into();
    let made = api.post(PODS, &sent).await.expect(201);
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "250m", "memory": "120Mi"}));
    sent["metadata"]["name"] = "q".into();
    sent["spec"]["overhead"] = json!({"cpu": "0.25", "memory": "120Mi"});
    api.post(PODS, &sent).await.expect(201);
    sent["spec"]["overhead"] = json!({"cpu": "1"});
    let refused = api.post(PODS, &sent).await.expect(403);
    assert_eq!(
        refused["message"],
        "pods \"q\" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
    );
    let mut plain = pod("r");
    plain["spec"]["overhead"] = json!({"cpu": "1"});
    api.post(PODS, &plain).await.expect(403);
}

// Facts: the admission plugins StorageObjectInUseProtection and PersistentVolumeClaimResize.
#[tokio::test]
async fn claims_are_protected_from_the_start_and_grow_only_where_their_class_allows() {
    let api = start().await;
    let class = |name: &str, grows: bool| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "x", "allowVolumeExpansion": grows})
    };
    let claim = |class: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": class},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeName": "v",
                "resources": {"requests": {"storage": "1Gi"}}}})
    };
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    for (name, grows) in [("fixed", false), ("elastic", true)] {
        api.post("/apis/storage.k8s.io/v1/storageclasses", &class(name, grows)).await.expect(201);
        let made = api.post(CLAIMS, &claim(name)).await.expect(201);
        assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
        let path = format!("{CLAIMS}/{name}");
        api.patch(&path, "merge", &more).await.expect(422);
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        api.patch(&format!("{path}/status"), "merge", &bound).await.expect(200);
        let grown = api.patch(&path, "merge", &more).await;
        if grows {
            grown.expect(200);
        } else {
            assert_eq!(
                grown.expect(403)["message"],
                "persistentvolumeclaims \"fixed\" is forbidden: only dynamically provisioned pvc can be resized and the \
                 storageclass that provisions the pvc must support resize"
            );
        }
    }
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}});
    let made = api.post("/api/v1/persistentvolumes", &volume).await.expect(201);
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
}
