//! A model of a disk beneath a page cache, as harsh as POSIX allows: what was done since the last sync of a file (or, for
//! names, of the directory) may be lost or kept piece by piece, in any order, torn at the borders of sectors.
//!
//! Real file systems promise more: ext4, XFS and btrfs keep names in order, and a sync of a new file keeps its name. The
//! store does not lean on that. What no model of this kind shows is a disk that loses what it said it had synced.

use super::recording::Operation;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A directory of files as the disk and the page cache have it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of the directory, in order.
    renamed: Vec<Naming>,
    open: HashMap<u64, usize>,
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Piece>,
}

/// A part of a write that is kept or lost as a whole.
#[derive(Debug, Clone)]
enum Piece {
    Sector(usize, Vec<u8>),
    Len(usize),
}

#[derive(Debug, Clone)]
enum Naming {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Move(PathBuf, PathBuf, usize),
}

/// Decides which pieces survive: all, none, or each by a coin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    All,
    None,
    Coin(u64),
}

// === impl Disk ===

impl Disk {
    /// Does one operation.
    pub(crate) fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(number, path) => self.create(*number, path),
            Operation::Open(number, path) => {
                self.open.insert(*number, self.current()[path]);
            }
            Operation::Write(number, at, bytes) => self.file(*number).write(*at, bytes),
            Operation::SetLen(number, len) => {
                let len = usize::try_from(*len).unwrap();
                self.file(*number).pending.push(Piece::Len(len));
            }
            Operation::Sync(number) => self.file(*number).sync(),
            Operation::Rename(from, to) => {
                let file = self.current()[from];
                self.renamed.push(Naming::Move(from.clone(), to.clone(), file));
            }
            Operation::Remove(path) => self.renamed.push(Naming::Remove(path.clone())),
            Operation::SyncDir => {
                self.names = self.current();
                self.renamed.clear();
            }
            Operation::Asked(_) | Operation::Acknowledged(_) => {}
        }
    }

    fn create(&mut self, number: u64, path: &Path) {
        let file = match self.current().get(path) {
            Some(file) => {
                self.files[*file].pending.push(Piece::Len(0));
                *file
            }
            None => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.renamed.push(Naming::Add(path.into(), file));
                file
            }
        };
        self.open.insert(number, file);
    }

    fn file(&mut self, number: u64) -> &mut File {
        &mut self.files[self.open[&number]]
    }

    /// The names as the page cache has them.
    fn current(&self) -> BTreeMap<PathBuf, usize> {
        let mut names = self.names.clone();
        self.renamed.iter().for_each(|naming| naming.apply(&mut names));
        names
    }

    /// The power fails: what is on disk from now on.
    pub(crate) fn after_power_loss(&self, fate: Fate) -> Self {
        let mut coin = Coin::new(fate);
        let mut names = self.names.clone();
        for naming in &self.renamed {
            if coin.keeps() {
                naming.apply(&mut names);
            }
        }
        let files = self.files.iter().map(|file| file.after_power_loss(&mut coin)).collect();
        Self { files, names, ..Self::default() }
    }

    /// Writes the files as a process that starts now would find them.
    pub(crate) fn write_to(&self, dir: &Path) {
        for file in fs::read_dir(dir).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        for (path, bytes) in self.contents() {
            fs::write(dir.join(path.file_name().unwrap()), bytes).unwrap();
        }
    }

    /// The files as a process that starts now would find them.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let read = |(path, file): (PathBuf, usize)| {
            (path, self.files[file].after_power_loss(&mut Coin::new(Fate::All)).durable)
        };
        self.current().into_iter().map(read).collect()
    }

    /// Moves the names to another directory.
    pub(crate) fn moved_to(mut self, dir: &Path) -> Self {
        let moved = |path: &PathBuf| dir.join(path.file_name().unwrap());
        self.names = self.names.iter().map(|(path, file)| (moved(path), *file)).collect();
        for naming in &mut self.renamed {
            *naming = match naming {
                Naming::Add(path, file) => Naming::Add(moved(path), *file),
                Naming::Remove(path) => Naming::Remove(moved(path)),
                Naming::Move(from, to, file) => Naming::Move(moved(from), moved(to), *file),
            };
        }
        self
    }
}

// === impl Naming ===

impl Naming {
    /// A rename puts the name over there in any case; its own name may have been lost before.
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Move(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

// === impl File ===

impl File {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (usize::try_from(at).unwrap(), bytes);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            self.pending.push(Piece::Sector(at, piece.into()));
            at += piece.len();
            rest = after;
        }
    }

    fn sync(&mut self) {
        for piece in std::mem::take(&mut self.pending) {
            piece.apply(&mut self.durable);
        }
    }

    fn after_power_loss(&self, coin: &mut Coin) -> Self {
        let mut durable = self.durable.clone();
        for piece in &self.pending {
            if coin.keeps() {
                piece.apply(&mut durable);
            }
        }
        Self { durable, pending: Vec::new() }
    }
}

// === impl Piece ===

impl Piece {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Sector(at, piece) => {
                bytes.resize(bytes.len().max(at + piece.len()), 0);
                bytes[*at..at + piece.len()].copy_from_slice(piece);
            }
            Self::Len(len) => bytes.resize(*len, 0),
        }
    }
}

/// A sequence of decisions; the same seed gives the same.
struct Coin {
    fate: Fate,
}

// === impl Coin ===

impl Coin {
    fn new(fate: Fate) -> Self {
        Self { fate }
    }

    fn keeps(&mut self) -> bool {
        match &mut self.fate {
            Fate::All => true,
            Fate::None => false,
            Fate::Coin(state) => {
                // SplitMix64 (Steele, Lea and Flood, 2014).
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) & 1 == 1
            }
        }
    }
}
