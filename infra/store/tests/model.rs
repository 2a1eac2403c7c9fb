//! The store against a map and a list in memory: any sequence of transactions and restarts ends in the same state, pages of
//! it are pages of the map, and a watch from any revision sees what the list of events says, or is told that it cannot.
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

/// The prefixes that are listed and watched.
const PREFIXES: [&str; 4] = ["", "group/kind0/", "group/kind1/space/", "group/kind1/space/1"];

/// An event as the model has it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    revision: u64,
    key: String,
    kind: EventKind,
    value: Vec<u8>,
    previous: Option<Vec<u8>>,
}

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
        Some(None) => Op::Delete { key, expect, last: Template::new("gone ", "") },
        None => Op::Check { key, expect },
    }
}

/// What the transaction should do: the model after it and the events, or the conflict.
fn run(ops: &[Op], model: &Model, revision: u64) -> Result<(Model, Vec<Seen>), CommitError> {
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
                let value = [&value.head[..], revision.to_string().as_bytes(), &value.tail[..]].concat();
                let previous = after.insert(key.clone(), (value.clone(), revision)).map(|(value, _)| value);
                let kind = if current.is_some() { EventKind::Updated } else { EventKind::Created };
                events.push(Seen { revision, key: key.clone(), kind, value, previous });
            }
            Op::Delete { .. } if current.is_some() => {
                let previous = after.remove(key).map(|(value, _)| value);
                let (kind, value) = (EventKind::Deleted, format!("gone {revision}").into_bytes());
                events.push(Seen { revision, key: key.clone(), kind, value, previous });
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

/// Every prefix in pages of every small size, and every key alone.
fn check_reads(store: &Store, model: &Model, revision: u64) -> Result<(), TestCaseError> {
    for number in 0..6 {
        let key = key(number);
        let got = store.get(&key).map(|entry| (entry.value.to_vec(), entry.revision));
        prop_assert_eq!(got.as_ref(), model.get(&key));
    }
    for prefix in PREFIXES {
        let wanted: Vec<&String> = model.keys().filter(|key| key.starts_with(prefix)).collect();
        prop_assert_eq!(store.count(prefix, None), wanted.len());
        for limit in 0..3 {
            let (mut got, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = store.list(prefix, after.as_deref(), limit);
                prop_assert_eq!(page.revision, revision);
                prop_assert!(limit == 0 || page.entries.len() <= limit);
                got.extend(page.entries.iter().map(|entry| entry.key.to_string()));
                prop_assert_eq!(
                    store.count(prefix, got.last().map(String::as_str)),
                    wanted.len() - got.len()
                );
                if !page.more {
                    break;
                }
                after = got.last().cloned();
            }
            prop_assert_eq!(got.iter().collect::<Vec<_>>(), wanted.clone());
        }
    }
    Ok(())
}

/// A watch of each prefix from each revision: all events after it, in order, once; or word that some are no longer held, and then
/// the revision that it names can be watched from.
fn check_watches(store: &Store, log: &[Seen], opened: u64, revision: u64) -> Result<(), TestCaseError> {
    for prefix in PREFIXES {
        for after in opened.saturating_sub(1)..=revision {
            let mut watch = match store.watch(prefix, after) {
                Ok(watch) => watch,
                Err(expired) => {
                    prop_assert!(
                        after < expired.oldest && expired.oldest <= revision,
                        "{expired}, at {revision}"
                    );
                    prop_assert!(store.watch(prefix, expired.oldest).is_ok());
                    continue;
                }
            };
            prop_assert!(after >= opened, "events from before the opening cannot be known");
            let wanted = log.iter().filter(|seen| seen.revision > after && seen.key.starts_with(prefix));
            for wanted in wanted {
                let event = watch.try_next().expect("it was not expired").expect("an event");
                let got = Seen {
                    revision: event.revision,
                    key: event.key.to_string(),
                    kind: event.kind,
                    value: event.value.to_vec(),
                    previous: event.previous.as_ref().map(|value| value.to_vec()),
                };
                prop_assert_eq!(&got, wanted);
            }
            prop_assert_eq!(watch.try_next(), Ok(None));
        }
    }
    Ok(())
}

async fn check(steps: Vec<Step>, checkpoint_bytes: u64, window_events: usize) -> Result<(), TestCaseError> {
    // In memory where that can be had: no power is lost here, and thousands of syncs would be.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let config = Config { dir: dir.path().into(), checkpoint_bytes, window_events, ..Config::default() };
    let mut store = Store::open(config.clone()).unwrap();
    let (mut model, mut revision, mut opened, mut log) = (Model::new(), 1, 1, Vec::new());
    let mut watch = store.watch("", 1).unwrap();
    for step in steps {
        let Step::Commit(acts) = step else {
            check_watches(&store, &log, opened, revision)?;
            store.close();
            store = Store::open(config.clone()).unwrap();
            watch = store.watch("", revision).unwrap();
            opened = revision;
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
        for wanted in &events {
            let event = watch.try_next().unwrap().expect("an event");
            prop_assert_eq!((&*event.key, event.kind, event.revision), (&*wanted.key, wanted.kind, revision));
        }
        log.extend(events);
        prop_assert_eq!(watch.try_next(), Ok(None));
        prop_assert_eq!(watch.progress(), revision);
        prop_assert_eq!(&content(&store), &model);
    }
    check_reads(&store, &model, revision)?;
    check_watches(&store, &log, opened, revision)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_back_as_the_model_says(
        steps in steps(),
        small in any::<bool>(),
        window in prop_oneof![Just(5_usize), Just(5000)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let checkpoint_bytes = if small { 200 } else { 64 << 20 };
        runtime.block_on(check(steps, checkpoint_bytes, window))?;
    }
}
