use telemetry::Metrics;
use wire::Query;

use super::*;
use crate::{
    registry::Registry,
    route::{self, Route},
};

/// Makes a request and gives the labels that it is counted under.
fn labels(method: &Method, path: &str, query: &str, apply: bool) -> Option<String> {
    let Route::Resource(target) = route::parse(&Registry::default(), path) else { panic!("{path}") };
    let query = Query::parse(query);
    let verb = route::verb(method, &target, query.flag("watch"));
    let row = Row::of(&Subject::of(&target, verb, method, apply, &query)?);
    let shown: Vec<&str> =
        [row.verb, &row.group, &row.version, &row.resource, row.subresource, row.scope, row.dry_run].into();
    Some(shown.join(" "))
}

// Facts: what kube-apiserver 1.36 counts these requests under.
#[test]
fn requests_are_told_apart_as_kubernetes_does() {
    let pods = "/api/v1/namespaces/n/pods";
    for (method, path, query, want) in [
        (Method::GET, pods, "", "LIST  v1 pods  namespace "),
        (Method::GET, "/api/v1/pods", "watch=1", "WATCH  v1 pods  cluster "),
        (Method::GET, "/api/v1/namespaces/n/pods/p", "", "GET  v1 pods  resource "),
        (Method::HEAD, "/api/v1/nodes", "", "LIST  v1 nodes  cluster "),
        (Method::POST, pods, "dryRun=All", "POST  v1 pods  resource All"),
        (Method::POST, pods, "dryRun=x", "POST  v1 pods  resource invalid"),
        (Method::DELETE, pods, "", "DELETE  v1 pods  namespace "),
        (Method::GET, "/api/v1/namespaces/n/pods/p/log", "", "CONNECT  v1 pods log resource "),
        (
            Method::PUT,
            "/apis/apps/v1/namespaces/n/deployments/d/status",
            "",
            "PUT apps v1 deployments status resource ",
        ),
        (Method::from_bytes(b"BREW").unwrap(), "/api/v1/nodes/n", "", "other  v1 nodes  resource "),
    ] {
        assert_eq!(labels(&method, path, query, false).as_deref(), Some(want), "{method} {path}?{query}");
    }
    let apply = labels(&Method::PATCH, "/api/v1/namespaces/n/pods/p", "", true);
    assert_eq!(apply.as_deref(), Some("APPLY  v1 pods  resource "));
    assert_eq!(labels(&Method::GET, "/api/v1/namespaces/n/pods/p/any-thing", "", false), None);
    assert!(Subject::of_path("/readyz", &Method::GET).is_some());
    assert!(Subject::of_path("/readyz/../x", &Method::GET).is_none());
}

#[test]
fn the_number_of_series_has_a_limit() {
    let requests = Arc::new(Requests::default());
    for number in 0..LIMIT + 500 {
        let resource = Text::Owned(format!("things{number}"));
        let subject = Subject {
            verb: "GET",
            dry_run: "",
            group: NONE,
            version: NONE,
            resource: &resource,
            subresource: "",
            scope: "cluster",
        };
        drop(requests.begin(&subject, Instant::now()));
    }
    assert_eq!(requests.table.all().len(), LIMIT + 1);
    let metrics = Metrics::default();
    metrics.collect(requests);
    let text = metrics.text().unwrap();
    let rest =
        "resource=\"other\",scope=\"cluster\",subresource=\"\",verb=\"GET\",version=\"\",code=\"0\"} 500";
    assert!(text.contains(rest), "no {rest}");
}

#[test]
fn a_watch_is_open_until_it_is_dropped_and_waits_are_no_part_of_the_objective() {
    let requests = Requests::default();
    let resource = Text::Borrowed("pods");
    let mut subject = Subject {
        verb: "WATCH",
        dry_run: "",
        group: NONE,
        version: NONE,
        resource: &resource,
        subresource: "",
        scope: "cluster",
    };
    let watch = requests.begin(&subject, Instant::now());
    assert_eq!(requests.row(&subject).open.load(Ordering::Relaxed), 1);
    assert_eq!((requests.reading.take(), requests.mutating.take()), (0, 0));
    drop(watch);
    assert_eq!(requests.row(&subject).open.load(Ordering::Relaxed), 0);
    subject.verb = "LIST";
    let begun = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
    requests.begin(&subject, begun).waited(Duration::from_millis(8_990));
    let row = requests.row(&subject);
    let buckets = |histogram: &Histogram| format!("{histogram:?}");
    assert_eq!(row.seconds.count(), 1);
    assert!(buckets(&row.seconds) != buckets(row.sli.as_ref().unwrap()));
    assert_eq!(requests.reading.take(), 1);
}
