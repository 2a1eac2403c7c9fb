//! Clients read and write the same few objects while the agent is killed and started again; what they were told could
//! have been told by one server with one memory, and watches keep etcd's guarantees.
//!
//! Two kills by default; `HISTORY_KILLS=20 cargo test -p system --test history -- --nocapture` for longer, `HISTORY_SEED`
//! for the choices of an earlier run (the machine's timing stays its own).

#![allow(clippy::print_stdout, reason = "the report is for people")]

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use system::{
    Machine,
    history::{Answer, Call, Client, History, Watcher, Way, linearizable, watches_hold},
    storm::{Dice, client},
};
use tokio::task::JoinSet;

const CLIENTS: u64 = 6;

#[test]
fn histories_under_kill_9_are_linearizable_and_watches_keep_their_guarantees() {
    let kills = number("HISTORY_KILLS").unwrap_or(2);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = number("HISTORY_SEED").unwrap_or(now);
    println!("{kills} kills, seed {seed}");
    let machine = Machine::up();
    let history = History::default();
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(record(&machine, &history, kills, seed));
    let record = history.recorded();
    let started = Instant::now();

    let lost = record.calls.iter().filter(|call| call.answer == Answer::Lost).count();
    let refused = record.calls.iter().filter(|call| call.answer == Answer::Refused).count();
    let total = record.calls.len();
    let mut objects: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for call in record.calls.iter().cloned() {
        objects.entry(call.key.clone()).or_default().push(call);
    }
    for (key, calls) in &objects {
        linearizable(calls).unwrap_or_else(|wrong| panic!("seed {seed}: {key}: {wrong}"));
    }
    let (count, wrong) = watches_hold(&record);
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    println!(
        "{total} calls, {refused} refused, {lost} lost; {count:?}; checked in {:.1?}",
        started.elapsed()
    );
    assert!(total > 400 && refused > 20 && objects.len() == 4, "the history says too little");
    assert!(
        count.events > 200 && count.writes > 100 && count.bookmarks > 0,
        "the watches say too little: {count:?}"
    );
    assert!(count.resumed > 3 && count.lists > 3 && count.pairs > 3, "the watches say too little: {count:?}");
    machine.purge();
}

async fn record(machine: &Machine, history: &History, kills: u64, seed: u64) {
    let mut watchers = JoinSet::new();
    for (way, number) in [(Way::List, 100), (Way::List, 101), (Way::Stream, 102)] {
        let client = client(&machine.kubeconfig()).await;
        watchers.spawn(Watcher::new(history, client, way, Dice::new(seed, number)).run());
    }
    for round in 0..=kills {
        let (mut clients, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for number in 0..CLIENTS {
            let (client, name) = (client(&machine.kubeconfig()).await, format!("{round}-{number}"));
            let dice = Dice::new(seed, round * CLIENTS + number);
            clients.spawn(Client::new(history, client, &name, dice).run(Arc::clone(&stop)));
        }
        tokio::time::sleep(Dice::new(seed, 1000 + round).pause(1000, 1600)).await;
        if round < kills {
            tokio::task::block_in_place(|| machine.kill());
            tokio::time::timeout(Duration::from_secs(20), clients.join_all())
                .await
                .expect("all noticed the kill");
            tokio::task::block_in_place(|| machine.start().ok());
        } else {
            // The watchers see what was written last.
            stop.store(true, Ordering::Relaxed);
            clients.join_all().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
