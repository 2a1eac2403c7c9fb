//! What a power loss or a kill leaves at any moment opens to a state that holds every acknowledged commit whole.

use super::{
    model::{Disk, Fate},
    recording::{Operation, Recording},
};
use crate::{Config, Expect, Op, OpenError, Store, Template, Txn, recovery};
use std::{collections::BTreeMap, fmt::Write as _, ops::RangeInclusive, path::Path, time::Duration};

mod damage;

/// Keys to values and the revisions that wrote them.
type State = BTreeMap<String, (Vec<u8>, u64)>;
/// The state at each revision.
type History = BTreeMap<u64, State>;

fn put(key: &str, number: u64) -> Op {
    // Longer than a sector, so that a write can tear within a value; of changing length, so that frames lie differently.
    let text = format!("{number},").repeat(100 + usize::try_from(number * 37 % 90).unwrap());
    Op::Put { key: format!("a/b/{key}"), expect: Expect::Any, value: Template::new(text, "") }
}

/// A turn of the workload: transactions that are asked for at the same time.
fn turn(number: u64) -> Vec<Txn> {
    let first =
        Txn { ops: vec![put("x", number), put(["y", "z"][usize::from(number.is_multiple_of(2))], number)] };
    let delete = Op::Delete { key: "a/b/y".into(), expect: Expect::Any, last: Template::default() };
    match number % 5 {
        0 => vec![first, Txn::one(put("w", number)), Txn { ops: vec![delete, put("x", number + 1)] }],
        _ => vec![first],
    }
}

fn config(dir: &Path) -> Config {
    Config { dir: dir.into(), checkpoint_bytes: 6000, ..Config::default() }
}

/// Opens the store, commits `turns` and more until there were two checkpoints, closes it; notes what was asked for and what was acknowledged.
fn live(dir: &Path, recording: &Recording, history: &mut History, turns: RangeInclusive<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(config(dir)).unwrap();
        let start = store.revision();
        recording.push(Operation::Acknowledged(start));
        let mut state = history.get(&start).cloned().unwrap_or_default();
        history.retain(|revision, _| *revision <= start);
        history.insert(start, state.clone());
        let mut watch = store.watch("", start).unwrap();
        let wanted = if *turns.start() == 0 { 2 } else { 0 };
        for number in *turns.start().. {
            if number > *turns.end() {
                if snapshots(&recording.operations()) >= wanted {
                    break;
                }
                // The machine is busy, and the thread that makes them has not come to it.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let transactions = turn(number);
            recording.push(Operation::Asked(store.revision() + transactions.len() as u64));
            let answers = transactions.into_iter().map(|txn| store.commit(txn));
            for answer in futures_join(answers).await {
                recording.push(Operation::Acknowledged(answer.unwrap()));
            }
            while let Some(event) = watch.try_next().unwrap() {
                let key = event.key.to_string();
                match event.kind {
                    crate::EventKind::Deleted => state.remove(&key),
                    _ => state.insert(key, (event.value.to_vec(), event.revision)),
                };
                history.insert(event.revision, state.clone());
            }
            if number == 11 {
                // The store rests: it syncs its mark and writes zeros ahead.
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }
        store.close();
    });
}

