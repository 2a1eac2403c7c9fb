//! The front of the crate: images by name.

use crate::{
    Error,
    archive::Limits,
    config::ImageConfig,
    content::{Content, Hold, Record},
    digest::Digest,
    fetch::{Fetcher, Report, Source, blocking},
    host::{self, HOST_IMAGE, Made, Plan},
    layout::Layout,
    manifest::{self, Document},
    reference::Name,
    registry::{Credentials, Progress, Registry},
};
use rustix::fs as rfs;
use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::RwLock;

/// How the images are kept.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The directory for all of it; made if absent.
    pub dir: PathBuf,
    /// Registries (`host` or `host:port`) that are spoken to over plain HTTP, beside those on this machine.
    pub insecure_registries: Vec<String>,
    /// Caps on what an image may hold.
    pub limits: Limits,
}

/// The images of this machine. Cloning is cheap.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

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
    _hold: Arc<Hold>,
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

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its name in normal form.
    pub reference: String,
    /// The digest of its manifest or index.
    pub digest: String,
    /// The size of its layers as they were fetched, in bytes; 0 for the built-in image.
    pub bytes: u64,
}

/// What removing a name did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// The name is gone, and so are layers that nothing else needs.
    Gone,
    /// The name is gone; containers still use the image, and its layers go at a later [`Images::collect`].
    InUse,
}

struct Inner {
    content: Arc<Content>,
    fetcher: Fetcher,
    insecure: Vec<String>,
    limits: Limits,
    /// Held for reading while layers are made that no record needs yet, for writing while layers are deleted.
    gate: RwLock<()>,
    /// A deletion waits for the gate.
    wanted: AtomicBool,
}

// === impl Config ===

impl From<&Path> for Config {
    fn from(dir: &Path) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}

impl From<PathBuf> for Config {
    fn from(dir: PathBuf) -> Self {
        Self { dir, ..Self::default() }
    }
}

// === impl Images ===

impl Images {
    /// Opens the directory and cleans up what a crash left. Needs root. Blocking.
    ///
    /// Deletes no layer. After a restart, take hold of what running containers use ([`Images::hold`]) before anything is
    /// removed.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read and written.
    pub fn open(config: impl Into<Config>) -> Result<Self, Error> {
        let Config { dir, insecure_registries: insecure, limits } = config.into();
        let content = Arc::new(Content::open(dir)?);
        let fetcher = Fetcher::new(content.clone(), limits);
        let (gate, wanted) = (RwLock::new(()), AtomicBool::new(false));
        Ok(Self { inner: Arc::new(Inner { content, fetcher, insecure, limits, gate, wanted }) })
    }

    /// The image, if it is complete on this machine. The built-in one always is.
    ///
    /// # Errors
    /// [`Error::NotPresent`], [`Error::InvalidName`], or [`Error::Io`].
    pub async fn get(&self, reference: &str) -> Result<Image, Error> {
        let name = Name::parse(reference)?;
        if matches!(name, Name::Host) {
            return self.host().await;
        }
        self.present(&name).ok_or_else(|| Error::NotPresent { reference: name.full() })
    }

    /// The image with this digest, whatever it is or was called: for containers that were started by an earlier life of
    /// this process.
    ///
    /// # Errors
    /// As [`Images::get`].
    pub async fn hold(&self, reference: &str, digest: &str) -> Result<Image, Error> {
        let name = Name::parse(reference)?;
        if matches!(name, Name::Host) {
            return self.host().await;
        }
        // No name is empty, so only the digest counts.
        let taken = Digest::parse(digest).and_then(|digest| self.inner.content.take("", Some(&digest)));
        let (record, hold) =
            taken.ok_or_else(|| Error::NotPresent { reference: format!("{} ({digest})", name.full()) })?;
        Ok(self.image(name.full(), &record, hold))
    }

