//! A store of an older format: read, written in the newest, and upgraded by a checkpoint. The older format is one that only
//! tests know (`frame::tests::OLDER`): as long as there is none, nothing else can show that the way works.

use super::*;
use crate::{Config, Expect, Frozen, Op, Store, Template, Txn, frame::Builder, index::Change};
use std::{fs, time::Duration};

const OLDER: u32 = 0;

fn change(key: &str, revision: u64) -> Change {
    Change { key: key.into(), revision, value: Some(key.to_owned().into()) }
}

/// A file of the older format, whose items stand in the opposite order.
fn older(kind: Kind, revision: u64, frames: &[&[Change]], end: Option<u64>) -> Vec<u8> {
    let header = FileHeader { format: OLDER, kind, generation: 1, revision, salt: 5 };
    let mut bytes = header.encode().to_vec();
    for (at, changes) in frames.iter().enumerate() {
        let mut frame = Builder::default();
        frame.clear();
        if let Some(entries) = end.filter(|_| at + 1 == frames.len()) {
            frame.push_end(entries);
        }
        changes.iter().rev().for_each(|change| frame.push(change));
        let first = if kind == Kind::Log { changes[0].revision } else { 0 };
        bytes.extend_from_slice(frame.seal(header.salt, first));
    }
    bytes
}

/// A store at revision 12 as an older version left it.
fn make_older(dir: &Path) {
    let snapshot = older(Kind::Snapshot, 10, &[&[change("a/b/1", 3), change("a/b/2", 10)]], Some(2));
    fs::write(files::snapshot_path(dir, 1), snapshot).unwrap();
    let log = older(Kind::Log, 0, &[&[change("a/b/1", 11), change("a/b/3", 12)]], None);
    fs::write(files::log_path(dir, 1), log).unwrap();
    Mark::create(dir, 12).unwrap();
}

fn keys(store: &Store) -> Vec<(String, u64)> {
    let list = store.list("", None, 0);
    list.entries.into_iter().map(|entry| (entry.key.to_string(), entry.revision)).collect()
}

fn expected() -> Vec<(String, u64)> {
    [("a/b/1", 11), ("a/b/2", 10), ("a/b/3", 12)].map(|(key, revision)| (key.to_owned(), revision)).into()
}

fn open(dir: &Path) -> Store {
    Store::open(Config { dir: dir.into(), ..Config::default() }).unwrap()
}

/// The formats of all files. A checkpoint may remove one that was just listed, or have one open that has no header yet.
fn formats(dir: &Path) -> Vec<u32> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let ours = files.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("log-") || name.starts_with("snapshot-")
    });
    let read = ours.filter_map(|path| match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        bytes => Some(bytes.unwrap()),
    });
    read.filter(|bytes| bytes.len() >= frame::FILE_HEADER).map(|bytes| frame::u32_at(&bytes, 8)).collect()
}

#[tokio::test]
async fn a_store_of_an_older_format_is_upgraded_while_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    make_older(dir.path());
    let store = open(dir.path());
    assert_eq!((store.revision(), keys(&store)), (12, expected()));
    let value = Template::new("new", "");
    let put = Txn::one(Op::Put { key: "a/b/4".into(), expect: Expect::Absent, value });
    assert_eq!(store.commit(put).await, Ok(13));
    let mut tries = 0;
    while formats(dir.path()).contains(&OLDER) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        tries += 1;
        assert!(tries < 500, "{:?}", formats(dir.path()));
    }
    store.close();
    let kept = [expected(), vec![("a/b/4".to_owned(), 13)]].concat();
    assert_eq!(keys(&open(dir.path())), kept);
    assert_eq!(Frozen::read(dir.path()).unwrap().revision(), 13);
}

/// Killed after the upgrade began and before its checkpoint was made: both formats lie side by side.
#[tokio::test]
async fn an_upgrade_that_was_cut_short_goes_on_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    make_older(dir.path());
    let recovered = super::open(dir.path()).unwrap();
    assert!(recovered.outdated && recovered.log.generation == 2);
    drop(recovered);
    assert_eq!(formats(dir.path()).iter().filter(|format| **format == OLDER).count(), 2);
    let recovered = super::open(dir.path()).unwrap();
    assert!(recovered.outdated, "still");
    assert_eq!(recovered.index.revision(), 12);
    drop(recovered);
    assert_eq!(keys(&open(dir.path())), expected());
}

#[test]
fn a_backup_of_an_older_format_is_restored_in_the_newest() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let snapshot = older(Kind::Snapshot, 10, &[&[change("a/b/1", 3), change("a/b/2", 10)]], Some(2));
    let frozen = Frozen::parse(&snapshot[..], Path::new("old")).unwrap();
    frozen.plant(other.path(), 0).unwrap();
    assert_eq!(formats(other.path()), [frame::FORMAT; 2]);
    make_older(dir.path());
    assert_eq!(Frozen::read(dir.path()).unwrap().entries(), 3);
    assert_eq!(formats(dir.path()), [OLDER; 2], "a backup upgrades nothing");
}
