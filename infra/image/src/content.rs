//! What is on disk: unpacked layers, records of images, and the names that lead to them.
//!
//! **Invariant:** a name's record is on disk before the name, and a record's layers before the record; deletion goes the other way.

use crate::{Error, config::ImageConfig, digest::Digest, removal::remove_tree};
use parking_lot::Mutex;
use rustix::fs as rfs;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A partial download is kept this long for a pull that goes on with it.
const KEEP_PARTIAL: Duration = Duration::from_secs(24 * 3600);

/// An image that is complete on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) digest: Digest,
    pub(crate) config: ImageConfig,
    /// Diff ids, bottom first.
    pub(crate) layers: Vec<Digest>,
    /// The size of the layers as they were fetched, in bytes.
    pub(crate) bytes: u64,
}

pub(crate) struct Content {
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    names: BTreeMap<String, Digest>,
    records: HashMap<Digest, Arc<Record>>,
    /// How many holds each image has, by digest (or host layer's name).
    held: HashMap<String, usize>,
}

/// Keeps an image's layers from being deleted while it lives.
pub(crate) struct Hold {
    content: Arc<Content>,
    key: String,
}

/// A directory that goes when it is dropped. Its content may be a stranger's.
pub(crate) struct Scratch {
    path: PathBuf,
}

const LAYERS: &str = "layers";
const RECORDS: &str = "records";
const DOWNLOADS: &str = "downloads";
const TEMPORARY: &str = "tmp";
const HOST: &str = "host";
const NAMES: &str = "names.json";

// === impl Content ===

impl Content {
    pub(crate) fn open(dir: PathBuf) -> Result<Self, Error> {
        let temporary = dir.join(TEMPORARY);
        if temporary.exists() {
            remove_tree(&temporary).map_err(Error::io("clean", &temporary))?;
        }
        for name in ["", LAYERS, RECORDS, DOWNLOADS, TEMPORARY, HOST] {
            let path = dir.join(name);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(Error::io("make", &path))?;
        }
        // Set-user-id programs of strangers lie below.
        let mode = rfs::Mode::from_raw_mode(0o700);
        rfs::chmod(&dir, mode).map_err(|error| Error::io("close to other users", &dir)(error.into()))?;
        let state = State { names: read_names(&dir)?, records: read_records(&dir)?, held: HashMap::new() };
        let content = Self { dir, state: Mutex::new(state) };
        content.drop_old_downloads()?;
        Ok(content)
    }

    fn drop_old_downloads(&self) -> Result<(), Error> {
        let downloads = self.dir.join(DOWNLOADS);
        for path in children(&downloads)? {
            let age = fs::metadata(&path)
                .and_then(|file| file.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > KEEP_PARTIAL) {
                fs::remove_file(&path).map_err(Error::io("delete", &path))?;
            }
        }
        Ok(())
    }

    pub(crate) fn layer(&self, diff: &Digest) -> PathBuf {
        self.dir.join(LAYERS).join(diff.hex())
    }

    pub(crate) fn download(&self, digest: &Digest) -> PathBuf {
        self.dir.join(DOWNLOADS).join(digest.hex())
    }

    pub(crate) fn host(&self) -> PathBuf {
        self.dir.join(HOST)
    }

    /// A new directory that is gone after a crash.
    pub(crate) fn temporary(&self) -> Result<Scratch, Error> {
        let dir = self.dir.join(TEMPORARY);
        let made = tempfile::tempdir_in(&dir).map_err(Error::io("make a directory in", dir))?;
        Ok(Scratch { path: made.keep() })
    }

    /// Moves a finished directory to its place, durably. Blocking.
    pub(crate) fn publish(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let moved = (|| {
            rfs::syncfs(File::open(from)?)?;
            match fs::rename(from, to) {
                // Another pull was faster; the content is the same.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                other => other?,
            }
            File::open(to.parent().unwrap_or(to))?.sync_all()
        })();
        moved.map_err(Error::io("put in place", to))
    }

    /// Writes an image's record, then its name. Blocking.
    pub(crate) fn add(&self, name: &str, record: Record) -> Result<(), Error> {
        let path = self.record_path(&record.digest);
        write_json(&path, &record)?;
        let mut state = self.state.lock();
        let mut names = state.names.clone();
        names.insert(name.into(), record.digest.clone());
        write_json(&self.dir.join(NAMES), &names)?;
        state.names = names;
        state.records.insert(record.digest.clone(), Arc::new(record));
        Ok(())
    }

