//! Damage and faults: what was acknowledged is there, or the store says clearly that it is not.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use store::{CommitError, Config, Expect, Op, OpenError, Store, Template, Txn};

fn config(dir: &Path) -> Config {
    Config { dir: dir.into(), checkpoint_bytes: 256 << 10, ..Config::default() }
}

fn put(key: String, len: usize) -> Txn {
    Txn::one(Op::Put { key, expect: Expect::Any, value: Template::new("x".repeat(len), "") })
}

/// A store with `count` commits, closed; with its log's path.
fn written(dir: &Path, count: u64) -> PathBuf {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(config(dir)).unwrap();
        for number in 0..count {
            store.commit(put(format!("a/b/c/{number}"), 50)).await.unwrap();
        }
        store.close();
    });
    dir.join("log-0000000000000001")
}

/// The bytes of a log without the zeros written ahead of it.
fn log_bytes(log: &Path) -> Vec<u8> {
    let mut bytes = fs::read(log).unwrap();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_log_cut_anywhere_within_what_was_acknowledged_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 5);
    let bytes = log_bytes(&log);
    for len in (0..bytes.len()).step_by(7) {
        fs::write(&log, &bytes[..len]).unwrap();
        let before = files(dir.path());
        let refusal = Store::open(config(dir.path())).expect_err(&format!("cut at {len}"));
        assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
        assert_eq!(files(dir.path()), before, "a refusal changes nothing");
    }
    fs::write(&log, &bytes).unwrap();
    assert_eq!(Store::open(config(dir.path())).unwrap().revision(), 6);
}

#[test]
fn every_flipped_byte_of_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 3);
    let bytes = log_bytes(&log);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        fs::write(&log, &flipped).unwrap();
        let refusal = Store::open(config(dir.path())).expect_err(&format!("byte {at}"));
        assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
    }
}

#[test]
fn every_flipped_byte_of_a_snapshot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(Config { checkpoint_bytes: 1000, ..config(dir.path()) }).unwrap();
        for _ in 0..200 {
            store.commit(put("a/b/c/d".into(), 50)).await.unwrap();
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        store.close();
    });
    let snapshot =
        files(dir.path()).into_iter().find(|(path, _)| path.to_str().unwrap().contains("snapshot-"));
    let (path, bytes) = snapshot.expect("200 commits of 100 bytes make a snapshot");
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let refusal = Store::open(config(dir.path())).expect_err(&format!("byte {at}"));
        assert!(matches!(refusal, OpenError::Corrupt { .. }), "{refusal}");
    }
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        assert!(Store::open(config(dir.path())).is_err(), "cut at {len}");
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(Store::open(config(dir.path())).unwrap().revision(), 201);
}

/// After a power loss the mark may be older than the log: a torn write that nobody was told of is cut, at any byte.
#[test]
fn a_torn_tail_after_the_last_sync_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 3);
    let older = tempfile::tempdir().unwrap();
    copy(dir.path(), older.path());
    let kept = log_bytes(&log).len();
    written(dir.path(), 1);
    let bytes = log_bytes(&log);
    fs::copy(older.path().join("mark"), dir.path().join("mark")).unwrap();
    let mark = fs::read(older.path().join("mark")).unwrap();
    for len in kept..bytes.len() {
        let mut torn = bytes[..len].to_vec();
        // What a lost sector leaves: zeros where the write had not arrived yet.
        torn.resize(bytes.len() + 4096 * (len % 2), 0);
        fs::write(&log, torn).unwrap();
        fs::write(dir.path().join("mark"), &mark).unwrap();
        let store = Store::open(config(dir.path())).unwrap_or_else(|error| panic!("cut at {len}: {error}"));
        assert_eq!((store.revision(), store.list("", None, 0).entries.len()), (4, 3));
        drop(store);
        assert_eq!(Store::open(config(dir.path())).unwrap().revision(), 4);
    }
}

/// The same, but a whole record follows the broken one: that one was synced, so somebody may have been told.
#[test]
fn a_broken_record_before_a_whole_one_is_refused_even_if_the_mark_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 1);
    let mark = fs::read(dir.path().join("mark")).unwrap();
    let kept = log_bytes(&log).len();
    written(dir.path(), 3);
    let mut bytes = log_bytes(&log);
    bytes[kept + 30] ^= 1;
    fs::write(&log, bytes).unwrap();
    fs::write(dir.path().join("mark"), mark).unwrap();
    let refusal = Store::open(config(dir.path())).unwrap_err().to_string();
    assert!(refusal.contains("whole records follow"), "{refusal}");
}

#[test]
fn a_missing_file_is_refused_by_name() {
    for name in ["mark", "log-0000000000000001"] {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), 3);
        fs::remove_file(dir.path().join(name)).unwrap();
        let refusal = Store::open(config(dir.path())).unwrap_err().to_string();
        assert!(refusal.contains(name), "{refusal}");
    }
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 1);
    let mut bytes = fs::read(&log).unwrap();
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    fs::write(&log, bytes).unwrap();
    let refusal = Store::open(config(dir.path())).unwrap_err();
    assert!(matches!(refusal, OpenError::TooNew { found: 9, supported: 1, .. }), "{refusal}");
}

#[test]
fn a_format_from_before_all_that_are_read_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 1);
    let mut bytes = fs::read(&log).unwrap();
    bytes[8] = 0;
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    fs::write(&log, bytes).unwrap();
    let refusal = Store::open(config(dir.path())).unwrap_err();
    assert!(matches!(refusal, OpenError::TooOld { found: 0, oldest: 1, .. }), "{refusal}");
    assert!(refusal.to_string().contains("a version in between"), "{refusal}");
}