    /// Fetches the image from its registry, even if the name is known already: a tag may have moved.
    ///
    /// Layers that are here are not fetched again. An interrupted pull goes on where it ended.
    ///
    /// # Errors
    /// [`Error`]; only [`Error::Unavailable`] and [`Error::Io`] are worth another try.
    pub async fn pull(
        &self,
        reference: &str,
        credentials: Option<Credentials>,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Image, Error> {
        let name = Name::parse(reference)?;
        let Name::Registry(parsed) = name.clone() else { return self.host().await };
        let full = name.full();
        let registry = Registry::new(parsed, credentials, &self.inner.insecure, self.inner.limits);
        let (bytes, top) = registry.manifest(None).await?;
        let invalid = |what: String| Error::invalid(&full, &what);
        let manifest = match Document::parse(&bytes).map_err(invalid)? {
            Document::Image(manifest) => manifest,
            Document::Index(entries) => {
                let entry = manifest::for_this_machine(&full, &entries)?;
                let (bytes, _) = registry.manifest(Some(&entry.digest)).await?;
                match Document::parse(&bytes).map_err(invalid)? {
                    Document::Image(manifest) => manifest,
                    Document::Index(_) => return Err(invalid("its index leads to another index".into())),
                }
            }
        };
        self.fetch(&Source::Registry(Box::new(registry)), &name, top, &manifest, Arc::new(progress)).await
    }

    /// Takes an image out of an OCI layout (a directory, or an archive of one) and calls it `name`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the layout is not right, [`Error::InvalidName`], or [`Error::Io`].
    pub async fn import(&self, path: &Path, name: &str) -> Result<Image, Error> {
        let parsed = Name::parse(name)?;
        let Name::Registry(reference) = parsed.clone() else {
            let reason = "it is the name of the built-in image".into();
            return Err(Error::InvalidName { reference: name.into(), reason });
        };
        let (content, limits, path) = (self.inner.content.clone(), self.inner.limits, path.to_owned());
        let full = parsed.full();
        let opened = blocking(move || {
            let layout = Layout::open(&path, &content, limits)?;
            let (digest, manifest) = layout.manifest(&full, reference.tag())?;
            Ok((layout, digest, manifest))
        });
        let (layout, digest, manifest) = opened.await?;
        self.fetch(&Source::Layout(Arc::new(layout)), &parsed, digest, &manifest, Arc::new(|_| {})).await
    }

    async fn fetch(
        &self,
        source: &Source,
        name: &Name,
        digest: Digest,
        manifest: &manifest::Manifest,
        report: Report,
    ) -> Result<Image, Error> {
        let image = {
            let _making = self.inner.gate.read().await;
            self.inner.fetcher.fetch(source, &name.full(), digest, manifest, &report).await?;
            self.present(name).ok_or_else(|| Error::NotPresent { reference: name.full() })?
        };
        // A name that moved, or a removal meanwhile, may have left layers that nobody needs.
        self.inner.wanted.store(true, Ordering::Relaxed);
        self.collect_if_free().await?;
        Ok(image)
    }

    /// The images that have a name here, the built-in one first.
    pub fn list(&self) -> Vec<Summary> {
        let host = Summary { reference: HOST_IMAGE.into(), digest: String::new(), bytes: 0 };
        let named = self.inner.content.names().into_iter().map(|(reference, record)| Summary {
            reference,
            digest: record.digest.to_string(),
            bytes: record.bytes,
        });
        std::iter::once(host).chain(named).collect()
    }

    /// Takes a name away, and deletes the layers that nothing needs any more.
    ///
    /// # Errors
    /// [`Error::NotPresent`]; [`Error::InvalidName`] also for the built-in image, which stays; [`Error::Io`].
    pub async fn remove(&self, reference: &str) -> Result<Removed, Error> {
        let name = Name::parse(reference)?;
        if matches!(name, Name::Host) {
            let reason = "the built-in image cannot be removed".into();
            return Err(Error::InvalidName { reference: reference.into(), reason });
        }
        let (content, full) = (self.inner.content.clone(), name.full());
        let removed = blocking(move || content.remove_name(&full)).await?;
        let in_use = removed.ok_or_else(|| Error::NotPresent { reference: name.full() })?;
        self.inner.wanted.store(true, Ordering::Relaxed);
        self.collect_if_free().await?;
        Ok(if in_use { Removed::InUse } else { Removed::Gone })
    }

    /// Deletes layers that neither a name nor an [`Image`] needs, and gives how many. Waits for pulls that are under way.
    /// Call it when containers have ended, after everything that runs was taken hold of.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn collect(&self) -> Result<usize, Error> {
        let _alone = self.inner.gate.write().await;
        self.collect_alone().await
    }

