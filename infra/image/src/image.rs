//! One image that is complete on this machine: what to mount, and its files as they will be seen.

use crate::{
    Error,
    config::ImageConfig,
    content::Hold,
    digest::Digest,
    host::{self, HOST_IMAGE, Made, Plan},
};
use rustix::fs as rfs;
use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An image that is complete here. While any clone of it lives, its layers are not deleted.
#[derive(Clone)]
pub struct Image {
    /// Its name in normal form.
    pub reference: String,
    /// The digest of its manifest or index.
    pub digest: String,
    /// What it says about running it.
    pub config: ImageConfig,
    /// Directories for overlayfs' `lowerdir`, top first, owners as in the image.
    pub lowers: Vec<PathBuf>,
    /// What to bind over them, in this order.
    pub binds: Vec<Bind>,
    pub(crate) _hold: Arc<Hold>,
}

/// A directory or file of the host to be bound into the container; not recursively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The path on the host.
    pub source: PathBuf,
    /// The path in the container; it exists in the layers or an earlier bind.
    pub target: PathBuf,
    /// Mount read-only, nosuid and nodev. Always so today.
    pub read_only: bool,
}

// === impl Image ===

impl Image {
    /// The built-in image, from what was generated.
    pub(crate) fn host(plan: &Plan, digest: &Digest, made: &Made, hold: Arc<Hold>) -> Self {
        let bind = |source: &Path, target: &Path| Bind {
            source: source.into(),
            target: target.into(),
            read_only: true,
        };
        let usr = Path::new("/usr");
        let mut binds = vec![bind(usr, usr)];
        binds.extend(plan.directories.iter().map(|path| bind(path, path)));
        let local = Path::new("/usr/local");
        if local.is_dir() {
            binds.push(bind(&made.empty, local));
        }
        binds.extend(plan.hidden.iter().map(|path| bind(&made.nothing, path)));
        Self {
            reference: HOST_IMAGE.into(),
            digest: digest.to_string(),
            config: host::config(),
            lowers: vec![made.root.clone()],
            binds,
            _hold: hold,
        }
    }

    /// Reads a file of the image, such as `/etc/passwd`, through its layers. None: the image has no such file.
    ///
    /// Blocking. Links are followed within a layer, never out of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the file is larger than `limit` bytes, or [`Error::Io`].
    pub fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        for lower in &self.lowers {
            let Some(file) = open_in(lower, relative).map_err(Error::io("read", lower.join(relative)))?
            else {
                continue;
            };
            let kind = file.metadata().map_err(Error::io("read", lower.join(relative)))?;
            if !kind.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", lower.join(relative)))?;
            if bytes.len() as u64 > limit {
                return Err(Error::invalid(&self.reference, &format!("{} is too large", path.display())));
            }
            return Ok(Some(bytes));
        }
        Ok(None)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("reference", &self.reference)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Opens what a layer has at a path. What is no plain file (a whiteout, a device, a directory) opens as a bare handle.
fn open_in(lower: &Path, relative: &Path) -> std::io::Result<Option<File>> {
    let directory: OwnedFd = File::open(lower)?.into();
    let how = rfs::ResolveFlags::IN_ROOT | rfs::ResolveFlags::NO_MAGICLINKS;
    let open =
        |flags| rfs::openat2(&directory, relative, flags | rfs::OFlags::CLOEXEC, rfs::Mode::empty(), how);
    let found = match open(rfs::OFlags::PATH) {
        Ok(found) => File::from(found),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !found.metadata()?.is_file() {
        return Ok(Some(found));
    }
    Ok(Some(File::from(open(rfs::OFlags::RDONLY | rfs::OFlags::NONBLOCK)?)))
}
