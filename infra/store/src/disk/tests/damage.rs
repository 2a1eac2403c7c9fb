//! Damage while nothing was lost from the page cache: every prefix and every flipped block of every file, at moments of
//! a checkpoint, opens to the acknowledged state or is refused by name, with the files left as they were.
//!
//! (A block that goes bad after a power loss can hide one thing: the newest commit, if the mark's last write was lost
//! too. It then looks like a write that was torn before anybody was told of it.)

use super::*;
use crate::frame::{FILE_HEADER, FRAME_HEADER};
use std::{collections::BTreeSet, fs, path::PathBuf};

const BLOCK: usize = 512;

/// What happens to the bytes of a block, and how it is called.
type Change = (&'static str, fn(u8) -> u8);

/// A moment of a recorded life: the files, and the revision that was acknowledged.
struct Moment {
    name: &'static str,
    files: BTreeMap<PathBuf, Vec<u8>>,
    acknowledged: u64,
}

fn named(operation: &Operation, what: fn(&Operation) -> Option<&PathBuf>, part: &str) -> bool {
    what(operation).is_some_and(|path| path.file_name().unwrap().to_str().unwrap().contains(part))
}

fn renamed_to(operation: &Operation) -> Option<&PathBuf> {
    if let Operation::Rename(_, to) = operation { Some(to) } else { None }
}

fn removed(operation: &Operation) -> Option<&PathBuf> {
    if let Operation::Remove(path) = operation { Some(path) } else { None }
}

/// Moments at which different files exist: right after an operation was done for the n-th time, and the first
/// acknowledgement after it.
fn moments(life: &Life) -> Vec<Moment> {
    type Is = fn(&Operation) -> bool;
    let wanted: [(&str, Is, usize); 5] = [
        ("one log", |operation| matches!(operation, Operation::Acknowledged(6..)), 1),
        ("a second log", |operation| named(operation, renamed_to, "log-"), 2),
        ("a snapshot beside what it replaces", |operation| named(operation, renamed_to, "snapshot-"), 1),
        ("a snapshot alone", |operation| named(operation, removed, "log-"), 1),
        ("a second snapshot beside the first", |operation| named(operation, renamed_to, "snapshot-"), 2),
    ];
    let found = wanted.map(|(name, is, count)| {
        let (at, _) = life.operations.iter().enumerate().filter(|(_, it)| is(it)).nth(count - 1).expect(name);
        let later = |operation: &Operation| matches!(operation, Operation::Acknowledged(_));
        let until = at + life.operations[at..].iter().position(later).expect("life goes on");
        let (mut disk, mut known) = (Disk::default(), Known::NOTHING);
        for operation in &life.operations[..=until] {
            disk.run(operation);
            known.learn(operation);
        }
        Moment { name, files: disk.contents(), acknowledged: known.acknowledged }
    });
    found.into()
}

/// Where frames begin and end, as far as magic numbers tell; the values of these tests hold none.
fn borders(bytes: &[u8]) -> Vec<usize> {
    let frames = bytes.windows(4).enumerate().filter(|(_, window)| window == b"frm1").map(|(at, _)| at);
    let last = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    [0, 8, 16, FILE_HEADER, last, bytes.len()].into_iter().chain(frames).collect()
}

/// Every place near a border, and each fifty-third elsewhere.
fn places(bytes: &[u8]) -> BTreeSet<usize> {
    let near = |border: usize| border.saturating_sub(3)..border + FRAME_HEADER + 3;
    let last = borders(bytes)[4];
    let all = borders(bytes).into_iter().flat_map(near).chain((0..last).step_by(53));
    all.filter(|at| *at <= bytes.len()).collect()
}

fn damaged(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let cut = places(bytes).into_iter().map(|len| (format!("cut at {len}"), bytes[..len].to_vec()));
    let flipped = places(bytes).into_iter().filter(|at| *at < bytes.len()).map(|at| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        (format!("bit {} of byte {at} flipped", at % 8), bytes)
    });
    let blocks = (0..bytes.len().min(32 * BLOCK)).step_by(BLOCK).flat_map(|at| {
        let end = bytes.len().min(at + BLOCK);
        let changes: [Change; 3] = [("flipped", |byte| !byte), ("zeroed", |_| 0), ("filled", |_| 0xff)];
        changes.map(|(how, change)| {
            let mut bytes = bytes.to_vec();
            bytes[at..end].iter_mut().for_each(|byte| *byte = change(*byte));
            (format!("block {} {how}", at / BLOCK), bytes)
        })
    });
    cut.chain(flipped).chain(blocks)
}

#[test]
fn every_prefix_and_every_flipped_block_is_refused_or_harmless() {
    let life = Life::new(40);
    let dir = directory();
    let (mut refused, mut harmless) = (0, 0);
    for moment in moments(&life) {
        for (path, bytes) in &moment.files {
            for (how, damaged) in damaged(bytes) {
                let name = path.file_name().unwrap();
                let told = format!("{}: {} {how}", moment.name, name.display());
                write(dir.path(), &moment.files);
                fs::write(dir.path().join(name), &damaged).unwrap();
                match open(dir.path()) {
                    Ok((revision, found)) => {
                        assert!(moment.acknowledged <= revision, "{told}: at {revision}");
                        assert!(found == life.history[&revision], "{told}: no state of {revision}");
                        harmless += 1;
                    }
                    Err(OpenError::Corrupt { file, what }) => {
                        assert!(file.starts_with(dir.path()) && !what.is_empty(), "{told}: {what}");
                        assert_eq!(fs::read(dir.path().join(name)).unwrap(), damaged, "{told}");
                        refused += 1;
                    }
                    Err(other) => panic!("{told}: {other}"),
                }
            }
        }
    }
    assert!(refused > 1000 && harmless > 100, "{refused} refused, {harmless} harmless");
}

fn write(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    for old in fs::read_dir(dir).unwrap() {
        fs::remove_file(old.unwrap().path()).unwrap();
    }
    for (path, bytes) in files {
        fs::write(dir.join(path.file_name().unwrap()), bytes).unwrap();
    }
}
