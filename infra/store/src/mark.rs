//! The mark: how far the log is known to be on disk.
//!
//! Written after each sync of the log, itself synced only when the store is idle: it may lag after a power loss, but it never
//! claims too much. So a log that ends before the mark has lost acknowledged writes, and opening refuses; what is
//! broken after it may be a write that was never acknowledged, and is cut.

use crate::{
    OpenError,
    disk::{self, File},
    files, frame,
};
use std::{io, os::unix::fs::FileExt, path::Path};

/// The name of the file.
pub(crate) const NAME: &str = "mark";

const SLOT: usize = 64;
const MAGIC: &[u8; 8] = b"ASBmark\0";

/// Two slots, written in turn, so that one is always whole.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    turn: u64,
    revision: u64,
    dirty: bool,
}

// === impl Mark ===

impl Mark {
    /// Makes the mark of a new store. The file appears whole or not at all.
    pub(crate) fn create(dir: &Path, revision: u64) -> Result<Self, OpenError> {
        let path = dir.join(NAME);
        let fail = || files::failed("write", &path);
        let temporary = dir.join("mark.tmp");
        let file = File::create(&temporary).map_err(fail())?;
        let slot = encode(0, revision);
        file.write_all_at(&slot, 0).map_err(fail())?;
        file.write_all_at(&encode(1, revision), SLOT as u64).map_err(fail())?;
        file.sync_all().map_err(fail())?;
        disk::rename(&temporary, &path).map_err(fail())?;
        disk::sync_dir(dir).map_err(fail())?;
        Ok(Self { file, turn: 1, revision, dirty: false })
    }

    /// Reads the mark. None: there is none.
    pub(crate) fn open(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::failed("open", &path)(error)),
        };
        let (turn, revision) = newest(&file, &path)?;
        Ok(Some(Self { file, turn, revision, dirty: false }))
    }

    /// Everything up to this revision is on disk.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether it was set since it was last synced.
    pub(crate) fn dirty(&self) -> bool {
        self.dirty
    }

    /// Notes that the log is on disk up to `revision`.
    pub(crate) fn set(&mut self, revision: u64) -> io::Result<()> {
        self.turn += 1;
        self.revision = revision;
        self.dirty = true;
        self.file.write_all_at(&encode(self.turn, revision), (self.turn % 2) * SLOT as u64)
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.dirty = false;
        Ok(())
    }
}

/// The revision up to which everything is on disk, of a store that another process may have open.
pub(crate) fn acknowledged(dir: &Path) -> Result<u64, OpenError> {
    let path = dir.join(NAME);
    let file = File::open(&path).map_err(files::failed("open", &path))?;
    newest(&file, &path).map(|(_, revision)| revision)
}

/// The newest slot that is whole: its turn and revision.
fn newest(file: &File, path: &Path) -> Result<(u64, u64), OpenError> {
    let corrupt = |what: &str| OpenError::Corrupt { file: path.into(), what: what.into() };
    let mut bytes = [0; 2 * SLOT];
    file.read_exact_at(&mut bytes, 0).map_err(|_| corrupt("it is too short"))?;
    let slots = [decode(path, &bytes[..SLOT])?, decode(path, &bytes[SLOT..])?];
    slots.into_iter().flatten().max().ok_or_else(|| corrupt("the checksums of both slots are wrong"))
}

fn encode(turn: u64, revision: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..12].copy_from_slice(&frame::FORMAT.to_le_bytes());
    slot[12..20].copy_from_slice(&turn.to_le_bytes());
    slot[20..28].copy_from_slice(&revision.to_le_bytes());
    let crc = crc32c::crc32c(&slot[..60]);
    slot[60..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// A slot's turn and revision; none if it is not whole.
fn decode(path: &Path, slot: &[u8]) -> Result<Option<(u64, u64)>, OpenError> {
    if slot[..8] != *MAGIC || crc32c::crc32c(&slot[..60]) != frame::u32_at(slot, 60) {
        return Ok(None);
    }
    let found = frame::u32_at(slot, 8);
    if found > frame::FORMAT {
        return Err(OpenError::TooNew { file: path.into(), found, supported: frame::FORMAT });
    }
    Ok(Some((frame::u64_at(slot, 12), frame::u64_at(slot, 20))))
}
