//! The store against a map in memory: any sequence of transactions and restarts ends in the same state.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;
use store::{CommitError, Config, EventKind, Expect, Op, Store, Template, Txn};

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Act>),
    Restart,
}

#[derive(Debug, Clone)]
struct Act {
    key: u8,
    expect: Wish,
    change: Option<Option<Vec<u8>>>,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Any,
    Absent,
    Present,
    Current,
    Stale,
}

type Model = BTreeMap<String, (Vec<u8>, u64)>;

fn act() -> impl Strategy<Value = Act> {
    let wish = prop_oneof![
        4 => Just(Wish::Any),
        1 => Just(Wish::Absent),
        1 => Just(Wish::Present),
        2 => Just(Wish::Current),
        1 => Just(Wish::Stale)
    ];
    let change = prop_oneof![
        3 => vec(any::<u8>(), 0..40).prop_map(|value| Some(Some(value))),
        1 => Just(Some(None)),
        1 => Just(None)
    ];
    (0..6_u8, wish, change).prop_map(|(key, expect, change)| Act { key, expect, change })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec(prop_oneof![12 => vec(act(), 1..4).prop_map(Step::Commit), 1 => Just(Step::Restart)], 1..60)
}

fn key(number: u8) -> String {
    format!("group/kind{}/space/{number}", number % 2)
}

fn op(act: &Act, model: &Model) -> Op {
    let key = key(act.key);
    let current = model.get(&key).map(|(_, revision)| *revision);
    let expect = match (act.expect, current) {
        (Wish::Any, _) => Expect::Any,
        (Wish::Absent, _) => Expect::Absent,
        (Wish::Present, _) => Expect::Present,
        (Wish::Current, Some(revision)) => Expect::At(revision),
        (Wish::Current, None) => Expect::Absent,
        (Wish::Stale, _) => Expect::At(current.unwrap_or(5) - 1),
    };
    match &act.change {
        Some(Some(value)) => Op::Put { key, expect, value: Template::new(value.clone(), b"!".to_vec()) },
        Some(None) => Op::Delete { key, expect, last: Template::default() },
        None => Op::Check { key, expect },
    }
}

/// What the transaction should do: the model after it and the events, or the conflict.
fn run(ops: &[Op], model: &Model, revision: u64) -> Result<(Model, Vec<(String, EventKind)>), CommitError> {
    let (mut after, mut events) = (model.clone(), Vec::new());
    for op in ops {
        let (Op::Put { key, expect, .. } | Op::Delete { key, expect, .. } | Op::Check { key, expect }) = op;
        let current = after.get(key).map(|(_, revision)| *revision);
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::Present => current.is_some(),
            Expect::At(at) => current == Some(*at),
        };
        if !holds {
            return Err(CommitError::Conflict { key: key.clone(), current });
        }
        match op {
            Op::Put { value, .. } => {
                let bytes = [&value.head[..], revision.to_string().as_bytes(), &value.tail[..]].concat();
                after.insert(key.clone(), (bytes, revision));
                let kind = if current.is_some() { EventKind::Updated } else { EventKind::Created };
                events.push((key.clone(), kind));
            }
            Op::Delete { .. } if current.is_some() => {
                after.remove(key);
                events.push((key.clone(), EventKind::Deleted));
            }
            Op::Delete { .. } | Op::Check { .. } => {}
        }
    }
    Ok((after, events))
}

fn content(store: &Store) -> Model {
    let entries = store.list("", None, 0).entries;
    entries.into_iter().map(|entry| (entry.key.to_string(), (entry.value.to_vec(), entry.revision))).collect()
}

async fn check(steps: Vec<Step>, checkpoint_bytes: u64) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { dir: dir.path().into(), checkpoint_bytes, ..Config::default() };
    let mut store = Store::open(config.clone()).unwrap();
    let (mut model, mut revision) = (Model::new(), 1);
    let mut watch = store.watch("", 1).unwrap();
    for step in steps {
        let Step::Commit(acts) = step else {
            store.close();
            store = Store::open(config.clone()).unwrap();
            watch = store.watch("", revision).unwrap();
            prop_assert_eq!(store.revision(), revision);
            prop_assert_eq!(&content(&store), &model);
            continue;
        };
        let ops: Vec<Op> = acts.iter().map(|act| op(act, &model)).collect();
        let expected = run(&ops, &model, revision + 1);
        let got = store.commit(Txn { ops }).await;
        let events = match expected {
            Err(conflict) => {
                prop_assert_eq!(got, Err(conflict));
                Vec::new()
            }
            Ok((after, events)) => {
                revision += u64::from(!events.is_empty());
                prop_assert_eq!(got, Ok(revision));
                model = after;
                events
            }
        };
        for (key, kind) in events {
            let event = watch.try_next().unwrap().expect("an event");
            prop_assert_eq!((&*event.key, event.kind, event.revision), (&*key, kind, revision));
        }
        prop_assert_eq!(watch.try_next(), Ok(None));
        prop_assert_eq!(watch.progress(), revision);
        prop_assert_eq!(&content(&store), &model);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_back_as_the_model_says(steps in steps(), small in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let checkpoint_bytes = if small { 200 } else { 64 << 20 };
        runtime.block_on(check(steps, checkpoint_bytes))?;
    }
}