    /// Takes a name away. None: there was no such name; else the image it led to, and whether that one is in use.
    pub(crate) fn remove_name(&self, name: &str) -> Result<Option<bool>, Error> {
        let mut state = self.state.lock();
        let mut names = state.names.clone();
        let Some(digest) = names.remove(name) else { return Ok(None) };
        write_json(&self.dir.join(NAMES), &names)?;
        state.names = names;
        Ok(Some(state.held.contains_key(digest.as_str())))
    }

    /// The image that has this name, else the one with this digest, and a hold on it.
    pub(crate) fn take(self: &Arc<Self>, name: &str, digest: Option<&Digest>) -> Option<(Arc<Record>, Hold)> {
        let mut state = self.state.lock();
        let digest = state.names.get(name).or(digest)?;
        let record = state.records.get(digest)?.clone();
        *state.held.entry(record.digest.to_string()).or_default() += 1;
        let hold = Hold { content: self.clone(), key: record.digest.to_string() };
        Some((record, hold))
    }

    pub(crate) fn names(&self) -> Vec<(String, Arc<Record>)> {
        let state = self.state.lock();
        let known = state
            .names
            .iter()
            .filter_map(|(name, digest)| Some((name.clone(), state.records.get(digest)?.clone())));
        known.collect()
    }

    /// Deletes records and layers that neither a name nor a hold needs, and gives how many layers went. Blocking.
    pub(crate) fn collect(&self) -> Result<usize, Error> {
        let grave = self.temporary()?;
        let mut count = 0;
        {
            // Under the lock only renames, so that nobody takes hold of a layer that is about to go.
            let mut state = self.state.lock();
            let dead = state.dead();
            for digest in &dead {
                state.records.remove(digest);
                remove_file(&self.record_path(digest))?;
            }
            let live: HashSet<String> = state
                .records
                .values()
                .flat_map(|record| record.layers.iter().map(|diff| diff.hex().to_owned()))
                .collect();
            let (layers, hosts) = (self.dir.join(LAYERS), self.dir.join(HOST));
            for path in children(&layers)?.into_iter().filter(|path| !live.contains(&name(path))) {
                fs::rename(&path, grave.path().join(name(&path))).map_err(Error::io("delete", &path))?;
                count += 1;
            }
            for path in children(&hosts)?.into_iter().filter(|path| !state.held.contains_key(&name(path))) {
                fs::rename(&path, grave.path().join(name(&path))).map_err(Error::io("delete", &path))?;
            }
        }
        let path = grave.path();
        remove_tree(path).map_err(Error::io("delete", path))?;
        Ok(count)
    }

    fn record_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(RECORDS).join(format!("{}.json", digest.hex()))
    }

    /// Keeps the host layer called `key` until the hold is dropped.
    pub(crate) fn hold(self: &Arc<Self>, key: &str) -> Hold {
        *self.state.lock().held.entry(key.into()).or_default() += 1;
        Hold { content: self.clone(), key: key.into() }
    }
}

// === impl Scratch ===

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
    }
}

// === impl State ===

impl State {
    fn dead(&self) -> Vec<Digest> {
        let named: HashSet<&Digest> = self.names.values().collect();
        let needed = |digest: &Digest| named.contains(digest) || self.held.contains_key(digest.as_str());
        self.records.keys().filter(|digest| !needed(digest)).cloned().collect()
    }
}

// === impl Hold ===

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.content.state.lock();
        if let Some(count) = state.held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.key);
            }
        }
    }
}

fn read_names(dir: &Path) -> Result<BTreeMap<String, Digest>, Error> {
    let path = dir.join(NAMES);
    match fs::read(&path) {
        Ok(bytes) => parse(&path, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn read_records(dir: &Path) -> Result<HashMap<Digest, Arc<Record>>, Error> {
    let mut records = HashMap::new();
    for path in children(&dir.join(RECORDS))? {
        let known = path.file_stem().and_then(|stem| Digest::from_hex(stem.to_str()?));
        let Some(digest) = known.filter(|_| path.extension().is_some_and(|extension| extension == "json"))
        else {
            continue;
        };
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let record: Record = parse(&path, &bytes)?;
        // A layer can only be missing if somebody else deleted it; the image must then be pulled again.
        if record.layers.iter().all(|diff| dir.join(LAYERS).join(diff.hex()).is_dir()) {
            records.insert(digest, Arc::new(record));
        }
    }
    Ok(records)
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::io("parse", path)(error.into()))
}

/// Replaces a file by a whole new one, durably.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let written = (|| {
        let parent = path.parent().unwrap_or(path);
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        serde_json::to_writer(&mut file, value)?;
        file.flush()?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(parent)?.sync_all()
    })();
    written.map_err(Error::io("write", path))
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("delete", path)(error)),
        _ => Ok(()),
    }
}

fn children(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    listed.map_err(Error::io("read", dir))
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The length of a file, 0 if it is not there.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.size())
}
