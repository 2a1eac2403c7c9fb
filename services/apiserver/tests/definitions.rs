//! CustomResourceDefinitions of any kind, from being accepted to being emptied. Facts: apiextensions-apiserver.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::time::Duration;

use api::{Api, start};
use serde_json::{Value, json};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const WIDGETS_BETA: &str = "/apis/example.com/v1beta1/namespaces/default/widgets";

/// Widgets in two versions: v1 is stored and has rules, defaults, a status and a scale; v1beta1 is deprecated.
fn widgets() -> Value {
    let spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1},
        "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
        "name": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "name is immutable"}]},
        "replicas": {"type": "integer"}, "new": {"type": "string"}},
        "x-kubernetes-validations": [{"rule": "self.size < 100 || self.color == 'blue'", "message": "big ones are blue"}]});
    let status = json!({"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}}});
    let mut old = spec.clone();
    old["properties"].as_object_mut().unwrap().remove("new");
    let version = |name: &str, spec: Value| {
        json!({"name": name, "served": true, "storage": name == "v1",
            "schema": {"openAPIV3Schema": {"type": "object", "description": "A widget.", "properties": {"spec": spec, "status": status}}},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
            "selectableFields": [{"jsonPath": ".spec.color"}],
            "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]})
    };
    let mut beta = version("v1beta1", old);
    beta["deprecated"] = true.into();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [version("v1", spec), beta]}})
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

async fn with_widgets() -> Api {
    let api = start().await;
    api.post(CRDS, &widgets()).await.expect(201);
    api
}

fn conditions(crd: &Value) -> Vec<String> {
    let list = crd["status"]["conditions"].as_array().unwrap().iter();
    list.map(|c| format!("{}={}", c["type"].as_str().unwrap(), c["status"].as_str().unwrap())).collect()
}

fn causes(status: &Value) -> Vec<String> {
    let causes = status["details"]["causes"].as_array().unwrap().iter();
    causes
        .map(|cause| format!("{}: {}", cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_definition_is_served_as_soon_as_it_is_answered() {
    let api = start().await;
    api.get(WIDGETS).await.expect_plain_404();
    let created = api.post(CRDS, &widgets()).await.expect(201);
    assert_eq!(created["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(created["status"]["storedVersions"], json!(["v1"]));
    let list = api.get(WIDGETS).await.expect(200);
    assert_eq!((&list["kind"], &list["items"]), (&json!("WidgetList"), &json!([])));
    let crd = api.get(&format!("{CRDS}/widgets.example.com")).await.expect(200);
    assert_eq!(conditions(&crd), ["NamesAccepted=True", "Established=True"]);
    assert_eq!(crd["status"]["acceptedNames"], crd["spec"]["names"]);
    let group = api.get("/apis/example.com").await.expect(200);
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let resources = api.get("/apis/example.com/v1").await.expect(200);
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    // Fact: the order of kube-apiserver, as the differential suite recorded it.
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd"]));
    let index = api.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = api.get(&url).await.expect(200);
    assert_eq!(document["components"]["schemas"]["com.example.v1.Widget"]["description"], "A widget.");
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let api = with_widgets().await;
    let sent = widget("a", &json!({"size": 3, "other": 1}));
    let answer = api.send("POST", &format!("{WIDGETS}?fieldValidation=Warn"), &JSON, sent.to_string()).await;
    let made = answer.expect(201);
    assert_eq!(made["spec"], json!({"size": 3, "color": "red"}));
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(answer.headers["warning"], r#"299 - "unknown field \"spec.other\"""#);
    let strict =
        api.send("POST", &format!("{WIDGETS}?fieldValidation=Strict"), &JSON, sent.to_string()).await;
    strict.expect(400);
    let told = api.post(WIDGETS, &widget("b", &json!({"size": 0, "color": "green"}))).await.expect(422);
    assert_eq!(
        told["message"].as_str().unwrap().split(" is invalid").next(),
        Some("Widget.example.com \"b\"")
    );
    assert_eq!(
        causes(&told)[..2],
        [
            "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"
        ]
    );
    let told = api.post(WIDGETS, &widget("b", &json!({"size": 100}))).await.expect(422);
    assert_eq!(causes(&told), ["spec: Invalid value: \"object\": big ones are blue"]);
    api.post(WIDGETS, &widget("b", &json!({"size": 100, "color": "blue", "name": "x"}))).await.expect(201);
    let told = api.patch(&format!("{WIDGETS}/b"), "merge", &json!({"spec": {"name": "y"}})).await.expect(422);
    assert_eq!(causes(&told), ["spec.name: Invalid value: \"string\": name is immutable"]);
    api.patch(&format!("{WIDGETS}/b"), "strategic", &json!({})).await.expect(415);
    let applied = widget("c", &json!({"size": 1}));
    let applied = api.patch(&format!("{WIDGETS}/c?fieldManager=me"), "apply", &applied).await.expect(201);
    assert_eq!(applied["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:spec": {"f:size": {}}}));
}

/// Metadata alone is read without the schema, and looks the same in every version.
#[tokio::test]
async fn metadata_is_listed_by_itself() {
    let api = start().await;
    api.post(CRDS, &widgets()).await.expect(201);
    let accept = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")];
    let list = api.send("GET", WIDGETS_BETA, &accept, "").await.expect(200);
    assert_eq!((&list["kind"], &list["items"]), (&json!("PartialObjectMetadataList"), &json!([])));
    api.post(WIDGETS, &widget("a", &json!({"size": 3}))).await.expect(201);
    let list = api.send("GET", WIDGETS_BETA, &accept, "").await.expect(200);
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    assert_eq!(list["items"][0].get("spec"), None);
}

#[tokio::test]
async fn status_and_scale_are_apart() {
    let api = with_widgets().await;
    let mut sent = widget("a", &json!({"size": 3}));
    sent["status"] = json!({"phase": "Mine"});
    let made = api.post(WIDGETS, &sent).await.expect(201);
    assert_eq!(made["status"], Value::Null);
    let told = api.get(&format!("{WIDGETS}/a/scale")).await.expect(500);
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("the spec replicas field \".spec.replicas\" does not exist")
    );
    let patch = json!({"spec": {"size": 9}, "status": {"phase": "Up", "replicas": 1, "selector": "a=b"}});
    let made = api.patch(&format!("{WIDGETS}/a/status"), "merge", &patch).await.expect(200);
    assert_eq!((&made["spec"]["size"], &made["status"]["phase"]), (&json!(3), &json!("Up")));
    assert_eq!(made["metadata"]["generation"], 1);
    let made = api.patch(&format!("{WIDGETS}/a/scale"), "merge", &json!({"spec": {"replicas": 4}})).await;
    let scale = made.expect(200);
    assert_eq!(scale["spec"]["replicas"], 4);
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "a=b"}));
    let made = api.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["generation"]), (&json!(4), &json!(2)));
}

