//! What callers may rely on, through the public interface.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{sync::Arc, time::Duration};
use store::{CommitError, Config, EventKind, Expect, Op, OpenError, Store, Template, Txn};
use tokio::task::JoinSet;

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(Config { dir: dir.path().into(), ..Config::default() }).unwrap()
}

fn put(key: &str, expect: Expect, text: &str) -> Op {
    Op::Put { key: key.into(), expect, value: Template::new(text.to_owned(), "") }
}

fn delete(key: &str, expect: Expect) -> Op {
    Op::Delete { key: key.into(), expect, last: Template::new("last ", "") }
}

fn txn(ops: impl Into<Vec<Op>>) -> Txn {
    Txn { ops: ops.into() }
}

#[tokio::test]
async fn a_value_carries_the_revision_of_its_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    assert_eq!(store.revision(), 1);
    let value = Template::new("{\"resourceVersion\":\"", "\"}");
    let written =
        store.commit(Txn::one(Op::Put { key: "a/b/c/d".into(), expect: Expect::Absent, value })).await;
    assert_eq!(written, Ok(2));
    let entry = store.get("a/b/c/d").unwrap();
    assert_eq!((&entry.value[..], entry.revision), (&b"{\"resourceVersion\":\"2\"}"[..], 2));
}

#[tokio::test]
async fn a_transaction_happens_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    store.commit(txn([put("x", Expect::Absent, "1"), put("y", Expect::Absent, "1")])).await.unwrap();
    let refused = store.commit(txn([put("x", Expect::At(2), "2"), put("y", Expect::At(1), "2")])).await;
    assert_eq!(refused, Err(CommitError::Conflict { key: "y".into(), current: Some(2) }));
    let refused = store
        .commit(txn([delete("x", Expect::Present), Op::Check { key: "z".into(), expect: Expect::Present }]));
    assert_eq!(refused.await, Err(CommitError::Conflict { key: "z".into(), current: None }));
    assert_eq!(store.revision(), 2);
    assert_eq!(store.get("x").unwrap().revision, 2);
    // Later operations see what earlier ones did.
    assert_eq!(store.commit(txn([delete("x", Expect::At(2)), put("x", Expect::Absent, "3")])).await, Ok(3));
}

#[tokio::test]
async fn a_transaction_that_changes_nothing_takes_no_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut watch = store.watch("", 1).unwrap();
    assert_eq!(store.commit(txn([delete("x", Expect::Any)])).await, Ok(1));
    assert_eq!(store.commit(txn([Op::Check { key: "x".into(), expect: Expect::Absent }])).await, Ok(1));
    assert_eq!(watch.try_next(), Ok(None));
}

#[tokio::test]
async fn watchers_see_each_change_with_the_value_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut watch = store.watch("a/b/", 1).unwrap();
    store.commit(txn([put("a/b/c", Expect::Any, "one ")])).await.unwrap();
    store.commit(txn([put("a/b/c", Expect::Any, "two ")])).await.unwrap();
    store.commit(txn([delete("a/b/c", Expect::Any)])).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let event = watch.next().await.unwrap();
        seen.push((event.kind, event.revision, event.value.clone(), event.previous.clone()));
    }
    assert_eq!(
        seen,
        [
            (EventKind::Created, 2, "one 2".into(), None),
            (EventKind::Updated, 3, "two 3".into(), Some("one 2".into())),
            (EventKind::Deleted, 4, "last 4".into(), Some("two 3".into())),
        ]
    );
}

#[tokio::test]
async fn lists_page_through_a_prefix_in_key_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let keys = ["a/1", "a/2", "a/3", "b/1"];
    store.commit(txn(keys.map(|key| put(key, Expect::Any, "")))).await.unwrap();
    let page = |after, limit| {
        let list = store.list("a/", after, limit);
        (list.entries.iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>(), list.more)
    };
    assert_eq!(page(None, 2), (vec!["a/1".into(), "a/2".into()], true));
    assert_eq!(page(Some("a/2"), 2), (vec!["a/3".into()], false));
    assert_eq!(page(Some("a/1"), 2), (vec!["a/2".into(), "a/3".into()], false));
    assert_eq!(page(Some("0"), 0).0.len(), 3);
    assert_eq!(page(Some("z"), 0), (vec![], false));
    assert_eq!((store.count("a/", None), store.count("a/", Some("a/1")), store.count("c/", None)), (3, 2, 0));
}

