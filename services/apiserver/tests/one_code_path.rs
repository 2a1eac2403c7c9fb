//! Every verb works the same in process and over TLS.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api as Kube,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};

async fn every_verb(client: kube::Client) {
    let maps: Kube<ConfigMap> = Kube::namespaced(client, "default");
    let object: ConfigMap = serde_json::from_value(api::config_map("a", "1")).unwrap();
    let made = maps.create(&PostParams::default(), &object).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let list = maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let from = list.metadata.resource_version.unwrap();
    let watch = maps.watch(&WatchParams::default().timeout(20), &from).await.unwrap();
    futures::pin_mut!(watch);
    let mut read = maps.get("a").await.unwrap();
    read.data.as_mut().unwrap().insert("key".into(), "2".into());
    let updated = maps.replace("a", &PostParams::default(), &read).await.unwrap();
    assert_ne!(updated.metadata.resource_version, made.metadata.resource_version);
    let stale = maps.replace("a", &PostParams::default(), &made).await.unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(status) if status.code == 409), "{stale:?}");
    let patch = serde_json::json!({"data": {"other": "3"}});
    let patched = maps.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(patched.data.unwrap().len(), 2);
    assert!(maps.delete("a", &DeleteParams::default()).await.unwrap().is_right());
    let gone = maps.get("a").await.unwrap_err();
    assert!(matches!(&gone, kube::Error::Api(status) if status.code == 404), "{gone:?}");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match watch.try_next().await.unwrap().expect("the watch goes on") {
            WatchEvent::Modified(_) => seen.push("modified"),
            WatchEvent::Deleted(_) => seen.push("deleted"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["modified", "modified", "deleted"]);
}

#[tokio::test]
async fn in_process() {
    let api = api::start().await;
    every_verb(api.client.clone()).await;
}

#[tokio::test]
async fn over_tls() {
    let mut api = api::start().await;
    every_verb(api.tls_client().await).await;
    api.stop().await;
}
