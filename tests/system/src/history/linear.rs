//! Whether the calls on one object can be put into one order that explains every answer, each call at a moment between its
//! question and its answer (Herlihy and Wing, 1990). The search is Wing and Gong's, with Lowe's memory of states seen.

use super::{Act, Answer, Call};
use std::collections::HashSet;

/// The search gives up after so many states: the history would be too tangled to say anything.
const MOST_STATES: usize = 2_000_000;

/// What the object is, as far as the calls so far tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State<'a> {
    value: Option<&'a str>,
    /// The highest resource version told so far: later writes have higher ones.
    revision: u64,
    /// Whether `revision` is that of `value`. A write whose answer was lost has one that nobody told yet.
    known: bool,
}

/// Which calls were put in order already.
type Done = Vec<u64>;

/// Checks all calls on one object.
///
/// # Errors
/// The calls around the place where no order goes on.
pub fn linearizable(calls: &[Call]) -> Result<(), String> {
    let mut stack = vec![(vec![0_u64; calls.len() / 64 + 1], State::default())];
    let mut seen = HashSet::new();
    let mut furthest = (0, stack[0].clone());
    while let Some((done, state)) = stack.pop() {
        let left: Vec<usize> = (0..calls.len()).filter(|at| !is_done(&done, *at)).collect();
        // What was never answered may never have happened.
        let Some(horizon) = left.iter().map(|at| calls[*at].ended).filter(|ended| *ended < u64::MAX).min()
        else {
            return Ok(());
        };
        let placed = calls.len() - left.len();
        if placed > furthest.0 {
            furthest = (placed, (done.clone(), state.clone()));
        }
        let mut next: Vec<(usize, State<'_>)> = left
            .into_iter()
            .filter(|at| calls[*at].began <= horizon)
            .filter_map(|at| Some((at, step(&calls[at], &state)?)))
            .collect();
        // What fits and changes nothing can as well come now.
        if let Some(harmless) = next.iter().position(|(_, after)| *after == state) {
            next = vec![next.swap_remove(harmless)];
        }
        // The likeliest is tried first, so it is pushed last: what ended first, and what has no answer at the very end.
        next.sort_by_key(|(at, _)| std::cmp::Reverse(calls[*at].ended));
        for (at, after) in next {
            let mut done = done.clone();
            done[at / 64] |= 1 << (at % 64);
            if seen.insert((done.clone(), after.clone())) {
                stack.push((done, after));
            }
        }
        if seen.len() > MOST_STATES {
            return Err(format!(
                "no order was found among {MOST_STATES} states; {}",
                stuck(calls, &furthest.1)
            ));
        }
    }
    Err(format!("no order explains the answers; {}", stuck(calls, &furthest.1)))
}

fn is_done(done: &Done, at: usize) -> bool {
    done[at / 64] & (1 << (at % 64)) != 0
}

fn stuck(calls: &[Call], (done, state): &(Done, State<'_>)) -> String {
    let mut left: Vec<&Call> =
        calls.iter().enumerate().filter(|(at, _)| !is_done(done, *at)).map(|(_, call)| call).collect();
    left.sort_by_key(|call| call.ended);
    left.truncate(8);
    format!("the furthest reaches {state:?} with these next: {left:#?}")
}

/// The state after a call, if its answer fits the state before.
fn step<'a>(call: &'a Call, state: &State<'a>) -> Option<State<'a>> {
    let holds = |expect: &Option<String>| {
        state.value.is_some() && expect.as_deref().is_none_or(|expect| state.value == Some(expect))
    };
    match (&call.act, &call.answer) {
        (Act::Read, Answer::Found(version)) => {
            let same = state.value == Some(version.value.as_str());
            let fits = if state.known {
                version.revision == state.revision
            } else {
                version.revision > state.revision
            };
            (same && fits).then(|| State { revision: version.revision, known: true, ..state.clone() })
        }
        (_, Answer::Absent) => state.value.is_none().then(|| state.clone()),
        (Act::Create(_), Answer::Refused) => state.value.is_some().then(|| state.clone()),
        (Act::Replace { expect, .. } | Act::Delete { expect }, Answer::Refused) => {
            (expect.is_some() && state.value.is_some() && !holds(expect)).then(|| state.clone())
        }
        (Act::Create(value), answer) => {
            state.value.is_none().then(|| written(value, answer, state)).flatten()
        }
        (Act::Replace { value, expect }, answer) => {
            holds(expect).then(|| written(value, answer, state)).flatten()
        }
        (Act::Delete { expect }, Answer::Deleted | Answer::Lost) => {
            holds(expect).then(|| State { value: None, known: false, ..state.clone() })
        }
        _ => None,
    }
}

fn written<'a>(value: &'a str, answer: &Answer, state: &State<'a>) -> Option<State<'a>> {
    let value = Some(value);
    match answer {
        Answer::Written(revision) if *revision > state.revision => {
            Some(State { value, revision: *revision, known: true })
        }
        Answer::Lost => Some(State { value, revision: state.revision, known: false }),
        _ => None,
    }
}