#[tokio::test]
async fn a_second_opening_of_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let again = || Store::open(Config { dir: dir.path().into(), ..Config::default() });
    let refusal = again().unwrap_err();
    assert!(matches!(refusal, OpenError::Locked { .. }), "{refusal}");
    let clone = store.clone();
    store.close();
    let stopped = clone.commit(txn([put("x", Expect::Any, "")])).await;
    assert_eq!(stopped, Err(CommitError::Stopped("it was closed".into())));
    again().unwrap();
}

#[tokio::test]
async fn after_a_restart_older_revisions_are_expired_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    for _ in 0..5 {
        store.commit(txn([put("a/b/c", Expect::Any, "v")])).await.unwrap();
    }
    store.commit(txn([delete("a/b/c", Expect::Any)])).await.unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.revision(), 7);
    assert_eq!(store.watch("a/b/", 6).unwrap_err().oldest, 7);
    let mut watch = store.watch("a/b/", 7).unwrap();
    assert_eq!(store.commit(txn([put("a/b/c", Expect::Absent, "v")])).await, Ok(8));
    assert_eq!(watch.next().await.unwrap().revision, 8);
}

#[tokio::test]
async fn closing_ends_watches() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut watch = store.watch("a/b/", 1).unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(5), async { watch.next().await });
    let (ended, ()) = tokio::join!(waiting, async { store.close() });
    assert!(ended.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_watchers_each_see_every_write_of_many_writers_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let mut watchers = JoinSet::new();
    for _ in 0..1000 {
        let mut watch = store.watch("core/pods/", 1).unwrap();
        watchers.spawn(async move {
            let mut last = 1;
            for _ in 0..400 {
                let event = watch.next().await.unwrap();
                assert!(event.revision > last, "{} after {last}", event.revision);
                last = event.revision;
            }
            last
        });
    }
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for turn in 0..50 {
                store
                    .commit(txn([put(&format!("core/pods/{writer}/{turn}"), Expect::Absent, "")]))
                    .await
                    .unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(watchers.join_all().await, vec![401; 1000]);
}

#[tokio::test]
async fn a_slow_watcher_is_told_that_it_missed_events() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(Config { dir: dir.path().into(), window_events: 10, ..Config::default() }).unwrap();
    let mut watch = store.watch("a/b/", 1).unwrap();
    for _ in 0..20 {
        store.commit(txn([put("a/b/c", Expect::Any, "")])).await.unwrap();
    }
    let expired = watch.next().await.unwrap_err();
    assert_eq!((expired.requested, expired.oldest), (1, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_under_load_keep_every_write_and_bound_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { dir: dir.path().into(), checkpoint_bytes: 64 << 10, ..Config::default() };
    let store = Store::open(config.clone()).unwrap();
    let text: Arc<str> = "x".repeat(1000).into();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (store, text) = (store.clone(), text.clone());
        writers.spawn(async move {
            for turn in 0..400 {
                store
                    .commit(txn([put(&format!("k/{writer}/{}", turn % 10), Expect::Any, &text)]))
                    .await
                    .unwrap();
            }
        });
    }
    writers.join_all().await;
    let before = store.list("", None, 0);
    store.close();
    let size: u64 = dir.path().read_dir().unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 2_500_000, "{size} bytes for 80 KB of live data after 3.2 MB of writes");
    let store = Store::open(config).unwrap();
    assert_eq!(store.list("", None, 0), before);
    assert_eq!(store.revision(), 3201);
}

#[tokio::test]
async fn the_directory_is_closed_to_others_also_where_it_was_open() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(Config { dir: path.clone(), ..Config::default() }).unwrap().close();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}
