use http_body_util::BodyExt as _;

use super::*;

async fn shown(reply: Reply) -> (u16, String) {
    let (parts, body) = reply.into_parts();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    assert_eq!(parts.headers.get(header::CONTENT_TYPE), Some(&plain));
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(bytes.to_vec()).unwrap())
}

async fn ask(question: Question, health: &Health, query: &str) -> (u16, String) {
    let reply = question.answer(health, &Slis::default(), &Query::parse(query)).await;
    let nosniff = HeaderValue::from_static("nosniff");
    assert_eq!(reply.headers().get(header::X_CONTENT_TYPE_OPTIONS), Some(&nosniff));
    shown(reply).await
}

fn health() -> Health {
    let health = Health::default();
    health.add(Check::at_once("ping", || Ok(())));
    health.add(Check::new("disk", || async { Err("it is full".to_owned()) }));
    health.add(Check::at_once("informer-sync", || Ok(())).only_ready());
    health
}

// Facts: the words of k8s.io/apiserver 0.36.3, pkg/server/healthz/healthz.go, whose 500 also goes out with a line's end.
#[tokio::test]
async fn failures_are_listed_without_their_reason() {
    let failed = "[+]ping ok\n[-]disk failed: reason withheld\nlivez check failed\n";
    assert_eq!(ask(Question::Livez, &health(), "").await, (500, failed.to_owned()));
    let failed = "[+]ping ok\n[-]disk failed: reason withheld\nhealthz check failed\n";
    assert_eq!(ask(Question::Healthz, &health(), "verbose").await, (500, failed.to_owned()));
}

#[tokio::test]
async fn checks_can_be_left_out_and_what_is_none_is_named() {
    assert_eq!(ask(Question::Livez, &health(), "exclude=disk").await, (200, "ok".to_owned()));
    let (code, text) = ask(Question::Readyz, &health(), "verbose&exclude=disk&exclude=z&exclude=a\"").await;
    let want = "[+]ping ok\n[+]disk excluded: ok\n[+]informer-sync ok\n[+]shutdown ok\n\
                warn: some health checks cannot be excluded: no matches for \"a\\\"\",\"z\"\nreadyz check passed\n";
    assert_eq!((code, text.as_str()), (200, want));
    // Fact: `shutdown` is no check of `/livez`, so it cannot be left out there.
    let (code, text) = ask(Question::Livez, &health(), "verbose=false&exclude=disk&exclude=shutdown").await;
    assert_eq!(code, 200);
    assert!(text.contains("no matches for \"shutdown\"\nlivez check passed\n"), "{text}");
}

#[tokio::test]
async fn a_single_check_tells_the_reason() {
    let one = async |name: &str| shown(Question::Livez.answer_one(&health(), name).await).await;
    assert_eq!(one("ping").await, (200, "ok".to_owned()));
    assert_eq!(one("disk").await, (500, "internal server error: it is full\n".to_owned()));
    assert_eq!(one("informer-sync").await.0, 404);
}

#[tokio::test]
async fn a_process_that_ends_is_alive_and_not_ready() {
    let health = Health::default();
    health.add(Check::at_once("ping", || Ok(())));
    assert_eq!(ask(Question::Readyz, &health, "").await, (200, "ok".to_owned()));
    health.end();
    let failed = "[+]ping ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n";
    assert_eq!(ask(Question::Readyz, &health, "").await, (500, failed.to_owned()));
    assert_eq!(ask(Question::Livez, &health, "").await, (200, "ok".to_owned()));
    assert_eq!(ask(Question::Healthz, &health, "").await, (200, "ok".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_does_not_answer_fails() {
    let health = Health::default();
    health.add(Check::new("stuck", std::future::pending));
    assert_eq!(ask(Question::Livez, &health, "").await.0, 500);
    let (_, text) = shown(Question::Livez.answer_one(&health, "stuck").await).await;
    assert_eq!(text, "internal server error: no answer within 2s\n");
}

#[test]
fn a_certificate_that_has_ended_is_told() {
    let now = Timestamp::from_second(1_000).unwrap();
    assert_eq!(valid_at(1_001, now), Ok(()));
    assert_eq!(valid_at(1_000, now), Err("the certificate ended at 1970-01-01T00:16:40Z".to_owned()));
}

#[tokio::test]
async fn a_follower_that_died_is_told() {
    let followers = Followers::default();
    let tasks = tokio_util::task::TaskTracker::new();
    followers.add("roles", tasks.spawn(std::future::pending::<()>()).abort_handle());
    assert_eq!(followers.follow(), Ok(()));
    let died = tasks.spawn(async {});
    followers.add("definitions", died.abort_handle());
    died.await.unwrap();
    assert_eq!(followers.follow(), Err("definitions are no longer followed".to_owned()));
}
