//! Opening: reads the newest snapshot and the logs since, and checks that nothing acknowledged is missing.
//!
//! **Invariant:** files are changed only after the whole state was found good; a refusal leaves them as they were.

use crate::{
    OpenError, disk,
    files::{self, Log},
    frame::{self, BadHeader, FILE_HEADER, FileHeader, Found, Frame, Item, Kind},
    index::{FIRST_REVISION, Index},
    mark::{self, Mark},
    value::Value,
};
use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The generation of the first log, which no snapshot precedes.
const FIRST_GENERATION: u64 = 1;

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// What is said of a file that is whole and stands in another one's place.
const FOREIGN: &str = "its header belongs to another file";

/// A store as found on disk.
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) mark: Mark,
    /// Some of it is on disk in an older format: a checkpoint upgrades it.
    pub(crate) outdated: bool,
}

/// What reading began with: a snapshot, or the first log.
#[derive(Clone, Copy)]
struct Start {
    generation: u64,
    format: u32,
}

/// A log that was read.
struct Replayed {
    path: PathBuf,
    header: FileHeader,
    frames: usize,
    end: u64,
    len: u64,
    /// The bytes after `end` are neither a frame nor zeros.
    torn: bool,
}

/// Opens or makes the store in `dir`, which is locked by the caller.
pub(crate) fn open(dir: &Path) -> Result<Recovered, OpenError> {
    let snapshots = files::generations(dir, "snapshot").map_err(files::failed("read", dir))?;
    let logs = files::generations(dir, "log").map_err(files::failed("read", dir))?;
    let mark = match Mark::open(dir)? {
        Some(mark) => mark,
        None if snapshots.is_empty() && logs.is_empty() => Mark::create(dir, FIRST_REVISION)?,
        None => return Err(corrupt(&dir.join(mark::NAME), "it is missing")),
    };
    let mut index = Index::new();
    let fresh = logs.is_empty() && snapshots.is_empty() && mark.revision() == FIRST_REVISION;
    if fresh {
        let log = files::create_log(dir, FIRST_GENERATION).map_err(files::failed("make a log in", dir))?;
        return Ok(Recovered { index, log, mark, outdated: false });
    }
    let (start, replayed) = read_listed(dir, &snapshots, &logs, &mut index, mark.revision())?;
    finish(dir, start, index, replayed, mark)
}

/// Reads everything in `dir`, and changes nothing there.
pub(crate) fn read(dir: &Path, index: &mut Index, acknowledged: u64) -> Result<(), OpenError> {
    let snapshots = files::generations(dir, "snapshot").map_err(files::failed("read", dir))?;
    let logs = files::generations(dir, "log").map_err(files::failed("read", dir))?;
    read_listed(dir, &snapshots, &logs, index, acknowledged).map(drop)
}

/// Reads the newest snapshot and the logs since. Gives the generation it began with.
fn read_listed(
    dir: &Path,
    snapshots: &[u64],
    logs: &[u64],
    index: &mut Index,
    acknowledged: u64,
) -> Result<(Start, Vec<Replayed>), OpenError> {
    let start = match snapshots.last() {
        Some(generation) => {
            let header = load_snapshot(dir, *generation, index)?;
            Start { generation: *generation, format: header.format }
        }
        None => Start { generation: FIRST_GENERATION, format: frame::FORMAT },
    };
    let replayed = replay_all(dir, start.generation, logs, index, acknowledged)?;
    if index.revision() < acknowledged {
        let what = format!("it ends at revision {}, but {acknowledged} was acknowledged", index.revision());
        return Err(corrupt(&files::log_path(dir, *logs.last().unwrap_or(&start.generation)), what));
    }
    Ok((start, replayed))
}

