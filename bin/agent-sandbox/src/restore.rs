//! `restore`: a data directory made of a backup, where none is.
//!
//! **Invariant:** nothing is made before the whole file was checked, and nothing that was there is changed. What a
//! restore that was killed leaves is marked, and no `up` takes it.

use crate::{
    backup::{MANIFEST, Manifest, NODE_NAME, PKI, STORE, VOLUMES},
    contents,
    place::{DEFAULT_DATA_DIR, Place},
    up::cannot,
    watched::{watched, words},
};
use ::backup::{Progress, Reader, Record, Target};
use clap::Args;
use cli::{Failure, Result, say};
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};
use store::{Frozen, REVISION_GAP};

/// Shown under `restore --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox restore /backup/box-2026-11-25                                    into a directory that is new or empty
  agent-sandbox restore /backup/box-2026-11-25 --data-dir /srv/sandboxes
  agent-sandbox restore --check /backup/box-2026-11-25                            change nothing
Then start it with 'agent-sandbox up'.";

/// A manifest is small; a larger one is none.
const MANIFEST_BYTES: u64 = 64 << 10;

/// Arguments of `restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// File that 'agent-sandbox backup' made
    file: PathBuf,
    /// Data directory to make; it must be empty or not exist
    #[arg(long, default_value = DEFAULT_DATA_DIR, env = "AGENT_SANDBOX_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Say whether the backup is whole and what is in it, and change nothing
    #[arg(long)]
    check: bool,
}

/// A backup that was read from beginning to end, and found good.
struct Checked {
    reader: Reader,
    manifest: Manifest,
    store: Frozen,
}

pub(crate) async fn perform(args: RestoreArgs) -> Result<()> {
    if !args.check {
        if !rustix::process::geteuid().is_root() {
            return Err(
                Failure::new("restore needs root: files get back their owners").remedy("run it with sudo")
            );
        }
        contents::must_be_empty(&args.data_dir)?;
    }
    let progress = Arc::new(Progress::default());
    let (file, reading) = (args.file.clone(), progress.clone());
    let checked = watched("check", progress, move || check(&file, reading)).await?;
    let manifest = checked.manifest.clone();
    let volumes = if manifest.volumes { ", volumes and kept layers" } else { ", no volumes" };
    say!(
        "{}: of {}, made {} by version {}; {} objects at revision {}, certificates and keys{volumes}; whole",
        args.file.display(),
        manifest.data_dir.display(),
        manifest.created,
        manifest.version,
        manifest.objects,
        manifest.revision
    );
    if args.check {
        return Ok(());
    }
    let progress = checked.reader.progress();
    let data = args.data_dir.clone();
    let place = watched("restore", progress, move || restore(&data, checked)).await?;
    say!(
        "restored to {}; start it with 'agent-sandbox up --detach{}'",
        place.data.display(),
        flag(&place.data)
    );
    if !manifest.volumes {
        say!("  note: volumes and kept layers were not in it: sandboxes begin with empty ones");
    }
    say!("  note: images are not in a backup: they are pulled again; import again what you had imported");
    Ok(())
}

fn flag(data: &Path) -> String {
    if data == Path::new(DEFAULT_DATA_DIR) {
        String::new()
    } else {
        format!(" --data-dir {}", data.display())
    }
}

/// Reads everything: the checksum over the file, the manifest, the store with its own checksums.
fn check(file: &Path, progress: Arc<Progress>) -> Result<Checked> {
    let mut reader = Reader::open(file, progress).map_err(|error| words(&error))?;
    let (mut manifest, mut store) = (None, None);
    let odd = |what: &str| Failure::new(format!("{} {what}", file.display()));
    reader.each(|record, content| {
        if record.path == MANIFEST.as_bytes() && manifest.is_none() {
            manifest =
                Some(read_manifest(content).map_err(|error| odd(&format!("has no manifest: {error}")))?);
        } else if record.path == STORE.as_bytes() && manifest.is_some() {
            let frozen = Frozen::parse(content, &file.join(STORE));
            store = Some(frozen.map_err(|error| cannot("read the store of the backup", &error))?);
        } else {
            return Err(odd("does not begin as a backup does").into());
        }
        Ok::<_, Wrong>(store.is_none())
    })?;
    match (manifest, store) {
        (Some(manifest), Some(store)) if store.revision() == manifest.revision => {
            Ok(Checked { reader, manifest, store })
        }
        _ => Err(odd("does not hold what its manifest says")),
    }
}

fn read_manifest(content: &mut dyn Read) -> std::io::Result<Manifest> {
    let mut text = Vec::new();
    content.take(MANIFEST_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Makes the data directory. What went wrong leaves it as empty as it was.
fn restore(data: &Path, mut checked: Checked) -> Result<Place> {
    let (place, lock) = Place::begin_restore(data)?;
    let filled = fill(&place, &mut checked).and_then(|()| contents::end_restore(&place.data));
    if let Err(failure) = filled {
        let emptied = contents::empty(&place.data);
        drop(lock);
        return Err(match emptied {
            Ok(()) => failure,
            Err(error) => Failure::new(format!("{failure}; and what was made is not removed: {error}")),
        });
    }
    Ok(place)
}

fn fill(place: &Place, checked: &mut Checked) -> Result<()> {
    let mut target = Target::open(&place.data).map_err(|error| words(&error))?;
    checked.reader.each(|record, content| {
        match goes_in(record) {
            Some(true) => target.put(record, content)?,
            Some(false) => {}
            None => {
                let path = String::from_utf8_lossy(&record.path).into_owned();
                return Err(Failure::new(format!(
                    "the backup holds {path}, which this version does not know"
                ))
                .remedy("use the version that made it, or a newer one")
                .into());
            }
        }
        Ok::<_, Wrong>(true)
    })?;
    target.finish().map_err(|error| words(&error))?;
    let dir = place.data.join("store");
    checked.store.plant(&dir, REVISION_GAP).map_err(|error| cannot("make the store", &error)).map(drop)
}

/// Whether an entry is made as it is; none if it does not belong in a backup.
fn goes_in(record: &Record) -> Option<bool> {
    let top = record.path.split(|byte| *byte == b'/').next().unwrap_or_default();
    let top = std::str::from_utf8(top).ok()?;
    match top {
        MANIFEST | STORE => Some(false),
        NODE_NAME | PKI => Some(true),
        _ => VOLUMES.contains(&top).then_some(true),
    }
}

/// What goes wrong in the middle of a file: the file's own failure, or one that has its words already.
struct Wrong(Failure);

impl From<::backup::Error> for Wrong {
    fn from(error: ::backup::Error) -> Self {
        Self(words(&error))
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<Wrong> for Failure {
    fn from(Wrong(failure): Wrong) -> Self {
        failure
    }
}
