//! `backup`: one file with everything of an installation that cannot be made again, taken while it runs or not.

use crate::{
    contents,
    place::{DEFAULT_DATA_DIR, Place},
    up::cannot,
    watched::{watched, words},
};
use ::backup::{LeftOut, Packed, Progress, Writer};
use clap::Args;
use cli::{Failure, Result, say, size};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use store::Frozen;
use telemetry::{Clock as _, SystemClock};

/// Shown under `backup --help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agent-sandbox backup /backup/box-$(date +%F)                while it runs, or not
  agent-sandbox backup --without-volumes /backup/objects      objects, certificates and keys only
  agent-sandbox restore --check /backup/objects               whether it is whole, and what is in it
The file holds private keys and Secrets: only its owner may read it; keep it so.";

/// The entry that says what the others are; the first one.
pub(crate) const MANIFEST: &str = "backup.json";
/// The store, as one file of its own format.
pub(crate) const STORE: &str = "store";
/// Files and directories that are taken as they are.
pub(crate) const NODE_NAME: &str = "node-name";
pub(crate) const PKI: &str = "pki";
pub(crate) const VOLUMES: [&str; 2] = ["volumes", "roots"];

/// Arguments of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// File to make
    file: PathBuf,
    /// Data directory
    #[arg(long, default_value = DEFAULT_DATA_DIR, env = "AGENT_SANDBOX_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Leave out what is in volumes and in kept writable layers: sandboxes come back with empty ones
    #[arg(long)]
    without_volumes: bool,
    /// Replace FILE if it exists
    #[arg(long)]
    replace: bool,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// The program that made it.
    pub(crate) version: String,
    pub(crate) created: String,
    /// The directory that it was made of.
    pub(crate) data_dir: PathBuf,
    /// The store's revision.
    pub(crate) revision: u64,
    pub(crate) objects: usize,
    /// Whether volumes and kept layers are in it.
    pub(crate) volumes: bool,
}

pub(crate) async fn perform(args: BackupArgs) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("backup needs root: it reads private keys and the sandboxes' files")
            .remedy("run it with sudo"));
    }
    let place = Place::existing(&args.data_dir)?;
    contents::must_be_whole(&place.data)?;
    if !contents::is_ours(&place.data) {
        return Err(Failure::new(format!(
            "{} is not a data directory of agent-sandbox",
            place.data.display()
        ))
        .remedy("name the right one with --data-dir"));
    }
    outside(&args.file, &place)?;
    let (running, file, volumes) = (place.running().is_some(), args.file.clone(), !args.without_volumes);
    let progress = Arc::new(Progress::default());
    let work = {
        let progress = progress.clone();
        move || make(&place, &args, progress)
    };
    let (manifest, packed) = watched("back up", progress, work).await?;
    say!(
        "{}: {} objects at revision {}, certificates and keys{}; {}",
        file.display(),
        manifest.objects,
        manifest.revision,
        if volumes { ", volumes and kept layers" } else { "" },
        size(packed.size)
    );
    if volumes && running {
        say!(
            "  note: files that sandboxes wrote meanwhile are in it as they were read; suspend a sandbox for a still copy of it"
        );
    }
    warn_of(&packed.left_out);
    Ok(())
}

/// A backup that lies in what it is a backup of is lost with it.
fn outside(file: &Path, place: &Place) -> Result<()> {
    let name = file.file_name().ok_or_else(|| Failure::new(format!("{} is no file name", file.display())))?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = parent.canonicalize().map_err(|error| {
        Failure::new(format!("write {}: {}: {error}", file.display(), parent.display()))
            .remedy("make that directory, or name another file")
    })?;
    if real.join(name).starts_with(&place.data) {
        return Err(Failure::new(format!(
            "{} lies in the data directory, and would be lost with it",
            file.display()
        ))
        .remedy("name a file elsewhere, best on another disk"));
    }
    Ok(())
}

fn make(place: &Place, args: &BackupArgs, progress: Arc<Progress>) -> Result<(Manifest, Packed)> {
    let mut writer = Writer::create(&args.file, args.replace, progress).map_err(|error| words(&error))?;
    let dir = place.data.join("store");
    let frozen = Frozen::read(&dir).map_err(|error| cannot("read the store", &error))?;
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: SystemClock.now().to_string(),
        data_dir: place.data.clone(),
        revision: frozen.revision(),
        objects: frozen.entries(),
        volumes: !args.without_volumes,
    };
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Failure::new(error.to_string()))?;
    fill(&mut writer, place, &frozen, &text, manifest.volumes).map_err(|error| words(&error))?;
    let packed = writer.finish(args.replace).map_err(|error| words(&error))?;
    Ok((manifest, packed))
}

/// The store comes before the volumes: their data may be newer than the objects say, never older.
fn fill(
    writer: &mut Writer,
    place: &Place,
    frozen: &Frozen,
    manifest: &[u8],
    volumes: bool,
) -> std::result::Result<(), ::backup::Error> {
    writer.file(MANIFEST, 0o600, manifest)?;
    // Written twice, the first time to know its size, which stands in front of it.
    let length = frozen.write_to(&mut std::io::sink()).unwrap_or_default();
    writer.stream(STORE, 0o600, length, |out| frozen.write_to(out).map(drop))?;
    if let Ok(name) = fs::read(place.data.join(NODE_NAME)) {
        writer.file(NODE_NAME, 0o644, &name)?;
    }
    let trees = VOLUMES.into_iter().filter(|_| volumes);
    for name in std::iter::once(PKI).chain(trees) {
        let path = place.data.join(name);
        if path.exists() {
            writer.tree(name, &path)?;
        }
    }
    Ok(())
}

fn warn_of(left_out: &LeftOut) {
    if let Some(first) = &left_out.first {
        say!(
            "  warning: {} of the sandboxes' files cannot be put back and are left out, the first: {first}",
            left_out.entries
        );
    }
}