fn replay_all(
    dir: &Path,
    start: u64,
    logs: &[u64],
    index: &mut Index,
    acknowledged: u64,
) -> Result<Vec<Replayed>, OpenError> {
    let logs: Vec<u64> = logs.iter().copied().filter(|generation| *generation >= start).collect();
    let mut replayed: Vec<Replayed> = Vec::new();
    for (expected, generation) in (start..).zip(&logs) {
        if *generation != expected {
            return Err(corrupt(&files::log_path(dir, expected), "it is missing"));
        }
        let log = replay(dir, expected, index, acknowledged)?;
        if let Some(torn) = replayed.iter().find(|earlier| earlier.torn && log.frames > 0) {
            return Err(corrupt(
                &torn.path,
                format!("it is broken at byte {}, and a later log follows", torn.end),
            ));
        }
        replayed.push(log);
    }
    if replayed.is_empty() {
        return Err(corrupt(&files::log_path(dir, start), "it is missing"));
    }
    Ok(replayed)
}

/// Cuts what was never acknowledged, removes what is no longer needed, and gives the log to go on with.
fn finish(
    dir: &Path,
    start: Start,
    index: Index,
    replayed: Vec<Replayed>,
    mark: Mark,
) -> Result<Recovered, OpenError> {
    let mut current = None;
    let formats = replayed.iter().map(|log| log.header.format).chain([start.format]);
    let outdated = formats.into_iter().any(|format| format < frame::FORMAT);
    for mut log in replayed {
        let fail = || files::failed("repair", &log.path);
        let file = disk::File::open(&log.path).map_err(fail())?;
        if log.torn {
            tracing::warn!(file = %log.path.display(), byte = log.end, "cut an unacknowledged write off the log");
            file.set_len(log.end).map_err(fail())?;
            log.len = log.end;
        }
        // What was read may be only in the page cache if the process before was killed within a commit.
        file.sync_data().map_err(fail())?;
        current = Some(Log {
            file,
            generation: log.header.generation,
            salt: log.header.salt,
            end: log.end,
            zeroed: log.len,
        });
    }
    // A process that was killed may have renamed files without syncing their names. What is committed from here on leans on
    // those names, and so does the removal of what they replace.
    files::remove_temporary(dir)
        .and_then(|()| disk::sync_dir(dir))
        .and_then(|()| files::remove_before(dir, start.generation))
        .map_err(files::failed("remove old files in", dir))?;
    let mut log = current.ok_or_else(|| corrupt(dir, "it has no log"))?;
    if outdated {
        // A file is of one format from beginning to end: what comes next goes into another.
        log = files::create_log(dir, log.generation + 1).map_err(files::failed("make a log in", dir))?;
    }
    let mut mark = mark;
    mark.set(index.revision())
        .and_then(|()| mark.sync())
        .map_err(files::failed("write", &dir.join(mark::NAME)))?;
    Ok(Recovered { index, log, mark, outdated })
}

fn replay(dir: &Path, generation: u64, index: &mut Index, acknowledged: u64) -> Result<Replayed, OpenError> {
    let path = files::log_path(dir, generation);
    let (mut reader, header) = open_log(&path, generation)?;
    let mut log = Replayed { path, header, frames: 0, end: FILE_HEADER as u64, len: 0, torn: false };
    let mut next = || frame::read(&mut reader, header.salt);
    while let Found::Frame(frame) = next().map_err(files::failed("read", &log.path))? {
        apply_frame(&log, &frame, index)?;
        log.frames += 1;
        log.end += frame.size as u64;
    }
    let mut rest = Vec::new();
    let mut file = reader.into_inner();
    file.seek(SeekFrom::Start(log.end))
        .and_then(|_| file.read_to_end(&mut rest))
        .map_err(files::failed("read", &log.path))?;
    log.len = log.end + rest.len() as u64;
    log.torn = rest.iter().any(|byte| *byte != 0);
    if log.torn && index.revision() < acknowledged {
        let what = format!("it is broken at byte {}, within what was acknowledged", log.end);
        return Err(corrupt(&log.path, what));
    }
    // A whole record right at the end was written since: this reads a store that another process has open.
    let grew = matches!(frame::read(&mut &rest[..], header.salt), Ok(Found::Frame(_)));
    if log.torn && !grew && frame::any_frame_in(&rest, header.salt) {
        let what = format!("it is broken at byte {}, and whole records follow", log.end);
        return Err(corrupt(&log.path, what));
    }
    Ok(log)
}