    /// The same, but leaves it to the last pull under way if there is one.
    async fn collect_if_free(&self) -> Result<(), Error> {
        if let Ok(_alone) = self.inner.gate.try_write()
            && self.inner.wanted.load(Ordering::Relaxed)
        {
            self.collect_alone().await?;
        }
        Ok(())
    }

    async fn collect_alone(&self) -> Result<usize, Error> {
        self.inner.wanted.store(false, Ordering::Relaxed);
        let content = self.inner.content.clone();
        blocking(move || content.collect()).await
    }

    fn present(&self, name: &Name) -> Option<Image> {
        let Name::Registry(reference) = name else { return None };
        let digest = reference.digest().and_then(Digest::parse);
        let (record, hold) = self.inner.content.take(&name.full(), digest.as_ref())?;
        Some(self.image(name.full(), &record, hold))
    }

    fn image(&self, reference: String, record: &Record, hold: Hold) -> Image {
        let mut lowers: Vec<PathBuf> = Vec::new();
        for diff in record.layers.iter().rev() {
            let path = self.inner.content.layer(diff);
            // Overlayfs refuses a directory twice. All of a repeated layer is already shown by its upper place.
            if !lowers.contains(&path) {
                lowers.push(path);
            }
        }
        let (digest, config) = (record.digest.to_string(), record.config.clone());
        Image { reference, digest, config, lowers, binds: Vec::new(), _hold: Arc::new(hold) }
    }

    /// The built-in image, generated anew where the host has changed.
    async fn host(&self) -> Result<Image, Error> {
        let content = self.inner.content.clone();
        let _making = self.inner.gate.read().await;
        blocking(move || {
            let plan = Plan::of(Path::new("/")).map_err(Error::io("read the host's", "/etc and /usr"))?;
            let digest = plan.digest();
            let hold = Arc::new(content.hold(digest.hex()));
            let place = content.host().join(digest.hex());
            if !place.is_dir() {
                let temporary = content.temporary()?;
                let root = temporary.path().join("host");
                std::fs::create_dir(&root)
                    .and_then(|()| plan.make(&root))
                    .map_err(Error::io("generate", &place))?;
                content.publish(&root, &place)?;
            }
            Ok(host_image(&plan, &digest, &Made::at(&place), hold))
        })
        .await
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}

fn host_image(plan: &Plan, digest: &Digest, made: &Made, hold: Arc<Hold>) -> Image {
    let bind =
        |source: &Path, target: &Path| Bind { source: source.into(), target: target.into(), read_only: true };
    let usr = Path::new("/usr");
    let mut binds = vec![bind(usr, usr)];
    binds.extend(plan.directories.iter().map(|path| bind(path, path)));
    let local = Path::new("/usr/local");
    if local.is_dir() {
        binds.push(bind(&made.empty, local));
    }
    binds.extend(plan.hidden.iter().map(|path| bind(&made.nothing, path)));
    Image {
        reference: HOST_IMAGE.into(),
        digest: digest.to_string(),
        config: host::config(),
        lowers: vec![made.root.clone()],
        binds,
        _hold: hold,
    }
}

// === impl Image ===

impl Image {
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
