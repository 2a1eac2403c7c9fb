//! A watch tells every change once, in order, as its selection sees it.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::time::Duration;

use api::{Api, config_map, pod, start};
use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn kinds(events: &[Value]) -> Vec<(&str, &str)> {
    events
        .iter()
        .map(|event| {
            (
                event["type"].as_str().unwrap(),
                event["object"]["metadata"]["name"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

async fn label(api: &Api, name: &str, value: Value) -> Value {
    api.patch(&format!("{MAPS}/{name}"), "merge", &json!({"metadata": {"labels": {"a": value}}}))
        .await
        .expect(200)
}

#[tokio::test]
async fn from_a_revision_only_what_came_after_is_told() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let from = made["metadata"]["resourceVersion"].as_str().unwrap();
    let changed = label(&api, "a", json!("1")).await;
    api.post("/api/v1/namespaces/kube-system/configmaps", &config_map("elsewhere", "1")).await.expect(201);
    api.delete(&format!("{MAPS}/a"), &Value::Null).await.expect(200);
    let events = api.events(&format!("{MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=1")).await;
    assert_eq!(kinds(&events), [("MODIFIED", "a"), ("DELETED", "a")]);
    assert_eq!(events[0]["object"], changed);
    // Fact: a deletion carries its own revision, so that a watch can go on from there.
    let version = |event: &Value| {
        event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    assert!(version(&events[1]) > version(&events[0]));
}

#[tokio::test]
async fn without_a_revision_the_present_comes_first() {
    let api = start().await;
    for name in ["a", "b"] {
        api.post(MAPS, &config_map(name, "1")).await.expect(201);
    }
    for query in ["watch=true", "watch=1&resourceVersion=0"] {
        let events = api.events(&format!("{MAPS}?{query}&timeoutSeconds=1")).await;
        assert_eq!(kinds(&events), [("ADDED", "a"), ("ADDED", "b")], "{query}");
    }
    let one = api.events(&format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Db&timeoutSeconds=1")).await;
    assert_eq!(kinds(&one), [("ADDED", "b")]);
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark() {
    let api = start().await;
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let events = api.events(&format!("{MAPS}?{query}")).await;
    assert_eq!(kinds(&events), [("ADDED", "a"), ("BOOKMARK", "")]);
    let mark = &events[1]["object"];
    assert_eq!((&mark["kind"], &mark["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    assert_eq!(mark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark["metadata"]["resourceVersion"], api.store.revision().to_string());
    let refused = api.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")).await;
    assert_eq!(refused.expect(422)["reason"], "Invalid");
}

#[tokio::test]
async fn an_object_that_begins_or_ceases_to_match_is_added_or_deleted() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let from = made["metadata"]["resourceVersion"].as_str().unwrap();
    let inside = label(&api, "a", json!("in")).await;
    api.patch(&format!("{MAPS}/a"), "merge", &json!({"data": {"k": "v"}})).await.expect(200);
    label(&api, "a", json!("out")).await;
    let last = label(&api, "a", json!("far")).await;
    let events = api
        .events(&format!("{MAPS}?watch=1&resourceVersion={from}&labelSelector=a%3Din&timeoutSeconds=1"))
        .await;
    assert_eq!(kinds(&events), [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]);
    assert_eq!(events[0]["object"], inside);
    // Fact: it is told as it was, with the revision of the change that took it out.
    let told = &events[2]["object"];
    assert_eq!(told["metadata"]["labels"]["a"], "in");
    let version =
        |value: &Value| value["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(version(told) < version(&last) && version(told) > version(&inside));
}

#[tokio::test]
async fn fields_select_too() {
    let api = start().await;
    let pods = "/api/v1/namespaces/default/pods";
    api.post(pods, &pod("p")).await.expect(201);
    let query = "watch=1&fieldSelector=spec.nodeName%3Dn1&timeoutSeconds=4";
    let path = format!("{pods}?{query}");
    let bind = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let binding = json!({"target": {"name": "n1"}});
        api.post(&format!("{pods}/p/binding"), &binding).await.expect(201);
    };
    let (events, ()) = tokio::join!(api.events(&path), bind);
    assert_eq!(kinds(&events), [("ADDED", "p")]);
}

#[tokio::test]
async fn a_revision_that_is_no_longer_kept_is_expired() {
    let api = api::start_kept(8).await;
    for n in 0..30 {
        api.post(MAPS, &config_map(&format!("m{n}"), "1")).await.expect(201);
    }
    let events = api.events(&format!("{MAPS}?watch=1&resourceVersion=1&timeoutSeconds=1")).await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["type"], &events[0]["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(events[0]["object"]["reason"], "Expired");
    let text = events[0]["object"]["message"].as_str().unwrap();
    assert!(text.starts_with("too old resource version: 1 ("), "{text}");
}

#[tokio::test]
async fn a_table_names_its_columns_once() {
    let api = start().await;
    for name in ["a", "b"] {
        api.post(MAPS, &config_map(name, "1")).await.expect(201);
    }
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let answer = api.send("GET", &format!("{MAPS}?watch=1&timeoutSeconds=1"), &accept, "").await;
    let events: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["object"]["kind"], "Table");
    assert_eq!(events[0]["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(events[0]["object"]["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert!(events[1]["object"]["columnDefinitions"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(events[1]["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test]
async fn shutdown_ends_watches_at_once() {
    let mut api = start().await;
    let request = Request::builder().uri(format!("{MAPS}?watch=1")).body(Body::empty()).unwrap();
    let over_tls = api.tls_client().await;
    let reply = over_tls.send(request).await.unwrap();
    let started = std::time::Instant::now();
    api.stop().await;
    drop(reply.into_body().collect().await);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

// A client that reads nothing keeps no events: it falls out of the window and is told so when it reads again.
#[tokio::test]
async fn a_watch_that_is_not_read_holds_no_events() {
    let api = api::start_kept(8).await;
    let request = Request::builder().uri(format!("{MAPS}?watch=1")).body(Body::empty()).unwrap();
    let mut body = api.client.send(request).await.unwrap().into_body();
    for n in 0..30 {
        api.post(MAPS, &config_map(&format!("m{n}"), "1")).await.expect(201);
    }
    let mut last = Value::Null;
    while let Some(frame) = body.frame().await {
        last = serde_json::from_slice(&frame.unwrap().into_data().unwrap()).unwrap();
        if last["type"] == "ERROR" {
            break;
        }
    }
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(body.frame().await.is_none());
}

// What client-go does by default from 1.35 and kube's watcher on request.
#[tokio::test]
async fn a_watcher_may_begin_with_a_streamed_list() {
    use futures::StreamExt as _;
    use kube::runtime::watcher::{Config, Event, watcher};
    let api = start().await;
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::default_namespaced(api.client.clone());
    let mut events = std::pin::pin!(watcher(maps, Config::default().streaming_lists()));
    let mut seen = Vec::new();
    while seen.last() != Some(&"apply") {
        seen.push(match events.next().await.unwrap().unwrap() {
            Event::Init => "init",
            Event::InitApply(_) => "first",
            Event::InitDone => {
                api.patch(&format!("{MAPS}/a"), "merge", &json!({"data": {"key": "2"}})).await.expect(200);
                "done"
            }
            Event::Apply(_) => "apply",
            Event::Delete(_) => "delete",
        });
    }
    assert_eq!(seen, ["init", "first", "done", "apply"]);
}

// Facts: a name and `watch=true` is a get; a plain watch from a revision to come waits for it, a streamed list does not.
#[tokio::test]
async fn a_named_object_is_got_and_the_future_is_waited_for() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    assert_eq!(api.get(&format!("{MAPS}/a?watch=true")).await.expect(200), made);
    let future = api.store.revision() + 2;
    let path = format!("{MAPS}?watch=1&resourceVersion={future}&timeoutSeconds=2");
    let write = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for name in ["b", "c", "d"] {
            api.post(MAPS, &config_map(name, "1")).await.expect(201);
        }
    };
    let (events, ()) = tokio::join!(api.events(&path), write);
    assert_eq!(kinds(&events), [("ADDED", "d")]);
    let path = format!(
        "{MAPS}?watch=1&resourceVersion=999999&timeoutSeconds=1&sendInitialEvents=true&\
         resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let events = api.events(&path).await;
    assert_eq!(events[0]["object"]["code"], 504);
}

// Fact: the watch cache sends the last bookmark two seconds before a watch ends.
#[tokio::test]
async fn a_bookmark_comes_shortly_before_the_end() {
    let api = start().await;
    let revision = api.store.revision();
    let path = format!("{MAPS}?watch=1&resourceVersion={revision}&timeoutSeconds=3&allowWatchBookmarks=true");
    let events = api.events(&path).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["type"], "BOOKMARK");
    assert_eq!(events[0]["object"]["metadata"], json!({"resourceVersion": revision.to_string()}));
    let path = format!("{MAPS}?watch=1&resourceVersion={revision}&timeoutSeconds=1&allowWatchBookmarks=true");
    assert_eq!(api.events(&path).await, Vec::<Value>::new());
}