#[tokio::test]
async fn versions_are_converted_and_columns_shown() {
    let api = with_widgets().await;
    api.post(WIDGETS, &widget("a", &json!({"size": 3, "new": "x"}))).await.expect(201);
    let answer = api.get(&format!("{WIDGETS_BETA}/a")).await;
    let beta = answer.expect(200);
    assert_eq!(beta["apiVersion"], "example.com/v1beta1");
    assert_eq!(beta["spec"], json!({"size": 3, "color": "red"}), "v1beta1 has no field `new`");
    let warning = answer.headers["warning"].to_str().unwrap();
    assert_eq!(warning, "299 - \"example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget\"");
    let mut other = widget("b", &json!({"size": 5, "color": "blue"}));
    other["apiVersion"] = "example.com/v1beta1".into();
    api.post(WIDGETS_BETA, &other).await.expect(201);
    let list = api.get(&format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.expect(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["apiVersion"]), (1, &json!("example.com/v1")));
    let told = api.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D5")).await.expect(400);
    assert!(told["message"].as_str().unwrap().ends_with("field label not supported: spec.size"), "{told}");
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = api.send("GET", WIDGETS, &accept, "").await.expect(200);
    assert_eq!(table["columnDefinitions"][1]["name"], "Size");
    assert_eq!(table["rows"][1]["cells"], json!(["b", 5]));
}

