//! Reads a backup: first all of it, to know that it is whole; then its entries.

use crate::{
    Error, Progress, Record,
    error::failed,
    format::{self, HEAD, TAIL},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A backup that was found whole.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    progress: Arc<Progress>,
}

// === impl Reader ===

impl Reader {
    /// Opens the backup at `path` and compares its checksum, which reads all of it.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::TooNew`], [`Error::Damaged`], or it cannot be read.
    pub fn open(path: &Path, progress: Arc<Progress>) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(failed("open", path))?;
        let length = file.metadata().map_err(failed("read", path))?.len();
        let mut head = [0; HEAD];
        let read = fill(&mut file, &mut head).map_err(failed("read", path))?;
        let found = if read == HEAD { format::stated_format(&head) } else { None };
        let found = found.ok_or_else(|| Error::Foreign(path.to_owned()))?;
        if found > format::FORMAT {
            return Err(Error::TooNew { file: path.to_owned(), found, supported: format::FORMAT });
        }
        let damaged = |what| Error::Damaged { file: path.to_owned(), what };
        if found == 0 {
            return Err(damaged("it states format 0, which never was"));
        }
        let before = length.checked_sub(TAIL as u64).filter(|before| *before >= HEAD as u64);
        let before = before.ok_or_else(|| damaged("it is cut off"))?;
        let mut hasher = Sha256::new();
        file.rewind().map_err(failed("read", path))?;
        hash(&mut (&mut file).take(before), &mut hasher, &progress).map_err(failed("read", path))?;
        let mut tail = [0; TAIL];
        let read = fill(&mut file, &mut tail).map_err(failed("read", path))?;
        let expected = format::tail(before, hasher);
        if read < TAIL || tail[..24] != expected[..24] {
            return Err(damaged("it is cut off"));
        }
        if tail != expected {
            return Err(damaged("its checksum is wrong"));
        }
        Ok(Self { path: path.to_owned(), file, progress })
    }

    /// What was given to [`Reader::open`].
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Gives each entry, with its content, until `take` says that it needs no more.
    ///
    /// # Errors
    /// An entry cannot be read, or what `take` says.
    pub fn each<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(&Record, &mut dyn Read) -> Result<bool, E>,
    ) -> Result<(), E> {
        let path = self.path.clone();
        let fail = || failed("read", &path);
        self.file.seek(SeekFrom::Start(HEAD as u64)).map_err(fail())?;
        let decoder = zstd::Decoder::new(BufReader::with_capacity(1 << 20, &self.file));
        let mut archive = tar::Archive::new(decoder.map_err(fail())?);
        for entry in archive.entries().map_err(fail())? {
            let mut entry = entry.map_err(fail())?;
            let record = Record::read(&mut entry).map_err(fail())?;
            if !take(&record, &mut Counted { entry, progress: &self.progress })? {
                break;
            }
        }
        Ok(())
    }
}

fn hash(from: &mut impl Read, hasher: &mut Sha256, progress: &Progress) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => {
                hasher.update(&buffer[..read]);
                progress.add(read)?;
            }
        }
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len();
    let mut read = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut read)?;
    buffer[..read.len()].copy_from_slice(&read);
    Ok(read.len())
}

/// Tells the progress what content goes through.
struct Counted<'a, R> {
    entry: R,
    progress: &'a Progress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.entry.read(buffer)?;
        self.progress.add(read)?;
        Ok(read)
    }
}
