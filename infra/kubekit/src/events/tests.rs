//! What is written to the server for what happened.

use super::*;
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;

type Requests = Arc<Mutex<Vec<(String, String, Value)>>>;

fn server(fail_first: usize) -> (Client, Requests) {
    let requests: Requests = Arc::default();
    let log = Arc::clone(&requests);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let log = Arc::clone(&log);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let count = {
                let mut log = log.lock();
                log.push((parts.method.to_string(), parts.uri.path().to_owned(), body.clone()));
                log.len()
            };
            let (code, body) = if count <= fail_first {
                (
                    503,
                    json!({"kind": "Status", "status": "Failure", "code": 503, "reason": "ServiceUnavailable"}),
                )
            } else {
                let event = json!({"metadata": body["metadata"], "eventTime": "2026-01-01T00:00:00.000000Z"});
                (200, if body["metadata"].is_null() { json!({"metadata": {}}) } else { event })
            };
            let body = http_body_util::Full::new(bytes::Bytes::from(body.to_string()));
            Ok::<_, std::convert::Infallible>(http::Response::builder().status(code).body(body).unwrap())
        }
    });
    (Client::new(service, "default"), requests)
}

fn happening(name: &str, note: &str) -> Happening {
    Happening {
        regarding: ObjectReference {
            kind: Some("Sandbox".to_owned()),
            namespace: Some("ns".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(format!("uid-{name}")),
            ..ObjectReference::default()
        },
        warning: true,
        reason: "MultiplePods".to_owned(),
        action: "Reconciling".to_owned(),
        note: note.to_owned(),
        related: None,
    }
}

/// Tells, lets `time` pass, shuts down.
async fn write(
    fail_first: usize,
    time: Duration,
    happenings: Vec<Happening>,
) -> (Vec<(String, String, Value)>, u64) {
    let (client, requests) = server(fail_first);
    let (recorder, writer) = EventRecorder::new(client, "sandbox-controller", "host");
    for happening in happenings {
        recorder.tell(happening);
    }
    let shutdown = CancellationToken::new();
    let stop = async {
        sleep(time).await;
        shutdown.cancel();
    };
    tokio::join!(writer.run(shutdown.clone()), stop);
    let requests = requests.lock().clone();
    (requests, recorder.dropped())
}

#[tokio::test(start_paused = true)]
async fn an_event_is_complete() {
    let (requests, _) = write(0, TICK, vec![happening("s", "two pods")]).await;
    let [(method, path, event)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((method.as_str(), path.as_str()), ("POST", "/apis/events.k8s.io/v1/namespaces/ns/events"));
    assert!(event["metadata"]["name"].as_str().unwrap().starts_with("s."));
    assert!(event["eventTime"].is_string());
    let expected = [
        ("type", "Warning"),
        ("reason", "MultiplePods"),
        ("action", "Reconciling"),
        ("note", "two pods"),
        ("reportingController", "sandbox-controller"),
        ("reportingInstance", "host"),
    ];
    for (field, value) in expected {
        assert_eq!(event[field], value, "{field}");
    }
    assert_eq!(event["regarding"]["uid"], "uid-s");
}

#[tokio::test(start_paused = true)]
async fn repeats_become_one_series() {
    let (requests, _) = write(0, Duration::from_secs(15), vec![happening("s", "again"); 500]).await;
    let methods: Vec<&str> = requests.iter().map(|(method, ..)| method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH"]);
    assert_eq!(requests[1].2["series"]["count"], 500);
    assert_eq!(requests[1].1.rsplit('/').next(), requests[0].2["metadata"]["name"].as_str());
}

#[tokio::test(start_paused = true)]
async fn one_object_cannot_flood_the_server_but_others_are_heard() {
    let mut happenings: Vec<Happening> = (0..500).map(|n| happening("noisy", &format!("note {n}"))).collect();
    happenings.push(happening("quiet", "hello"));
    let (requests, _) = write(0, TICK, happenings).await;
    assert_eq!(requests.len(), 26);
    assert_eq!(requests[25].2["regarding"]["name"], "quiet");
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_dropped_and_counted() {
    let (_, dropped) = write(0, TICK, vec![happening("s", "again"); BUFFER + 7]).await;
    assert_eq!(dropped, 7);
}

#[tokio::test(start_paused = true)]
async fn an_unwell_server_is_tried_again() {
    let (requests, _) = write(2, TICK, vec![happening("s", "hello")]).await;
    assert_eq!(requests.len(), 3);
    let (requests, _) = write(3, TICK, vec![happening("s", "hello")]).await;
    assert_eq!(requests.len(), 3, "and given up after three tries");
}

#[tokio::test(start_paused = true)]
async fn what_waits_at_shutdown_is_written() {
    let (requests, _) = write(0, Duration::ZERO, vec![happening("s", "last words"); 2]).await;
    assert_eq!(requests.len(), 2, "the event and its series");
}

#[test]
fn notes_are_cut_between_characters() {
    assert_eq!(cut("aé", 2), "a");
    assert_eq!(cut("aé", 3), "aé");
}

#[tokio::test(start_paused = true)]
async fn memory_stays_bounded() {
    let mut ledger = Ledger::default();
    for n in 0..20_000 {
        ledger.enter(&happening(&format!("s{n}"), "hello"), Instant::now());
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let (series, objects) = ledger.sizes();
    assert!(series <= 2048 && objects <= 2048, "{series} {objects}");
}