#[tokio::test]
async fn a_changed_definition_counts_at_once_and_ends_watches() {
    let api = with_widgets().await;
    api.post(WIDGETS, &widget("a", &json!({"size": 3, "new": "x"}))).await.expect(201);
    let path = format!("{WIDGETS}?watch=true");
    let watched = async { tokio::time::timeout(Duration::from_secs(20), api.events(&path)).await };
    let changed = async {
        let mut crd = api.get(&format!("{CRDS}/widgets.example.com")).await.expect(200);
        let spec = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        spec["properties"].as_object_mut().unwrap().remove("new");
        spec["properties"]["extra"] = json!({"type": "object", "default": {"a": 1},
            "x-kubernetes-preserve-unknown-fields": true});
        crd["spec"]["names"]["shortNames"] = json!(["wd", "wt"]);
        api.put(&format!("{CRDS}/widgets.example.com"), &crd).await.expect(200)
    };
    let (events, crd) = tokio::join!(watched, changed);
    assert_eq!(events.expect("the watch ends")[0]["type"], "ADDED");
    assert_eq!(crd["metadata"]["generation"], 2);
    let read = api.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(read["spec"], json!({"size": 3, "color": "red", "extra": {"a": 1}}));
    let resources = api.get("/apis/example.com/v1").await.expect(200);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["wd", "wt"]));
    // The scope and the kind of what has been served stay.
    let told = api
        .patch(&format!("{CRDS}/widgets.example.com"), "merge", &json!({"spec": {"scope": "Cluster"}}))
        .await
        .expect(422);
    assert_eq!(causes(&told), ["spec.scope: Invalid value: \"Cluster\": field is immutable"]);
    // A version in which objects may be stored has to stay.
    let mut gone = api.get(&format!("{CRDS}/widgets.example.com")).await.expect(200);
    gone["spec"]["versions"].as_array_mut().unwrap().remove(0);
    gone["spec"]["versions"][0]["storage"] = true.into();
    let told = api.put(&format!("{CRDS}/widgets.example.com"), &gone).await.expect(422);
    assert!(
        causes(&told)[0].starts_with("status.storedVersions[0]: Invalid value: \"v1\": missing from"),
        "{told}"
    );
}

