//! What a store holds at one revision, taken from its files while another process may be writing them: for backups.
//!
//! The log is only ever added to, and old files go only after a newer snapshot is whole. So reading them in the order
//! of a recovery gives a state that the store was in, at or after everything that was acknowledged before the reading
//! began. No lock is taken and the writer notices nothing.
//!
//! **Invariant:** a store made from a frozen state continues at a revision far above any that the original can have
//! given out since, and knows no event before it: a client's older resourceVersion is answered with 410, never with
//! another object's history.

use crate::{
    OpenError, disk, files,
    frame::{FileHeader, Kind},
    index::Index,
    mark::{self, Mark},
    recovery, snapshot,
};
use std::{
    io::{self, BufReader, Read, Write},
    path::Path,
    thread,
    time::Duration,
};

/// How far a restored store's revision is ahead of what was backed up. etcd's manual advises the same number for its own
/// `--bump-revision`: 1,500 writes a second for a week stay below it.
pub const REVISION_GAP: u64 = 1_000_000_000;

/// How often the files are read again when they changed in between: a checkpoint replaced them, or the writer moved to
/// the next log.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// The only generation of a store that was made from a frozen one.
const GENERATION: u64 = 1;

/// A store's entries at one revision.
pub struct Frozen {
    header: FileHeader,
    index: Index,
}

// === impl Frozen ===

impl Frozen {
    /// Reads the store in `dir`, whether or not a process has it open. Blocks; holds all values in memory.
    ///
    /// # Errors
    /// [`OpenError`]: as for [`crate::Store::open`], after some more tries. The files are as they were.
    pub fn read(dir: &Path) -> Result<Self, OpenError> {
        let mut left = TRIES;
        let index = loop {
            left -= 1;
            match read_once(dir) {
                // What was read while it changed shows every kind of damage; only what stays is damage.
                Err(OpenError::Corrupt { .. } | OpenError::Io { .. }) if left > 0 => thread::sleep(PAUSE),
                done => break done?,
            }
        };
        let header = files::new_header(Kind::Snapshot, GENERATION, index.revision());
        Ok(Self { header, index })
    }

    /// Reads what [`Frozen::write_to`] wrote. `name` is what errors call the file.
    ///
    /// # Errors
    /// [`OpenError::TooNew`] or [`OpenError::Corrupt`] if it is not whole.
    pub fn parse(from: impl Read, name: &Path) -> Result<Self, OpenError> {
        let mut index = Index::new();
        let header = recovery::read_snapshot(&mut BufReader::new(from), name, &mut index)?;
        Ok(Self { header, index })
    }

    /// The revision that it shows.
    pub fn revision(&self) -> u64 {
        self.header.revision
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.index.len()
    }

    /// Writes one file in the store's own snapshot format and gives its size. The same each time.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<u64> {
        self.write(&self.header, out)
    }

    /// Makes a store of it in `dir`, which must be empty or missing, `gap` revisions ahead. Gives the revision at which
    /// that store begins. Blocks for the syncs.
    ///
    /// # Errors
    /// [`OpenError::Io`], also where the directory has something in it.
    pub fn plant(&self, dir: &Path, gap: u64) -> Result<u64, OpenError> {
        files::make_closed(dir).map_err(files::failed("make the directory", dir))?;
        let mut entries = std::fs::read_dir(dir).map_err(files::failed("read", dir))?;
        if entries.next().is_some() {
            return Err(files::failed("make a store in", dir)(io::ErrorKind::DirectoryNotEmpty.into()));
        }
        let revision = self.header.revision + gap;
        let header = files::new_header(Kind::Snapshot, GENERATION, revision);
        let path = files::snapshot_path(dir, GENERATION);
        let mut file = disk::File::create(&path).map_err(files::failed("write", &path))?;
        self.write(&header, &mut file)
            .and_then(|_| file.sync_all())
            .map_err(files::failed("write", &path))?;
        files::create_log(dir, GENERATION).map_err(files::failed("make a log in", dir))?;
        // Last: without the mark, files of a store are refused.
        Mark::create(dir, revision)?;
        Ok(revision)
    }

    fn write(&self, header: &FileHeader, out: &mut dyn Write) -> io::Result<u64> {
        snapshot::write(header, out, |after| Ok(self.index.chunk(after, snapshot::CHUNK)), |_| Ok(()))
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

fn read_once(dir: &Path) -> Result<Index, OpenError> {
    // First: everything up to here is in the files that are read after it.
    let acknowledged = mark::acknowledged(dir)?;
    let mut index = Index::new();
    recovery::read(dir, &mut index, acknowledged)?;
    Ok(index)
}
