//! What those who watch over the server see: its health and its metrics.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Answer, Api, start, start_with};
use serde_json::Value;
use telemetry::{Check, Health};

fn shown(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    (answer.status.as_u16(), &answer.text)
}

async fn get(api: &Api, path: &str) -> (u16, String) {
    let answer = api.get(path).await;
    let (code, text) = shown(&answer);
    (code, text.to_owned())
}

// Facts: names and order of ping, etcd, etcd-readiness, informer-sync and shutdown are those of kube-apiserver 1.36, which
// asks the last three for `/readyz` alone.
#[tokio::test]
async fn a_server_that_works_says_so_in_kubernetes_words() {
    let api = start().await;
    for path in ["/healthz", "/livez", "/readyz", "/livez/ping", "/livez/etcd", "/readyz/informer-sync"] {
        assert_eq!(get(&api, path).await, (200, "ok".to_owned()), "{path}");
    }
    let own = "[+]certificate-authority ok\n[+]serving-certificate ok\n";
    let live = format!("[+]ping ok\n[+]etcd ok\n{own}livez check passed\n");
    assert_eq!(get(&api, "/livez?verbose").await, (200, live));
    let ready = format!("[+]ping ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n{own}[+]shutdown ok\n");
    assert_eq!(get(&api, "/readyz?verbose=1").await, (200, format!("{ready}readyz check passed\n")));
    for path in ["/livez/informer-sync", "/livez/nope", "/livez/", "/healthz/shutdown", "/readyz/ping/x"] {
        assert_eq!(get(&api, path).await, (404, "404 page not found\n".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_neither_alive_nor_ready() {
    let api = start().await;
    api.store.clone().close();
    let (code, text) = get(&api, "/livez").await;
    assert_eq!(code, 500);
    assert!(text.starts_with("[+]ping ok\n[-]etcd failed: reason withheld\n"), "{text}");
    assert!(text.ends_with("livez check failed\n"), "{text}");
    assert_eq!(get(&api, "/livez?exclude=etcd").await, (200, "ok".to_owned()));
    assert_eq!(get(&api, "/readyz?exclude=etcd").await.0, 500);
    assert_eq!(get(&api, "/readyz?exclude=etcd&exclude=etcd-readiness").await.0, 200);
    let (code, text) = get(&api, "/livez/etcd").await;
    assert_eq!(code, 500);
    let why = "internal server error: the store has stopped accepting writes: it was closed\n";
    assert_eq!(text, why);
}

#[tokio::test]
async fn checks_of_other_parts_count_and_the_end_shows_in_readyz_first() {
    let health = Health::default();
    let api = start_with(|config| config.health = health.clone()).await;
    health.add(Check::at_once("node-lease", || Err("too old".to_owned())).only_ready());
    assert_eq!(get(&api, "/livez").await, (200, "ok".to_owned()));
    let (code, text) = get(&api, "/readyz").await;
    assert_eq!(code, 500);
    assert!(text.ends_with("[-]node-lease failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"), "{text}");
    assert_eq!(get(&api, "/readyz?exclude=node-lease").await, (200, "ok".to_owned()));
    health.end();
    assert_eq!(get(&api, "/readyz?exclude=node-lease").await.0, 500);
    assert_eq!(get(&api, "/livez").await, (200, "ok".to_owned()));
    // It is served as before until it is told to end.
    assert_eq!(api.get("/api/v1/namespaces/default").await.status, 200);
}

// Facts: system:public-info-viewer has the three paths, system:monitoring what lies below them.
#[tokio::test]
async fn who_is_known_may_ask_for_the_list_and_monitoring_for_the_reasons() {
    let api = start().await;
    let act = async |path: &str| api.act("jane", "GET", path, &Value::Null).await.status.as_u16();
    assert_eq!(act("/readyz?verbose").await, 200);
    assert_eq!(act("/readyz/etcd").await, 403);
    let headers = [("impersonate-user", "scraper"), ("impersonate-group", "system:monitoring")];
    assert_eq!(api.send("GET", "/readyz/etcd", &headers, "").await.status, 200);
}
