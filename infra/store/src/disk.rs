//! The operations by which the store changes what is on a disk, and nothing else.
//!
//! They are the system's own. In the crate's tests each is also noted, so that a model of a disk can say what a power loss
//! would have left after any of them (`disk/model.rs`).

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod recording;
#[cfg(test)]
mod tests;

#[cfg(test)]
use recording::{Handle, Operation};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// A file that is written.
#[derive(Debug)]
pub(crate) struct File {
    inner: fs::File,
    #[cfg(test)]
    noted: Handle,
}

/// Renames a file, over another if there is one. Durable only after [`sync_dir`].
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    #[cfg(test)]
    recording::note(from.parent(), || Operation::Rename(from.into(), to.into()));
    Ok(())
}

/// Removes a file. Durable only after [`sync_dir`].
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    #[cfg(test)]
    recording::note(path.parent(), || Operation::Remove(path.into()));
    Ok(())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()?;
    #[cfg(test)]
    recording::note(Some(dir), || Operation::SyncDir);
    Ok(())
}

// === impl File ===

impl File {
    /// Makes an empty file that only its owner reads.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let inner =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)?;
        Ok(Self {
            inner,
            #[cfg(test)]
            noted: Handle::new(path, Operation::Create),
        })
    }

    /// Opens a file that is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let inner = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self {
            inner,
            #[cfg(test)]
            noted: Handle::new(path, Operation::Open),
        })
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.inner.metadata()?.len())
    }

    /// Cuts it, or makes it longer with zeros.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        #[cfg(test)]
        self.noted.note(|file| Operation::SetLen(file, len));
        Ok(())
    }

    /// Makes its bytes and its length durable.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()?;
        #[cfg(test)]
        self.noted.note(Operation::Sync);
        Ok(())
    }

    /// The same, with its times and rights.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()?;
        #[cfg(test)]
        self.noted.note(Operation::Sync);
        Ok(())
    }
}

impl FileExt for File {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.inner.read_at(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let written = self.inner.write_at(bytes, at)?;
        #[cfg(test)]
        self.noted.note(|file| Operation::Write(file, at, bytes[..written].into()));
        Ok(written)
    }
}

/// Appends.
impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let at = self.len()?;
        let written = self.inner.write(bytes)?;
        #[cfg(test)]
        self.noted.note(|file| Operation::Write(file, at, bytes[..written].into()));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
