//! What a backup takes from a store, and the store that is made of it.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use store::{Config, Expect, Expired, Frozen, Op, OpenError, REVISION_GAP, Store, Template, Txn};
use tokio::task::JoinSet;

fn put(key: String, len: usize) -> Op {
    Op::Put { key, expect: Expect::Any, value: Template::new("x".repeat(len), "") }
}

fn delete(key: String) -> Op {
    Op::Delete { key, expect: Expect::Any, last: Template::default() }
}

fn config(dir: &Path, checkpoint_bytes: u64) -> Config {
    Config { dir: dir.into(), checkpoint_bytes, ..Config::default() }
}

fn bytes(frozen: &Frozen) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = frozen.write_to(&mut bytes).unwrap();
    assert_eq!(size, bytes.len() as u64);
    bytes
}

/// Keys with the revisions of their values, of the store that a frozen state makes.
fn planted(frozen: &Frozen) -> BTreeMap<String, u64> {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(frozen.plant(dir.path(), 0).unwrap(), frozen.revision());
    let store = Store::open(config(dir.path(), 64 << 20)).unwrap();
    assert_eq!(store.revision(), frozen.revision());
    let list = store.list("", None, 0);
    list.entries.into_iter().map(|entry| (entry.key.to_string(), entry.revision)).collect()
}

/// A commit that was acknowledged: its revision, its key, and whether it deleted it.
type History = Arc<Mutex<Vec<(u64, String, bool)>>>;

async fn write_until(store: Store, task: usize, history: History, stop: Arc<AtomicBool>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("a/b/{task}/{}", number % 40);
        let gone = number % 7 == 3;
        let (pair, len) = (format!("pair/of/{key}"), 200 + number % 2000);
        let ops = if gone { vec![delete(key.clone())] } else { vec![put(key.clone(), len), put(pair, len)] };
        let revision = store.commit(Txn { ops }).await.unwrap();
        history.lock().push((revision, key, gone));
    }
}

/// Writers never pause, and checkpoints replace the files all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reading_of_a_busy_store_is_a_state_that_it_was_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path(), 64 << 10)).unwrap();
    let (history, stop) = (History::default(), Arc::new(AtomicBool::new(false)));
    let mut writers = JoinSet::new();
    for task in 0..8 {
        writers.spawn(write_until(store.clone(), task, history.clone(), stop.clone()));
    }
    let mut seen = Vec::new();
    // Until some checkpoints have replaced the files, however slow the machine is.
    while seen.len() < 12 || (newest_snapshot(dir.path()) < 3 && seen.len() < 500) {
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        let acknowledged = history.lock().iter().map(|commit| commit.0).max().unwrap_or(1);
        let path = dir.path().to_owned();
        let read = tokio::task::spawn_blocking(move || Frozen::read(&path)).await.unwrap();
        seen.push((acknowledged, read.unwrap()));
    }
    stop.store(true, Ordering::Relaxed);
    while writers.join_next().await.is_some() {}
    let mut history = history.lock().clone();
    history.sort_unstable();
    for (acknowledged, frozen) in &seen {
        assert!(frozen.revision() >= *acknowledged, "{} is older than {acknowledged}", frozen.revision());
        let mut expected = BTreeMap::new();
        for (revision, key, gone) in history.iter().filter(|commit| commit.0 <= frozen.revision()) {
            let pair = format!("pair/of/{key}");
            if *gone {
                expected.remove(key);
            } else {
                expected.extend([(key.clone(), *revision), (pair, *revision)]);
            }
        }
        assert_eq!(planted(frozen), expected, "at revision {}", frozen.revision());
    }
    assert!(newest_snapshot(dir.path()) >= 3, "checkpoints were made meanwhile");
}

/// The generation of the newest snapshot; 0: there is none.
fn newest_snapshot(dir: &Path) -> u64 {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let generations = names.filter_map(|name| u64::from_str_radix(name.strip_prefix("snapshot-")?, 16).ok());
    generations.max().unwrap_or(0)
}

async fn small(dir: &Path) -> Store {
    let store = Store::open(config(dir, 64 << 20)).unwrap();
    for number in 0..5 {
        store.commit(Txn::one(put(format!("a/b/c/{number}"), 50))).await.unwrap();
    }
    store.commit(Txn::one(delete("a/b/c/3".into()))).await.unwrap();
    store
}

#[tokio::test]
async fn a_restored_store_goes_on_far_above_and_knows_no_event_from_before() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = small(dir.path()).await;
    let frozen = Frozen::read(dir.path()).unwrap();
    assert_eq!((frozen.revision(), frozen.entries()), (7, 4));
    // What clients see after the backup is not in it: its revisions must not come again with another meaning.
    let later = store.commit(Txn::one(put("a/b/c/later".into(), 1))).await.unwrap();
    let frozen = Frozen::parse(&bytes(&frozen)[..], Path::new("backup")).unwrap();
    let begins = frozen.plant(&other.path().join("store"), REVISION_GAP).unwrap();
    let restored = Store::open(config(&other.path().join("store"), 64 << 20)).unwrap();
    assert_eq!((begins, restored.revision()), (7 + REVISION_GAP, 7 + REVISION_GAP));
    let kept: Vec<_> = restored.list("", None, 0).entries;
    assert_eq!(
        kept,
        store.list("", None, 0).entries.into_iter().filter(|e| e.revision < later).collect::<Vec<_>>()
    );
    for old in [7, later, later + 1000] {
        let expired = restored.watch("a/b/", old).err();
        assert_eq!(expired, Some(Expired { requested: old, oldest: 7 + REVISION_GAP }));
    }
    let mut watch = restored.watch("a/b/", begins).unwrap();
    assert_eq!(restored.commit(Txn::one(put("a/b/c/new".into(), 1))).await, Ok(begins + 1));
    assert_eq!(watch.next().await.unwrap().revision, begins + 1);
    restored.close();
    assert_eq!(Store::open(config(&other.path().join("store"), 64 << 20)).unwrap().revision(), begins + 1);
}

#[tokio::test]
async fn a_backup_with_one_byte_changed_or_cut_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path()).await.close();
    let whole = bytes(&Frozen::read(dir.path()).unwrap());
    let parse = |bytes: &[u8]| Frozen::parse(bytes, Path::new("box.backup"));
    assert!(parse(&whole).is_ok());
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let refusal = parse(&flipped).expect_err(&format!("byte {at}")).to_string();
        assert!(refusal.contains("box.backup"), "{refusal}");
        assert!(matches!(parse(&whole[..at]), Err(OpenError::Corrupt { .. })), "cut at {at}");
    }
}

#[tokio::test]
async fn a_damaged_store_is_not_backed_up_and_a_full_directory_not_filled() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path()).await.close();
    let refusal = Frozen::read(dir.path()).unwrap().plant(dir.path(), 1).unwrap_err().to_string();
    assert!(refusal.contains("make a store in"), "{refusal}");
    let log = dir.path().join("log-0000000000000001");
    let mut bytes = fs::read(&log).unwrap();
    bytes[100] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let refusal = Frozen::read(dir.path()).unwrap_err();
    assert!(matches!(&refusal, OpenError::Corrupt { file, .. } if *file == log), "{refusal}");
    assert_eq!(fs::read(&log).unwrap(), bytes, "nothing was changed");
    let missing = Frozen::read(&dir.path().join("nothing")).unwrap_err().to_string();
    assert!(missing.contains("mark"), "{missing}");
}
