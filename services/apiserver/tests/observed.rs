//! What those who watch over the server see: its health and its metrics.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::collections::BTreeMap;

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
    let ready =
        format!("[+]ping ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n{own}[+]shutdown ok\n");
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
    assert!(
        text.ends_with("[-]node-lease failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"),
        "{text}"
    );
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

/// What a scraper makes of the text: types by name, samples by name and labels. Fails where the format is broken.
fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut types, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "twice: {line}");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let histogram =
                family.is_some_and(|family| types.get(family).is_some_and(|kind| kind == "histogram"));
            assert!(histogram || types.contains_key(name), "no type before: {line}");
            assert!(series == name || (series.ends_with("\"}") && !series.contains("{}")), "{line}");
            assert_eq!(samples.insert(series.to_owned(), value.parse().unwrap()), None, "twice: {line}");
        }
    }
    for (series, count) in samples.iter().filter(|(series, _)| series.contains("_count")) {
        let all = series.replacen("_count", "_bucket", 1);
        let all = match all.strip_suffix('}') {
            Some(labels) => format!("{labels},le=\"+Inf\"}}"),
            None => format!("{all}{{le=\"+Inf\"}}"),
        };
        assert_eq!(samples.get(&all), Some(count), "{all}");
    }
    (types, samples)
}

fn request(name: &str, verb: &str, group: &str, resource: &str, scope: &str, end: &str) -> String {
    format!(
        "{name}{{component=\"apiserver\",dry_run=\"\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
         subresource=\"\",verb=\"{verb}\",version=\"v1\"{end}}}"
    )
}

/// What must be there after a few requests.
const KINDS: &[(&str, &str)] = &[
    ("apiserver_request_total", "counter"),
    ("apiserver_request_duration_seconds", "histogram"),
    ("apiserver_request_sli_duration_seconds", "histogram"),
    ("apiserver_response_sizes", "histogram"),
    ("apiserver_longrunning_requests", "gauge"),
    ("apiserver_current_inflight_requests", "gauge"),
    ("apiserver_current_inqueue_requests", "gauge"),
    ("apiserver_watch_events_total", "counter"),
    ("apiserver_watch_events_sizes", "histogram"),
    ("apiserver_resource_objects", "gauge"),
    ("apiserver_storage_objects", "gauge"),
    ("apiserver_audit_event_total", "counter"),
    ("apiserver_audit_level_total", "counter"),
    ("apiserver_tls_handshake_errors_total", "counter"),
    ("authorization_attempts_total", "counter"),
    ("rest_client_requests_total", "counter"),
    ("rest_client_request_duration_seconds", "histogram"),
    ("etcd_disk_wal_fsync_duration_seconds", "histogram"),
    ("kubernetes_build_info", "gauge"),
];

// Facts: the names, types and labels are those that kube-apiserver 1.36 exposes.
#[tokio::test]
async fn metrics_are_those_of_kube_apiserver_and_can_be_parsed() {
    let log = tempfile::tempdir().unwrap();
    let api = start_with(|config| config.audit_log = Some(log.path().join("audit.log"))).await;
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    api.post(MAPS, &api::config_map("a", "1")).await.expect(201);
    api.post(MAPS, &api::config_map("a", "1")).await.expect(409);
    api.get(&format!("{MAPS}/none")).await.expect(404);
    api.events(&format!("{MAPS}?watch=1&timeoutSeconds=1")).await;
    api.act("jane", "GET", MAPS, &Value::Null).await.expect(403);
    for strange in ["/apis/x.io/v1/things", "/any/path", "/api/v1/namespaces/default/configmaps/a/strange"] {
        assert_eq!(api.get(strange).await.status, 404);
    }
    assert_eq!(api.get("/readyz").await.status, 200);
    let answer = api.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let (types, samples) = parse(&answer.text);
    for (name, kind) in KINDS {
        assert_eq!(types.get(*name).map(String::as_str), Some(*kind), "{name}\n{}", answer.text);
    }
    let at = |series: &str| *samples.get(series).unwrap_or_else(|| panic!("{series}\n{}", answer.text));
    let total = |verb: &str, scope: &str, code: u16| {
        at(&request("apiserver_request_total", verb, "", "configmaps", scope, &format!(",code=\"{code}\"")))
    };
    assert_eq!((total("POST", "resource", 201), total("POST", "resource", 409)), (1.0, 1.0));
    assert_eq!((total("GET", "resource", 404), total("WATCH", "namespace", 200)), (1.0, 1.0));
    let watch = request("apiserver_request_duration_seconds_sum", "WATCH", "", "configmaps", "namespace", "");
    assert!(at(&watch) > 0.9, "a watch takes as long as it is open");
    assert_eq!(at("apiserver_watch_events_total{group=\"\",version=\"v1\",resource=\"configmaps\"}"), 1.0);
    assert_eq!(at("apiserver_resource_objects{group=\"\",resource=\"configmaps\"}"), 1.0);
    assert!(at("apiserver_storage_objects{resource=\"clusterroles.rbac.authorization.k8s.io\"}") > 5.0);
    assert_eq!(at("authorization_attempts_total{result=\"denied\"}"), 1.0);
    assert!(at("apiserver_audit_level_total{level=\"Metadata\"}") >= 2.0);
    assert_eq!(at("rest_client_requests_total{code=\"201\",host=\"in-process\",method=\"POST\"}"), 1.0);
    assert!(at("etcd_disk_wal_fsync_duration_seconds_count") >= 1.0);
    assert!(
        !answer.text.contains("strange") && !answer.text.contains("/any") && !answer.text.contains("x.io")
    );
    let (_, slis) = parse(&api.get("/metrics/slis").await.text);
    assert_eq!(slis.get("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"}"), Some(&1.0));
    assert_eq!(
        slis.get("kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"readyz\"}"),
        Some(&1.0)
    );
}
