//! Writes a Pod's record off the async workers, where writes may overtake each other.
//!
//! **Invariant:** an older record never replaces a newer one.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Record;

/// Where the record of one Pod is written.
pub(crate) struct Keeper {
    path: PathBuf,
    pages: u64,
    /// The newest page on disk; held while one is written.
    written: Arc<Mutex<u64>>,
}

/// The record as it was at one moment.
#[derive(Clone)]
pub(crate) struct Page {
    path: PathBuf,
    number: u64,
    record: Record,
    written: Arc<Mutex<u64>>,
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, pages: 0, written: Arc::default() }
    }

    /// The record as it is now, ready to be written.
    pub(crate) fn page(&mut self, record: &Record) -> Page {
        self.pages += 1;
        let (path, written) = (self.path.clone(), Arc::clone(&self.written));
        Page { path, number: self.pages, record: record.clone(), written }
    }
}

// === impl Page ===

impl Page {
    /// Writes it, unless a newer one is there. Makes the Pod's directory if it has to. Blocking.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&self) -> io::Result<()> {
        let mut written = self.written.lock();
        if *written >= self.number {
            return Ok(());
        }
        match self.record.write(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
                self.record.write(&self.path)?;
            }
            wrote => wrote?,
        }
        *written = self.number;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::Driver;

    #[test]
    fn an_older_record_never_replaces_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uid").join("pod.json");
        let mut keeper = Keeper::new(path.clone());
        let mut record = Record::new("ns", "p", Driver::Runc);
        let old = keeper.page(&record);
        record.next_run("app");
        keeper.page(&record).write().unwrap();
        old.write().unwrap();
        assert_eq!(Record::read(&path), Some(record));
    }
}
