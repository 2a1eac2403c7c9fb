//! Measures the store beside what it could be built on, in one run, on one file system.
//!
//! `cargo run --release -p store --example bench -- [directory] [seconds]`
//!
//! - floor: one thread appends batches to a file and syncs each, nothing else;
//! - store: 64 tasks commit 4 KiB values, one write in flight each;
//! - sqlite: the same 64 tasks through a writer thread with a group commit into a key-value table (WAL,
//!   synchronous=FULL, checkpoints by another connection).
#![allow(clippy::print_stdout, reason = "a program for people")]

use bytes::Bytes;
use std::{
    fs::{self, File},
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use store::{Config, Expect, Op, Store, Template, Txn};
use tokio::{sync::mpsc, sync::oneshot, task::JoinSet};

const WRITERS: usize = 64;
const VALUE: usize = 4096;
const KEYS_EACH: usize = 312; // about 20,000 live keys

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let base = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    let seconds = args.next().map_or(Ok(5), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    let dir = base.join(format!("store-bench-{}", std::process::id()));
    let result = run(&dir, time);
    let _ = fs::remove_dir_all(&dir);
    result
}

fn run(dir: &Path, time: Duration) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    println!("{WRITERS} writers, {VALUE} byte values, {time:?} each; latencies are of one write");
    floor(dir, time, 1)?;
    floor(dir, time, 16)?;
    floor(dir, time, WRITERS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(store(&dir.join("store"), time))?;
    floor(dir, time, 16)?;
    runtime.block_on(sqlite(&dir.join("sqlite"), time))
}

/// Appends `batch` values and syncs, again and again.
fn floor(dir: &Path, time: Duration, batch: usize) -> Result<(), Failure> {
    let path = dir.join("floor");
    let mut file = File::create(&path)?;
    let bytes = vec![7; VALUE * batch];
    let (start, mut latencies) = (Instant::now(), Vec::new());
    while start.elapsed() < time.min(Duration::from_secs(2)) {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
    }
    report(&format!("floor, {batch} at once"), batch, start.elapsed(), latencies);
    fs::remove_file(path)?;
    Ok(())
}

async fn store(dir: &Path, time: Duration) -> Result<(), Failure> {
    let store = Store::open(Config { dir: dir.into(), ..Config::default() })?;
    let value = Template::new(vec![7; VALUE - 8], Bytes::new());
    let write = {
        let store = store.clone();
        move |key: String| {
            let (store, value) = (store.clone(), value.clone());
            async move { store.commit(Txn::one(Op::Put { key, expect: Expect::Any, value })).await.map(drop) }
        }
    };
    load("store", time, write).await?;
    let (begun, revision) = (Instant::now(), store.revision());
    store.close();
    let closed = begun.elapsed();
    let begun = Instant::now();
    let store = Store::open(Config { dir: dir.into(), ..Config::default() })?;
    assert_eq!(store.revision(), revision, "the revision after a restart");
    println!("  close {closed:?}, open again {:?} with {} keys", begun.elapsed(), store.count("", None));
    store.close();
    Ok(())
}

/// Runs the writers, each with one write in flight.
async fn load<F, W, E>(name: &str, time: Duration, write: F) -> Result<(), Failure>
where
    F: Fn(String) -> W,
    W: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<Failure>,
    F: Clone + Send + Sync + 'static,
{
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for writer in 0..WRITERS {
        let write = write.clone();
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for turn in 0.. {
                if start.elapsed() > time {
                    break;
                }
                let begun = Instant::now();
                let key = format!("core/pods/space-{writer}/name-{}", turn % KEYS_EACH);
                write(key).await.map_err(Into::into)?;
                latencies.push(begun.elapsed());
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    report(name, 1, start.elapsed(), latencies);
    Ok(())
}

fn report(name: &str, each: usize, took: Duration, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 1000].as_secs_f64() * 1e3;
    let rate = (latencies.len() * each) as f64 / took.as_secs_f64();
    let (p50, p99, p999, max) = (at(500), at(990), at(999), at(1000));
    println!(
        "{name:<22} {rate:>9.0} writes/s   p50 {p50:>6.2} ms   p99 {p99:>6.2} ms   p99.9 {p999:>6.2} ms   max {max:>6.2} ms"
    );
}

type Row = (String, Vec<u8>, oneshot::Sender<()>);

async fn sqlite(dir: &Path, time: Duration) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    let path = dir.join("db");
    let writer = rusqlite::Connection::open(&path)?;
    writer.execute_batch(
        "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE kv (key TEXT PRIMARY KEY, revision INTEGER, value BLOB) WITHOUT ROWID;",
    )?;
    let (send, receive) = mpsc::channel(4096);
    let done = Arc::new(AtomicBool::new(false));
    let commits = std::thread::spawn(move || sqlite_writer(writer, receive));
    let checkpoints = {
        let (path, done) = (path.clone(), done.clone());
        std::thread::spawn(move || sqlite_checkpoints(&path, &done))
    };
    let write = move |key: String| {
        let send = send.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            send.send((key, vec![7; VALUE], reply)).await?;
            Ok::<(), Failure>(answer.await?)
        }
    };
    load("sqlite", time, write).await?;
    done.store(true, Ordering::Relaxed);
    commits.join().expect("the writer ran")?;
    checkpoints.join().expect("the checkpointer ran")?;
    Ok(())
}

fn sqlite_writer(
    mut connection: rusqlite::Connection,
    mut rows: mpsc::Receiver<Row>,
) -> rusqlite::Result<()> {
    let mut revision = 0_i64;
    while let Some(first) = rows.blocking_recv() {
        let mut replies = Vec::new();
        let transaction = connection.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO kv VALUES (?1, ?2, ?3)")?;
            let mut next = Some(first);
            while let Some((key, value, reply)) = next {
                revision += 1;
                put.execute((key, revision, value))?;
                replies.push(reply);
                next = rows.try_recv().ok();
            }
        }
        transaction.commit()?;
        for reply in replies {
            let _ = reply.send(());
        }
    }
    Ok(())
}

fn sqlite_checkpoints(path: &Path, done: &AtomicBool) -> rusqlite::Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    }
    Ok(())
}