fn apply_frame(log: &Replayed, frame: &Frame, index: &mut Index) -> Result<(), OpenError> {
    let bad = |what: &str| corrupt(&log.path, format!("the record at byte {} {what}", log.end));
    if frame.first != index.revision() + 1 {
        return Err(bad(&format!("has revision {}, but {} is next", frame.first, index.revision() + 1)));
    }
    for item in frame.items(log.header.format).ok_or_else(|| bad("does not parse"))? {
        let Item::Change(change) = item else { return Err(bad("does not belong in a log")) };
        if change.revision != index.revision() && change.revision != index.revision() + 1 {
            return Err(bad("has revisions out of order"));
        }
        index.apply(change.key, change.revision, change.value.map(Value::new));
        index.set_revision(change.revision);
    }
    Ok(())
}

pub(crate) fn load_snapshot(dir: &Path, generation: u64, index: &mut Index) -> Result<FileHeader, OpenError> {
    let path = files::snapshot_path(dir, generation);
    let file = File::open(&path).map_err(files::failed("open", &path))?;
    let header = read_snapshot(&mut BufReader::with_capacity(BUFFER, file), &path, index)?;
    if header.generation == generation { Ok(header) } else { Err(corrupt(&path, FOREIGN)) }
}

/// Reads a whole snapshot; `path` is what errors call it.
pub(crate) fn read_snapshot(
    reader: &mut impl Read,
    path: &Path,
    index: &mut Index,
) -> Result<FileHeader, OpenError> {
    let header = read_header(reader, path, Kind::Snapshot)?;
    let mut ended = None;
    loop {
        let frame = match frame::read(reader, header.salt).map_err(files::failed("read", path))? {
            Found::Frame(frame) if ended.is_none() => frame,
            Found::End => break,
            Found::Frame(_) | Found::Broken => return Err(corrupt(path, "a record is broken")),
        };
        let items = frame.items(header.format).ok_or_else(|| corrupt(path, "a record does not parse"))?;
        for item in items {
            match item {
                Item::Change(change) => {
                    index.apply(change.key, change.revision, change.value.map(Value::new));
                }
                Item::End { entries } => ended = Some(entries),
            }
        }
    }
    if ended != Some(index.len() as u64) {
        return Err(corrupt(path, "it ends too early"));
    }
    index.set_revision(header.revision);
    Ok(header)
}

fn open_log(path: &Path, generation: u64) -> Result<(BufReader<File>, FileHeader), OpenError> {
    let file = File::open(path).map_err(files::failed("open", path))?;
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let header = read_header(&mut reader, path, Kind::Log)?;
    if header.generation != generation {
        return Err(corrupt(path, FOREIGN));
    }
    Ok((reader, header))
}

fn read_header(reader: &mut impl Read, path: &Path, kind: Kind) -> Result<FileHeader, OpenError> {
    let mut bytes = Vec::with_capacity(FILE_HEADER);
    reader.take(FILE_HEADER as u64).read_to_end(&mut bytes).map_err(files::failed("read", path))?;
    let header = FileHeader::decode(&bytes).map_err(|bad| match bad {
        BadHeader::TooNew(found) => OpenError::TooNew { file: path.into(), found, supported: frame::FORMAT },
        BadHeader::TooOld(found, oldest) => OpenError::TooOld { file: path.into(), found, oldest },
        BadHeader::Broken(what) => corrupt(path, what),
    })?;
    if header.kind == kind { Ok(header) } else { Err(corrupt(path, FOREIGN)) }
}

fn corrupt(file: &Path, what: impl Into<String>) -> OpenError {
    OpenError::Corrupt { file: file.into(), what: what.into() }
}

#[cfg(test)]
mod tests;