#[tokio::test]
async fn names_in_use_wait_until_they_are_free() {
    let api = with_widgets().await;
    let mut other = widgets();
    other["metadata"]["name"] = "gadgets.example.com".into();
    other["spec"]["names"] = json!({"plural": "gadgets", "kind": "Widget", "singular": "gadget"});
    api.post(CRDS, &other).await.expect(201);
    let gadgets = format!("{CRDS}/gadgets.example.com");
    assert_eq!(
        conditions(&api.get(&gadgets).await.expect(200)),
        ["NamesAccepted=False", "Established=False"]
    );
    api.get("/apis/example.com/v1/gadgets").await.expect_plain_404();
    api.delete(&format!("{CRDS}/widgets.example.com"), &Value::Null).await.expect(200);
    for _ in 0..200 {
        if api.get("/apis/example.com/v1/gadgets").await.status == 200 {
            let crd = api.get(&gadgets).await.expect(200);
            assert_eq!(conditions(&crd), ["NamesAccepted=True", "Established=True"]);
            api.get(WIDGETS).await.expect_plain_404();
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the names of what was deleted are never free");
}

#[tokio::test]
async fn a_definition_that_goes_takes_its_objects_along() {
    let api = with_widgets().await;
    api.post(WIDGETS, &widget("a", &json!({"size": 3}))).await.expect(201);
    let mut held = widget("b", &json!({"size": 3}));
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    api.post(WIDGETS, &held).await.expect(201);
    let path = format!("{WIDGETS}?watch=true");
    let watched = async { tokio::time::timeout(Duration::from_secs(30), api.events(&path)).await };
    let deleted = async {
        let crd = api.delete(&format!("{CRDS}/widgets.example.com"), &Value::Null).await.expect(200);
        assert_eq!(crd["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
        assert_eq!(conditions(&crd)[2], "Terminating=True");
        let told = api.post(WIDGETS, &widget("c", &json!({"size": 3}))).await.expect(403);
        let why = "create not allowed while custom resource definition is terminating";
        assert!(told["message"].as_str().unwrap().ends_with(why), "{told}");
        // The one goes, the other is marked, in any order.
        for round in 0.. {
            let gone = api.get(&format!("{WIDGETS}/a")).await.status == 404;
            let held = api.get(&format!("{WIDGETS}/b")).await.expect(200);
            if gone && held["metadata"]["deletionTimestamp"].is_string() {
                break;
            }
            assert!(round < 1000, "{held}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        api.patch(&format!("{WIDGETS}/b"), "merge", &json!({"metadata": {"finalizers": null}}))
            .await
            .expect(200);
    };
    let (events, ()) = tokio::join!(watched, deleted);
    let events = events.expect("the watch ends");
    let gone = events.iter().filter(|event| event["type"] == "DELETED").count();
    assert_eq!(gone, 2, "{events:?}");
    for _ in 0..200 {
        if api.get(&format!("{CRDS}/widgets.example.com")).await.status == 404 {
            api.get(WIDGETS).await.expect_plain_404();
            // The same again begins with nothing.
            api.post(CRDS, &widgets()).await.expect(201);
            assert_eq!(api.get(WIDGETS).await.expect(200)["items"], json!([]));
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the definition stays");
}

#[tokio::test]
async fn definitions_are_refused_in_kubernetes_words() {
    let api = start().await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut crd = widgets();
        crd["spec"]["versions"].as_array_mut().unwrap().truncate(1);
        change(&mut crd);
        crd
    };
    for (crd, want) in [
        (
            with(&|crd| {
                crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
                    ["new"] = json!({})
            }),
            "spec.validation.openAPIV3Schema.properties[spec].properties[new].type: Required value: must not be empty for specified object fields",
        ),
        (
            with(&|crd| {
                crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
                    ["color"]["default"] = json!(7)
            }),
            "spec.validation.openAPIV3Schema.properties[spec].properties[color].default: Invalid value: \"integer\"",
        ),
        (
            with(&|crd| crd["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec"}])),
            "spec.selectableFields[0].jsonPath: Invalid value: \".spec\": must point to a field of type string, boolean or integer",
        ),
        (
            with(&|crd| {
                crd["spec"]["versions"][0]["subresources"]["scale"]["specReplicasPath"] = json!(".status.x")
            }),
            "spec.subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
        ),
        (
            with(&|crd| crd["spec"]["versions"][0]["deprecationWarning"] = json!("old")),
            "spec.versions[0].deprecationWarning: Invalid value: \"old\": can only be set for deprecated versions",
        ),
        (
            with(&|crd| crd["spec"]["conversion"] = json!({"strategy": "Webhook"})),
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
        (
            with(&|crd| {
                crd["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = json!("spec.size")
            }),
            "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"spec.size\": must be a simple json path starting with .",
        ),
        (
            with(&|crd| {
                crd["metadata"]["name"] = "widgets.x.k8s.io".into();
                crd["spec"]["group"] = "x.k8s.io".into();
            }),
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ),
    ] {
        let told = api.post(CRDS, &crd).await.expect(422);
        assert!(causes(&told).iter().any(|cause| cause.starts_with(want)), "{want}\n{:#?}", causes(&told));
    }
}

#[tokio::test]
async fn definitions_are_served_again_after_a_restart() {
    let api = with_widgets().await;
    api.post(WIDGETS, &widget("a", &json!({"size": 3}))).await.expect(201);
    let dir = tempfile::tempdir().unwrap();
    let config = apiserver::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pki_dir: dir.path().join("pki"),
        ..apiserver::Config::default()
    };
    let server = apiserver::Server::build(config, api.store.clone()).await.unwrap();
    let client = server.client(apiserver::Identity::component("test"));
    let read = api::send(&client, "GET", &format!("{WIDGETS}/a"), &[], "").await.expect(200);
    assert_eq!(read["spec"]["size"], 3);
}

#[tokio::test]
async fn rights_and_quotas_count_for_defined_kinds() {
    let api = with_widgets().await;
    let told = api.act("jane", "GET", WIDGETS, &Value::Null).await.expect(403);
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("cannot list resource \"widgets\" in API group \"example.com\"")
    );
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"count/widgets.example.com": "1"}}});
    api.post("/api/v1/namespaces/default/resourcequotas", &quota).await.expect(201);
    api.post(WIDGETS, &widget("a", &json!({"size": 3}))).await.expect(201);
    let told = api.post(WIDGETS, &widget("b", &json!({"size": 3}))).await.expect(403);
    assert!(told["message"].as_str().unwrap().contains("exceeded quota: few"), "{told}");
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

trait NotServed {
    fn expect_plain_404(&self);
}

impl NotServed for api::Answer {
    fn expect_plain_404(&self) {
        assert_eq!((self.status.as_u16(), self.text.trim()), (404, "404 page not found"));
    }
}
