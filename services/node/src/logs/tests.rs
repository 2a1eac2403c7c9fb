//! What `kubectl logs` gets to see.

use super::*;
use std::fs;
use std::io::Write as _;
use tokio::task::JoinSet;

const LOG: &str = "2026-01-01T00:00:01.5Z stdout F one\n2026-01-01T00:00:02Z stderr F two\n\
                   2026-01-01T00:00:03Z stdout P thr\n2026-01-01T00:00:04Z stdout F ee\n";

async fn show(text: &str, options: Options) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    fs::write(&path, text).unwrap();
    let (to, mut from) = mpsc::channel(100);
    let (_alive, running) = watch::channel(false);
    send(&path, &options, running, &to).await.unwrap();
    drop(to);
    let mut shown = Vec::new();
    while let Some(piece) = from.recv().await {
        shown.extend_from_slice(&piece);
    }
    String::from_utf8(shown).unwrap()
}

#[tokio::test]
async fn parts_of_a_long_line_are_joined() {
    assert_eq!(show(LOG, Options::default()).await, "one\ntwo\nthree\n");
}

#[tokio::test]
async fn options_choose_what_is_shown() {
    let since = Some("2026-01-01T00:00:02Z".parse().unwrap());
    let stream = Some("stderr".to_owned());
    for (options, shown) in [
        (Options { tail: Some(1), ..Options::default() }, "ee\n"),
        (Options { tail: Some(0), ..Options::default() }, ""),
        (Options { tail: Some(99), ..Options::default() }, "one\ntwo\nthree\n"),
        (Options { since, ..Options::default() }, "two\nthree\n"),
        (Options { stream, ..Options::default() }, "two\n"),
        (Options { limit: Some(5), ..Options::default() }, "one\nt"),
        (
            Options { timestamps: true, tail: Some(3), ..Options::default() },
            "2026-01-01T00:00:02Z two\n2026-01-01T00:00:03Z thr2026-01-01T00:00:04Z ee\n",
        ),
    ] {
        assert_eq!(show(LOG, options.clone()).await, shown, "{options:?}");
    }
}

#[tokio::test]
async fn an_unfinished_line_is_not_shown_yet() {
    assert_eq!(show("2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:0", Options::default()).await, "one\n");
}

#[tokio::test]
async fn the_tail_of_a_long_file_is_found_from_its_end() {
    let mut text = String::new();
    for n in 0..20_000 {
        text.push_str(&format!("2026-01-01T00:00:01Z stdout F line {n}\n"));
    }
    assert_eq!(
        show(&text, Options { tail: Some(2), ..Options::default() }).await,
        "line 19998\nline 19999\n"
    );
}

#[tokio::test]
async fn following_sees_new_lines_rotation_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let append = |path: &Path, text: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "2026-01-01T00:00:01Z stdout F {text}").unwrap();
    };
    append(&path, "one");
    let (to, mut from) = mpsc::channel(100);
    let (alive, running) = watch::channel(true);
    let mut tasks = JoinSet::new();
    let followed = path.clone();
    tasks.spawn(async move {
        send(&followed, &Options { follow: true, ..Options::default() }, running, &to).await.unwrap();
    });
    assert_eq!(from.recv().await.unwrap(), "one\n");
    append(&path, "two");
    let soon = tokio::time::timeout(Duration::from_millis(500), from.recv()).await;
    assert_eq!(soon.expect("told of the change, not by looking again").unwrap(), "two\n");
    append(&path, "three");
    fs::rename(&path, dir.path().join("0.log.1")).unwrap();
    append(&path, "four");
    assert_eq!(from.recv().await.unwrap(), "three\n");
    assert_eq!(from.recv().await.unwrap(), "four\n");
    append(&path, "last");
    alive.send(false).unwrap();
    assert_eq!(from.recv().await.unwrap(), "last\n");
    assert_eq!(from.recv().await, None);
}
