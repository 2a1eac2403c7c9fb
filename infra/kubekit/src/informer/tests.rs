//! What an informer promises, against a server that plays a script.

#![allow(clippy::needless_pass_by_value, reason = "objects are written in place")]

use super::*;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::time::timeout;

/// One answer of the scripted server.
enum Answer {
    /// A body, with its status code; the connection ends after it.
    Body(u16, String),
    /// Watch lines; the connection then stays open.
    Open(Vec<Value>),
    /// Watch lines; the connection then ends.
    Ends(Vec<Value>),
}

struct Script {
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
}

fn script(answers: Vec<Answer>) -> Script {
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        log.lock().push(query);
        let answer = answers.lock().pop_front();
        async move {
            let Some(answer) = answer else { return std::future::pending().await };
            Ok::<_, std::convert::Infallible>(respond(answer))
        }
    });
    Script { client: Client::new(service, "default"), asked }
}

type Stream = futures::stream::BoxStream<'static, Result<http_body::Frame<bytes::Bytes>, std::io::Error>>;

fn respond(answer: Answer) -> http::Response<http_body_util::StreamBody<Stream>> {
    let lines = |events: Vec<Value>| events.into_iter().map(|event| format!("{event}\n")).collect::<String>();
    let (code, text, open) = match answer {
        Answer::Body(code, text) => (code, text, false),
        Answer::Open(events) => (200, lines(events), true),
        Answer::Ends(events) => (200, lines(events), false),
    };
    let first = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(text))]);
    let rest = if open { futures::stream::pending().boxed() } else { futures::stream::empty().boxed() };
    let frames = first.chain(rest).map(|chunk| chunk.map(http_body::Frame::data)).boxed();
    let body = http_body_util::StreamBody::new(frames);
    http::Response::builder().status(code).body(body).unwrap()
}

fn object(name: &str, version: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
           "metadata": {"name": name, "namespace": "ns", "resourceVersion": version.to_string()},
           "data": {"version": version.to_string()}})
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn end_of_first_state(version: u64) -> Value {
    event(
        "BOOKMARK",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata":
        {"resourceVersion": version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}),
    )
}

fn list(objects: &[Value], version: u64) -> String {
    json!({"metadata": {"resourceVersion": version.to_string()}, "items": objects}).to_string()
}

fn status(code: u16, reason: &str) -> String {
    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason})
        .to_string()
}