#[test]
fn a_start_killed_before_its_first_log_is_made_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = written(dir.path(), 0);
    fs::remove_file(log).unwrap();
    fs::write(dir.path().join("log-0000000000000001.tmp"), "half").unwrap();
    assert_eq!(Store::open(config(dir.path())).unwrap().revision(), 1);
}

// === children ===

/// Runs one of the `child_*` functions below in a process of its own.
fn child(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env("STORE_CHILD_DIR", dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The same, in a mount namespace of its own after `setup`. Needs root.
fn child_after(setup: &str, name: &str, dir: &Path) -> Vec<String> {
    let inner = child(name, dir);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &format!("{setup}; exec \"$0\" \"$@\"")]);
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("STORE_CHILD_DIR", dir)
        .stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os("STORE_CHILD_DIR").map(PathBuf::from)
}

/// Commits for ever from eight tasks; prints each key after it was acknowledged. Does nothing if run as a test.
#[test]
fn child_writes_for_ever() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(config(&dir)).unwrap();
        let start = store.revision();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let store = store.clone();
            tasks.spawn(async move {
                for number in 0.. {
                    let key = format!("a/b/{task}/{}", number % 50);
                    let revision = store.commit(put(key.clone(), 300 + number % 900)).await.unwrap();
                    println!("acked {key} {revision} {start}");
                }
            });
        }
        tasks.join_next().await;
    });
}

#[test]
fn every_acknowledged_write_survives_kill_9_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut highest = 1;
    for round in 0..12 {
        let mut process = child("child_writes_for_ever", dir.path()).process_group(0).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(60 + 37 * round));
        process.kill().unwrap();
        process.wait().unwrap();
        let mut newest = std::collections::HashMap::new();
        for line in reader.join().unwrap() {
            // The last line may be cut by the kill.
            let Some((key, revision)) = parse_ack(&line) else { continue };
            assert!(revision > highest, "revision {revision} was given out before, in an earlier life");
            let newest = newest.entry(key).or_insert(0);
            *newest = revision.max(*newest);
        }
        let store = Store::open(config(dir.path())).unwrap();
        for (key, revision) in &newest {
            let entry =
                store.get(key).unwrap_or_else(|| panic!("round {round}: {key} at {revision} is lost"));
            assert!(entry.revision >= *revision, "round {round}: {key} went back to {}", entry.revision);
        }
        assert!(store.revision() >= newest.values().copied().max().unwrap_or(0));
        assert!(store.revision() >= highest);
        highest = store.revision();
    }
    assert!(highest > 1000, "only {highest} writes: the test did not test much");
}

fn parse_ack(line: &str) -> Option<(String, u64)> {
    let mut words = line.strip_prefix("acked ")?.split(' ');
    let (key, revision, _whole) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    Some((key.to_owned(), revision))
}

/// Commits until the store stops; prints how far it came and why it stopped.
#[test]
fn child_fills_the_disk() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Config { dir: dir.join("store"), ..Config::default() }).unwrap();
        for number in 0.. {
            match store.commit(put(format!("a/b/c/{number}"), 4000)).await {
                Ok(_) => {}
                Err(CommitError::Stopped(reason)) => {
                    println!("stopped after {number}: {reason}");
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        let again = store.commit(put("later".into(), 1)).await;
        println!("again: {}", matches!(again, Err(CommitError::Stopped(_))));
        println!("reads: {}", store.list("", None, 0).entries.len());
        println!("failed: {}", store.failed().await);
        store.close();
        fs::remove_file(dir.join("ballast")).unwrap();
        let store = Store::open(Config { dir: dir.join("store"), ..Config::default() }).unwrap();
        println!("reopened: {}", store.list("", None, 0).entries.len());
        println!("writes: {}", store.commit(put("later".into(), 1)).await.is_ok());
    });
}

#[test]
fn a_full_disk_stops_writes_with_the_reason_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let setup = format!(
        "d={}; mount -t tmpfs -o size=6m none $d; head -c 3m /dev/zero > $d/ballast",
        dir.path().display()
    );
    let lines = child_after(&setup, "child_fills_the_disk", dir.path());
    let value = |name: &str| {
        let line = lines.iter().find_map(|line| line.split_once(name).map(|(_, value)| value.to_owned()));
        line.unwrap_or_else(|| panic!("{name} in {lines:?}"))
    };
    let stopped = value("stopped after ");
    let count: usize = stopped.split(':').next().unwrap().parse().unwrap();
    assert!(count > 100 && stopped.contains("No space left on device"), "{stopped}");
    assert_eq!(value("again: "), "true");
    assert_eq!(value("reads: "), count.to_string());
    assert!(value("failed: ").contains("make room"));
    // The write that failed was never acknowledged: it may be there or not.
    let reopened: usize = value("reopened: ").parse().unwrap();
    assert!(reopened == count || reopened == count + 1, "{reopened} of {count}");
    assert_eq!(value("writes: "), "true");
}

/// Opens the store and prints why it cannot.
#[test]
fn child_opens() {
    let Some(dir) = child_dir() else { return };
    println!("refused: {}", Store::open(config(&dir)).unwrap_err());
}

#[test]
fn a_read_only_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 1);
    let setup = format!("d={}; mount --bind $d $d; mount -o remount,bind,ro $d", dir.path().display());
    let lines = child_after(&setup, "child_opens", dir.path());
    let refusal = lines.iter().find(|line| line.contains("refused: ")).unwrap();
    assert!(refusal.contains(dir.path().to_str().unwrap()), "{refusal}");
    assert_eq!(Store::open(config(dir.path())).unwrap().revision(), 2);
}
