//! The checks themselves: each kind of wrong history is told from a right one.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;

fn call(act: Act, answer: Answer, began: u64, ended: u64) -> Call {
    Call { key: "k".to_owned(), act, answer, began, ended }
}

fn found(revision: u64, value: &str) -> Answer {
    Answer::Found(Version { revision, value: value.to_owned() })
}

fn create(value: &str) -> Act {
    Act::Create(value.to_owned())
}

fn replace(value: &str, expect: Option<&str>) -> Act {
    Act::Replace { value: value.to_owned(), expect: expect.map(str::to_owned) }
}

#[test]
fn calls_that_overlap_may_take_either_order() {
    let calls = [
        call(create("a"), Answer::Written(2), 0, 10),
        call(replace("b", None), Answer::Written(4), 20, 50),
        call(replace("c", Some("a")), Answer::Written(3), 30, 60),
        call(Act::Read, found(3, "c"), 35, 45),
        call(Act::Read, found(4, "b"), 40, 70),
    ];
    assert_eq!(linearizable(&calls), Ok(()));
}

#[test]
fn a_read_of_the_past_is_found() {
    let calls = [
        call(create("a"), Answer::Written(2), 0, 10),
        call(replace("b", None), Answer::Written(3), 20, 30),
        call(Act::Read, found(2, "a"), 40, 50),
    ];
    assert!(linearizable(&calls).unwrap_err().contains("no order"));
}

#[test]
fn two_writes_on_one_expected_version_are_found() {
    let calls = [
        call(create("a"), Answer::Written(2), 0, 10),
        call(replace("b", Some("a")), Answer::Written(3), 20, 50),
        call(replace("c", Some("a")), Answer::Written(4), 20, 50),
    ];
    assert!(linearizable(&calls).is_err());
}

#[test]
fn a_lost_answer_may_mean_either_and_once_only() {
    let lost = |act| call(act, Answer::Lost, 20, u64::MAX);
    let start = call(create("a"), Answer::Written(2), 0, 10);
    for after in [found(2, "a"), found(3, "b")] {
        let calls = [start.clone(), lost(replace("b", None)), call(Act::Read, after, 40, 50)];
        assert_eq!(linearizable(&calls), Ok(()));
    }
    let reads = |first, second| {
        [
            start.clone(),
            lost(replace("b", None)),
            call(Act::Read, first, 40, 50),
            call(Act::Read, second, 60, 70),
        ]
    };
    assert_eq!(linearizable(&reads(found(2, "a"), found(3, "b"))), Ok(()));
    assert!(linearizable(&reads(found(3, "b"), found(2, "a"))).is_err(), "what was done stays done");
    // Somebody else's refusal tells that it was done.
    let calls = [start, lost(replace("b", None)), call(replace("c", Some("a")), Answer::Refused, 40, 50)];
    assert_eq!(linearizable(&calls), Ok(()));
}

#[test]
fn an_acknowledged_write_that_is_gone_is_found() {
    let calls = [call(create("a"), Answer::Written(2), 0, 10), call(Act::Read, Answer::Absent, 20, 30)];
    assert!(linearizable(&calls).is_err());
    let calls = [call(create("a"), Answer::Written(2), 0, 10), call(create("b"), Answer::Written(3), 20, 30)];
    assert!(linearizable(&calls).is_err());
}

#[test]
fn revisions_that_go_back_are_found() {
    let calls =
        [call(create("a"), Answer::Written(5), 0, 10), call(replace("b", None), Answer::Written(4), 20, 30)];
    assert!(linearizable(&calls).is_err());
}

fn event(kind: Kind, revision: u64, value: &str) -> Step {
    Step::Event(kind, "k".to_owned(), Version { revision, value: value.to_owned() })
}

/// Two acknowledged writes and a deletion, watched from the start by whoever told `steps`.
fn record(steps: Vec<Step>) -> Record {
    let calls = vec![
        call(create("a"), Answer::Written(2), 0, 10),
        call(replace("b", None), Answer::Written(3), 20, 30),
        call(replace("x", Some("z")), Answer::Refused, 20, 30),
        call(Act::Delete { expect: None }, Answer::Deleted, 40, 50),
    ];
    let state = State::from([("k".to_owned(), Version { revision: 3, value: "b".to_owned() })]);
    let listings = vec![Listing { revision: 3, state }];
    Record { calls, listings, segments: vec![Segment { from: 1, state: State::new(), steps }] }
}

fn told() -> Vec<Step> {
    vec![
        event(Kind::Added, 2, "a"),
        Step::Resumed,
        event(Kind::Modified, 3, "b"),
        event(Kind::Deleted, 5, "b"),
        Step::Bookmark(6),
    ]
}

#[test]
fn a_true_watch_passes() {
    let mut record = record(told());
    record.segments.push(record.segments[0].clone());
    let (count, wrong) = watches_hold(&record);
    assert_eq!(wrong, [""; 0]);
    assert_eq!(count, Count { events: 6, bookmarks: 2, resumed: 2, writes: 4, lists: 2, pairs: 1 });
}

#[test]
fn each_broken_guarantee_is_found() {
    type Break = fn(&mut Vec<Step>);
    let cases: [(&str, Break); 8] = [
        ("came after 5 was told", |steps| steps.swap(2, 3)),
        ("came after 3 was told", |steps| steps.insert(3, event(Kind::Modified, 3, "b"))),
        ("was acknowledged, and the watch told None", |steps| drop(steps.remove(2))),
        ("does not follow", |steps| steps[0] = event(Kind::Modified, 2, "a")),
        ("came after 7 was told", |steps| {
            steps.pop();
            steps.extend([Step::Bookmark(7), event(Kind::Added, 6, "a")]);
        }),
        ("a bookmark at 1 came after 5", |steps| steps[4] = Step::Bookmark(1)),
        ("the list at 3 shows", |steps| steps[2] = event(Kind::Modified, 3, "c")),
        ("nobody wrote it", |steps| steps[4] = event(Kind::Added, 6, "x")),
    ];
    for (wanted, break_it) in cases {
        let mut steps = told();
        break_it(&mut steps);
        let (_, wrong) = watches_hold(&record(steps));
        assert!(wrong.iter().any(|wrong| wrong.contains(wanted)), "{wanted}: {wrong:?}");
    }
}

#[test]
fn watches_that_tell_different_things_are_found() {
    let mut record = record(told());
    let mut other = record.segments[0].clone();
    other.steps.remove(3);
    record.segments.push(other);
    let (_, wrong) = watches_hold(&record);
    assert!(wrong.iter().any(|wrong| wrong.starts_with("at 5 one watch told")), "{wrong:?}");
}