struct Watched {
    reader: Reader<String>,
    changes: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Runs an informer over the script until it has asked `requests` times and waits.
async fn run(answers: Vec<Answer>, requests: usize) -> Watched {
    run_with(answers, requests, Config::default(), |_| {}).await
}

async fn run_with(
    answers: Vec<Answer>,
    requests: usize,
    config: Config,
    meanwhile: fn(&Reader<String>),
) -> Watched {
    let script = script(answers);
    let changes = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&changes);
    let informer = Informer::new(script.client.clone(), config, |map: ConfigMap| {
        map.data.and_then(|data| data.get("version").cloned()).unwrap_or_default()
    });
    let informer = informer.index("parity", |_, version: &String| {
        vec![if version.parse::<u32>().unwrap_or(0) % 2 == 0 { "even" } else { "odd" }.into()]
    });
    let informer = informer.on_change(move |change: &Change<'_, String>| {
        let show = |side: Option<&Arc<String>>| side.map_or("-".to_owned(), |value| value.to_string());
        log.lock().push(format!("{} {}>{}", change.key.name, show(change.old), show(change.new)));
    });
    let reader = informer.reader();
    let asked = Arc::clone(&script.asked);
    let enough = async {
        while asked.lock().len() < requests {
            meanwhile(&reader);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let shutdown = CancellationToken::new();
    tokio::select! {
        () = informer.run(shutdown) => {}
        done = timeout(Duration::from_secs(600), enough) => done.expect("the informer asks on"),
    }
    Watched { reader, changes, asked: script.asked }
}

fn known(watched: &Watched) -> Vec<String> {
    let mut known: Vec<String> =
        watched.reader.list().iter().map(|(key, value)| format!("{}={value}", key.name)).collect();
    known.sort();
    known
}

#[tokio::test(start_paused = true)]
async fn the_first_state_comes_as_events_and_the_watch_goes_on_in_the_same_request() {
    let events = vec![
        event("ADDED", object("a", 1)),
        event("ADDED", object("b", 2)),
        end_of_first_state(5),
        event("MODIFIED", object("a", 6)),
        event("DELETED", object("b", 7)),
    ];
    let watched = run(vec![Answer::Open(events)], 1).await;
    assert!(watched.reader.is_synced());
    assert_eq!(known(&watched), ["a=6"]);
    assert_eq!(*watched.changes.lock(), ["a ->1", "b ->2", "a 1>6", "b 2>-"]);
    assert_eq!(watched.asked.lock().len(), 1);
    assert!(watched.asked.lock()[0].contains("sendInitialEvents=true"), "{:?}", watched.asked.lock());
}

#[tokio::test(start_paused = true)]
async fn it_is_not_synced_before_the_end_of_the_first_state() {
    let watched = run(vec![Answer::Open(vec![event("ADDED", object("a", 1))])], 1).await;
    assert!(!watched.reader.is_synced());
    assert_eq!(known(&watched), ["a=1"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_to_stream_is_listed_page_by_page() {
    let mut page: Value = serde_json::from_str(&list(&[object("a", 1)], 5)).unwrap();
    page["metadata"]["continue"] = json!("more");
    let answers = vec![
        Answer::Body(422, status(422, "Invalid")),
        Answer::Body(200, page.to_string()),
        Answer::Body(200, list(&[object("b", 2)], 5)),
        Answer::Open(vec![event("ADDED", object("c", 6))]),
    ];
    let watched = run(answers, 4).await;
    assert_eq!(known(&watched), ["a=1", "b=2", "c=6"]);
    let asked = watched.asked.lock();
    assert!(asked[2].contains("continue=more"), "{asked:?}");
    assert!(asked[3].contains("resourceVersion=5"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_silent_is_listed() {
    let answers =
        vec![Answer::Open(vec![]), Answer::Body(200, list(&[object("a", 1)], 5)), Answer::Open(vec![])];
    let watched = run(answers, 3).await;
    assert_eq!(known(&watched), ["a=1"]);
    assert!(watched.reader.is_synced());
}

#[tokio::test(start_paused = true)]
async fn an_ended_watch_is_taken_up_where_it_stopped() {
    let bookmark = event(
        "BOOKMARK",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "9"}}),
    );
    let answers = vec![
        Answer::Ends(vec![event("ADDED", object("a", 1)), end_of_first_state(5), bookmark]),
        Answer::Open(vec![event("MODIFIED", object("a", 10))]),
    ];
    let watched = run(answers, 2).await;
    assert!(watched.asked.lock()[1].contains("resourceVersion=9"), "{:?}", watched.asked.lock());
    assert_eq!(known(&watched), ["a=10"]);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_position_lists_again_and_tells_only_what_changed() {
    let first = vec![
        event("ADDED", object("kept", 1)),
        event("ADDED", object("gone", 2)),
        event("ADDED", object("changed", 3)),
        end_of_first_state(5),
        event(
            "ERROR",
            json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old", "status": "Failure"}),
        ),
    ];
    let second =
        vec![event("ADDED", object("kept", 1)), event("ADDED", object("changed", 8)), end_of_first_state(9)];
    let watched = run(vec![Answer::Ends(first), Answer::Open(second)], 2).await;
    assert_eq!(known(&watched), ["changed=8", "kept=1"]);
    assert_eq!(watched.changes.lock()[3..], ["changed 3>8", "gone 2>-"]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again() {
    let answers = vec![
        Answer::Body(500, status(500, "InternalError")),
        Answer::Body(429, status(429, "TooManyRequests")),
        Answer::Open(vec![event("ADDED", object("a", 1)), end_of_first_state(5)]),
    ];
    let watched = run(answers, 3).await;
    assert_eq!(known(&watched), ["a=1"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_parsed_hides_no_other() {
    let bad =
        json!({"metadata": {"name": "bad", "namespace": "ns", "resourceVersion": "2"}, "data": "no map"});
    let streamed = vec![event("ADDED", bad.clone()), event("ADDED", object("a", 1)), end_of_first_state(5)];
    assert_eq!(known(&run(vec![Answer::Open(streamed)], 1).await), ["a=1"]);
    let config = Config { streaming: false, ..Config::default() };
    let answers = vec![Answer::Body(200, list(&[bad, object("a", 1)], 5)), Answer::Open(vec![])];
    assert_eq!(known(&run_with(answers, 2, config, |_| {}).await), ["a=1"]);
}

#[tokio::test(start_paused = true)]
async fn an_own_write_is_known_at_once_and_older_news_do_not_undo_it() {
    let script = script(vec![]);
    let informer = Informer::new(script.client, Config::default(), |_: ConfigMap| 0_u64);
    let (reader, key) = (informer.reader(), Key::new("ns", "a"));
    let news = |revision, value| reader.shared.state.write().put(&key, revision, Some(value)).is_some();
    assert!(news(5, 5));
    reader.remember(&key, "8", 8);
    assert_eq!(*reader.get(&key).unwrap(), 8);
    assert!(!news(7, 7), "older news");
    assert!(!news(8, 8), "the same again");
    assert!(reader.shared.state.write().delete(&key, 6).is_none(), "the deletion of a predecessor");
    assert!(news(9, 9));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_bring_back_what_was_deleted_since() {
    let script = script(vec![]);
    let informer = Informer::new(script.client, Config::default(), |_: ConfigMap| 0_u64);
    let (reader, key) = (informer.reader(), Key::new("ns", "a"));
    {
        let mut state = reader.shared.state.write();
        state.put(&key, 5, Some(5));
        state.told(7);
        state.delete(&key, 7);
    }
    reader.remember(&key, "6", 6);
    assert!(reader.get(&key).is_none());
    reader.remember(&key, "8", 8);
    assert!(reader.get(&key).is_some());
    let gone = reader.shared.state.write().retain(&std::collections::HashSet::new(), 7);
    assert!(gone.is_empty(), "a list older than the write does not know of it");
    let gone = reader.shared.state.write().retain(&std::collections::HashSet::new(), 9);
    assert_eq!(gone.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_index_follows_every_change() {
    let events = vec![
        event("ADDED", object("a", 1)),
        event("ADDED", object("b", 3)),
        event("ADDED", object("c", 4)),
        end_of_first_state(5),
        event("MODIFIED", object("a", 6)),
        event("DELETED", object("b", 7)),
    ];
    let watched = run(vec![Answer::Open(events)], 1).await;
    let names = |value| {
        let found = watched.reader.by_index("parity", value);
        found.iter().map(|(key, _)| key.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("even"), ["a", "c"]);
    assert!(names("odd").is_empty());
    assert!(watched.reader.by_index("nothing", "even").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_is_gone_is_forgotten_unless_it_was_made_again() {
    let script = script(vec![]);
    let informer = Informer::new(script.client, Config::default(), |_: ConfigMap| 0_u64);
    let (reader, key) = (informer.reader(), Key::new("ns", "a"));
    reader.remember(&key, "5", 5);
    reader.forget(&key, "4");
    assert!(reader.get(&key).is_some(), "a newer one is known");
    reader.forget(&key, "5");
    assert!(reader.get(&key).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_nobody_wants_is_not_kept_and_one_that_becomes_so_is_gone() {
    let events = vec![
        event("ADDED", object("a", 1)),
        event("ADDED", object("b", 2)),
        end_of_first_state(5),
        event("MODIFIED", object("b", 7)),
        event("MODIFIED", object("a", 8)),
        event("MODIFIED", object("a", 9)),
    ];
    let script = script(vec![Answer::Open(events)]);
    let changes = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&changes);
    // The even ones.
    let project = |map: ConfigMap| {
        let version: u64 = map.data?.get("version")?.parse().ok()?;
        version.is_multiple_of(2).then_some(version)
    };
    let informer = Informer::filtered(script.client.clone(), Config::default(), project).on_change(
        move |change: &Change<'_, u64>| {
            log.lock().push((change.key.name.to_string(), change.old.map(|v| **v), change.new.map(|v| **v)));
        },
    );
    let reader = informer.reader();
    let shutdown = CancellationToken::new();
    let _ = timeout(Duration::from_secs(5), informer.run(shutdown)).await;
    let told = |name: &str, old, new| (name.to_owned(), old, new);
    let expected = [
        told("b", None, Some(2)),
        told("b", Some(2), None),
        told("a", None, Some(8)),
        told("a", Some(8), None),
    ];
    assert_eq!(*changes.lock(), expected);
    assert!(reader.is_synced() && reader.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_cut_off_is_no_object_that_cannot_be_read() {
    let cut = event("MODIFIED", object("a", 9)).to_string();
    let whole =
        [event("ADDED", object("a", 1)), end_of_first_state(5)].map(|event| format!("{event}\n")).concat();
    let first = format!("{whole}{}", &cut[..cut.len() / 2]);
    let watched = run(vec![Answer::Body(200, first), Answer::Open(vec![])], 2).await;
    assert_eq!(known(&watched), ["a=1"]);
    assert!(watched.asked.lock()[1].contains("resourceVersion=5"), "{:?}", watched.asked.lock());
}