/// Runs futures at the same time; gives their results in order.
async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, result) in &mut waiting {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        match waiting.iter().all(|(_, result)| result.is_some()) {
            true => std::task::Poll::Ready(waiting.drain(..).filter_map(|(_, result)| result).collect()),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

/// In memory where that can be had: what is durable is for the model to say, and a real disk would only be slow.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A recorded life in a directory of its own.
struct Life {
    operations: Vec<Operation>,
    history: History,
}

impl Life {
    fn new(turns: u64) -> Self {
        let dir = directory();
        let recording = Recording::start(dir.path());
        let mut history = History::new();
        live(dir.path(), &recording, &mut history, 0..=turns);
        let operations = recording.operations();
        Self { operations, history }
    }
}

fn snapshots(operations: &[Operation]) -> usize {
    let is = |operation: &&Operation| matches!(operation, Operation::Rename(_, to) if to.to_str().unwrap().contains("snapshot-"));
    operations.iter().filter(is).count()
}

fn changes_names(operation: &Operation) -> bool {
    use Operation::{Create, Remove, Rename, SyncDir};
    matches!(operation, Create(..) | Remove(_) | Rename(..) | SyncDir)
}

/// What callers know: acknowledged and asked for.
#[derive(Debug, Clone, Copy)]
struct Known {
    acknowledged: u64,
    asked: u64,
}

impl Known {
    const NOTHING: Self = Self { acknowledged: 1, asked: 1 };

    fn learn(&mut self, operation: &Operation) {
        match operation {
            Operation::Acknowledged(revision) => self.acknowledged = self.acknowledged.max(*revision),
            Operation::Asked(revision) => self.asked = self.asked.max(*revision),
            _ => {}
        }
    }
}

/// Opens the directory; the revision and state found.
fn open(dir: &Path) -> Result<(u64, State), OpenError> {
    let index = recovery::open(dir)?.index;
    let entries = index.list("", None, 0).entries;
    let state =
        entries.into_iter().map(|entry| (entry.key.to_string(), (entry.value.to_vec(), entry.revision)));
    Ok((index.revision(), state.collect()))
}

/// A power loss alone is never a reason to refuse, and costs nothing that was acknowledged.
fn check(dir: &Path, history: &History, known: Known, moment: &str) -> u64 {
    let (revision, state) = open(dir).unwrap_or_else(|error| panic!("{moment}: {error}"));
    assert!(
        (known.acknowledged..=known.asked.max(known.acknowledged)).contains(&revision),
        "{moment}: at revision {revision}, {known:?}"
    );
    assert!(state == history[&revision], "{moment}: the state is not that of revision {revision}");
    revision
}

fn fates(seed: usize) -> [Fate; 4] {
    let seed = seed as u64;
    [Fate::All, Fate::None, Fate::Coin(seed), Fate::Coin(seed + 1_000_000)]
}

fn describe(operations: &[Operation], at: usize, fate: Fate) -> String {
    let mut text = format!("{fate:?} after operation {at}");
    for operation in operations[..at].iter().rev().take(3) {
        let shown = match operation {
            Operation::Write(file, place, bytes) => format!("Write({file}, {place}, {} bytes)", bytes.len()),
            other => format!("{other:?}"),
        };
        write!(text, " < {shown}").unwrap();
    }
    text
}

#[test]
fn a_power_loss_at_any_moment_keeps_what_was_acknowledged() {
    let life = Life::new(40);
    let after = directory();
    let (mut disk, mut known) = (Disk::default(), Known::NOTHING);
    for at in 0..=life.operations.len() {
        for fate in fates(at) {
            let left = disk.after_power_loss(fate);
            left.write_to(after.path());
            check(after.path(), &life.history, known, &describe(&life.operations, at, fate));
        }
        if let Some(operation) = life.operations.get(at) {
            disk.run(operation);
            known.learn(operation);
        }
    }
}

/// The power fails again while the store repairs what the first failure left.
#[test]
fn a_power_loss_within_the_opening_after_a_power_loss_changes_nothing() {
    let life = Life::new(20);
    let (mut disk, mut known) = (Disk::default(), Known::NOTHING);
    for (at, operation) in life.operations.iter().enumerate() {
        disk.run(operation);
        known.learn(operation);
        let moment = describe(&life.operations, at + 1, Fate::Coin(at as u64));
        let dir = directory();
        let left = disk.after_power_loss(Fate::Coin(at as u64)).moved_to(dir.path());
        left.write_to(dir.path());
        let recording = Recording::start(dir.path());
        let revision = check(dir.path(), &life.history, known, &moment);
        let repair = recording.operations();
        let again = directory();
        let mut disk = left;
        for (step, operation) in repair.iter().enumerate() {
            disk.run(operation);
            disk.after_power_loss(Fate::Coin((at + step) as u64)).write_to(again.path());
            let moment = format!("{moment}; {}", describe(&repair, step + 1, Fate::Coin((at + step) as u64)));
            let found = check(again.path(), &life.history, known, &moment);
            // Once opened, what was read at that revision may have been shown.
            assert!(
                step + 1 < repair.len() || found == revision,
                "{moment}: {found}, and {revision} was shown"
            );
        }
    }
}

/// The process is killed, so nothing is lost; another one goes on; only then the power fails. What the first process had not
/// synced is not synced by itself.
#[test]
fn a_power_loss_in_the_life_after_a_kill_keeps_what_was_acknowledged() {
    let life = Life::new(25);
    let mut disk = Disk::default();
    for (at, operation) in life.operations.iter().enumerate() {
        disk.run(operation);
        if !changes_names(operation) && at % 9 > 0 {
            continue;
        }
        let moment = describe(&life.operations, at + 1, Fate::All);
        let (dir, again) = (directory(), directory());
        let mut disk = disk.clone().moved_to(dir.path());
        disk.write_to(dir.path());
        let recording = Recording::start(dir.path());
        let mut history = life.history.clone();
        live(dir.path(), &recording, &mut history, 1000..=1001);
        let operations = recording.operations();
        let mut known = Known::NOTHING;
        for (step, operation) in operations.iter().enumerate() {
            disk.run(operation);
            known.learn(operation);
            if !matches!(operation, Operation::Acknowledged(_)) {
                continue;
            }
            for fate in [Fate::None, Fate::Coin((at + step) as u64)] {
                disk.after_power_loss(fate).write_to(again.path());
                let moment = format!("killed: {moment}; then {}", describe(&operations, step + 1, fate));
                check(again.path(), &history, known, &moment);
            }
        }
    }
}

/// Otherwise a power loss soon after the first start could take the whole store, and the next start would begin an empty one.
#[test]
fn the_names_of_the_directory_and_of_those_made_for_it_are_durable() {
    let top = directory();
    let middle = top.path().join("middle");
    let recordings = [Recording::start(top.path()), Recording::start(&middle)];
    Store::open(config(&middle.join("store"))).unwrap().close();
    for recording in recordings {
        assert!(matches!(recording.operations()[..], [Operation::SyncDir, ..]), "{recording:?}");
    }
}
