//! OCI image layouts: a directory, or an archive of one, with `index.json` and `blobs/`.

use crate::{
    Error,
    archive::{self, Limits, bad},
    blob,
    content::{Content, Scratch},
    digest::Digest,
    manifest::{self, Descriptor, Document, MAX_MANIFEST, Manifest},
};
use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use tar::EntryType;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What is said of the archives of `docker save` before Docker 25, which have no layout in them.
const DOCKER_ARCHIVE: &str = "it is a docker archive without an OCI layout; save the image with Docker 25 or newer, or with \
    `podman save --format oci-archive`, or convert the file: `skopeo copy docker-archive:FILE oci-archive:NEW`";
/// Indexes within indexes are followed this deep.
const MAX_DEPTH: usize = 4;

/// An opened layout.
pub(crate) struct Layout {
    dir: PathBuf,
    /// Keeps the directory of an unpacked archive until the import is done.
    _unpacked: Option<Scratch>,
}

// === impl Layout ===

impl Layout {
    /// Opens a layout. Blocking.
    pub(crate) fn open(path: &Path, content: &Content, limits: Limits) -> Result<Self, Error> {
        let failed = |error| Error::io("read the OCI layout", path)(error);
        if fs::metadata(path).map_err(failed)?.is_dir() {
            return Ok(Self { dir: path.into(), _unpacked: None });
        }
        let unpacked = content.temporary()?;
        let file = BufReader::with_capacity(1 << 17, blob::open(path).map_err(failed)?);
        let docker = extract(file, unpacked.path(), limits).map_err(failed)?;
        if docker && !unpacked.path().join("index.json").exists() {
            return Err(failed(bad(DOCKER_ARCHIVE)));
        }
        Ok(Self { dir: unpacked.path().into(), _unpacked: Some(unpacked) })
    }

    /// The image called `name` in the layout, or the only one. Blocking.
    pub(crate) fn manifest(&self, name: &str, tag: Option<&str>) -> Result<(Digest, Manifest), Error> {
        let invalid = |what: String| Error::invalid(name, &what);
        let bytes = self.read("index.json", MAX_MANIFEST)?;
        let Document::Index(mut entries) = Document::parse(&bytes).map_err(invalid)? else {
            return Err(invalid("its index.json is not an index".into()));
        };
        let called = |entry: &Descriptor| {
            let name_of = entry.annotations.as_ref().and_then(|notes| notes.get(REF_NAME));
            name_of.is_some_and(|found| found == name || Some(found.as_str()) == tag)
        };
        if entries.len() > 1 && entries.iter().any(called) {
            entries.retain(called);
        }
        let mut top = None;
        for _ in 0..MAX_DEPTH {
            let entry = match &entries[..] {
                [only] => only.clone(),
                _ => manifest::for_this_machine(name, &entries)?.clone(),
            };
            let bytes = self.small(name, &entry, MAX_MANIFEST)?;
            let digest = top.get_or_insert(entry.digest).clone();
            match Document::parse(&bytes).map_err(invalid)? {
                Document::Image(manifest) => return Ok((digest, manifest)),
                Document::Index(inner) => entries = inner,
            }
        }
        Err(invalid("its indexes are nested too deep".into()))
    }

    /// A small blob, checked. Blocking.
    pub(crate) fn small(&self, name: &str, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.read(&blob_path(&descriptor.digest), limit)?;
        let checked = blob::check(bytes.len() as u64, &Digest::of(&bytes), descriptor);
        checked.map_err(|error| Error::invalid(name, &error))?;
        Ok(bytes)
    }

    /// The file of a layer, checked. Blocking.
    pub(crate) fn layer(&self, name: &str, descriptor: &Descriptor) -> Result<PathBuf, Error> {
        let path = self.dir.join(blob_path(&descriptor.digest));
        blob::verify(&path, descriptor).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Error::invalid(name, &error),
            _ => Error::io("read", &path)(error),
        })?;
        Ok(path)
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let path = self.dir.join(name);
        let read = (|| {
            let mut bytes = Vec::new();
            blob::open(&path)?.take(limit + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > limit { Err(bad("it is too large")) } else { Ok(bytes) }
        })();
        read.map_err(Error::io("read", path))
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Takes the files of a layout out of an archive, and nothing else. True if it has the table of contents of a docker archive.
fn extract(file: impl io::BufRead, into: &Path, limits: Limits) -> io::Result<bool> {
    let mut docker = false;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(into.join("blobs/sha256"))?;
    archive::read(file, limits, |record, content| {
        docker |= record.path == b"manifest.json" || record.path == b"./manifest.json";
        let Some(name) = wanted(&record.path).filter(|_| record.kind == EntryType::Regular) else {
            return Ok(());
        };
        let mut file: File =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(into.join(name))?;
        io::copy(content, &mut file)?;
        file.flush()
    })?;
    Ok(docker)
}

/// The name to write, if the path is one of a layout's files.
fn wanted(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let blob = path.strip_prefix("blobs/sha256/").and_then(Digest::from_hex);
    match blob {
        Some(digest) => Some(blob_path(&digest)),
        None => (path == "index.json").then(|| path.to_owned()),
    }
}
