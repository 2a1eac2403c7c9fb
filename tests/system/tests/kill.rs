//! `kill -9` of the agent at random moments under load: nothing acknowledged is lost, nothing unowned is left.
//!
//! 20 rounds by default. The full run, which also demands that each phase of create, exec, suspend and delete is hit at
//! least five times, is `KILL_ROUNDS=100 cargo test -p system --test kill -- --nocapture`; `KILL_SEED` repeats the choices
//! of an earlier run, which prints its seed first.

#![allow(clippy::print_stdout, reason = "the report is for people")]

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use system::{
    Machine,
    storm::{PHASES, Storm},
};

/// From how many rounds on each phase must have been hit, and how often.
const FULL: u64 = 100;
const LEAST: u32 = 5;

#[test]
fn an_agent_that_is_killed_again_and_again_loses_nothing_and_leaves_nothing() {
    let rounds = number("KILL_ROUNDS").unwrap_or(20);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = number("KILL_SEED").unwrap_or(now);
    println!("{rounds} rounds, seed {seed}");
    let machine = Machine::up();
    let mut storm = Storm::new(&machine, seed);
    let started = Instant::now();
    for round in 1..=rounds {
        let result = storm.round(round);
        result.unwrap_or_else(|wrong| panic!("round {round}, seed {seed}:\n{}", wrong.join("\n")));
        if round % 10 == 0 || round == rounds {
            let calm = storm.calm();
            calm.unwrap_or_else(|wrong| panic!("after round {round}, seed {seed}:\n{}", wrong.join("\n")));
            println!("{round} kills in {:.0?}; all arrived, nothing without owner", started.elapsed());
        }
    }
    storm.clear().unwrap_or_else(|left| panic!("left when all was deleted:\n{}", left.join("\n")));
    report(&storm);
    if rounds >= FULL {
        let rare: Vec<_> = storm.hits().into_iter().filter(|(_, hits)| *hits < LEAST).collect();
        assert!(rare.is_empty(), "hit less than {LEAST} times: {rare:?}");
    }
    machine.purge();
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn report(storm: &Storm<'_>) {
    println!(
        "how often the kill hit each phase (last seen by a watching client, and in the agent's records):"
    );
    for (phase, hits) in storm.hits() {
        println!("{hits:5}  {phase}");
    }
    let hit = storm.hits().iter().filter(|(_, hits)| *hits > 0).count();
    println!(
        "{hit} of {} phases; {} running containers found again, each the same process",
        PHASES.len(),
        storm.kept()
    );
    let mut times = storm.restarts().to_vec();
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(Duration::ZERO);
    println!("'up --detach' after a kill: p50 {:.2?}, p90 {:.2?}", at(50), at(90));
}
