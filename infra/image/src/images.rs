//! The front of the crate: images by name.

use crate::{
    Error,
    archive::Limits,
    content::{Content, Hold, Record},
    digest::Digest,
    fetch::{Fetcher, Report, Source, blocking},
    host::{HOST_IMAGE, Made, Plan, Stamp},
    image::Image,
    layout::Layout,
    manifest::{self, Document},
    reference::Name,
    registry::{Credentials, Progress, Registry},
};
use parking_lot::Mutex;
use std::{
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

/// While it lives no layer is deleted: see [`Images::put_off`].
#[derive(Debug)]
pub struct PutOff {
    _counted: Arc<()>,
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
    /// Shared with everybody who has deletions put off.
    put_off: Arc<()>,
    host: Mutex<Option<Arc<KnownHost>>>,
}

struct KnownHost {
    stamp: Stamp,
    digest: Digest,
    plan: Plan,
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
        let (gate, wanted, host) = (RwLock::new(()), AtomicBool::new(false), Mutex::new(None));
        let put_off = Arc::default();
        Ok(Self {
            inner: Arc::new(Inner { content, fetcher, insecure, limits, gate, wanted, put_off, host }),
        })
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

    /// Deletes layers that neither a name nor an [`Image`] needs, and gives how many. While a pull is under way it gives 0,
    /// and the end of the pull does it. Call it when containers have ended, after everything that runs was taken hold of.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn collect(&self) -> Result<usize, Error> {
        self.inner.wanted.store(true, Ordering::Relaxed);
        self.collect_if_free().await
    }

    /// Puts off every deletion of layers while the token lives: after a restart it is not known yet what runs. What was wanted
    /// meanwhile is done at the next [`Images::collect`].
    pub fn put_off(&self) -> PutOff {
        PutOff { _counted: self.inner.put_off.clone() }
    }

    /// Deletes if somebody wanted it and nothing is being made. Never waits: who waits for the gate holds up all pulls.
    async fn collect_if_free(&self) -> Result<usize, Error> {
        let Ok(_alone) = self.inner.gate.try_write() else { return Ok(0) };
        if Arc::strong_count(&self.inner.put_off) > 1 {
            return Ok(0);
        }
        if !self.inner.wanted.swap(false, Ordering::Relaxed) {
            return Ok(0);
        }
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
        let inner = self.inner.clone();
        blocking(move || {
            let known = inner.known_host()?;
            let (plan, digest) = (&known.plan, &known.digest);
            let hold = Arc::new(inner.content.hold(digest.hex()));
            let place = inner.content.host().join(digest.hex());
            if !place.is_dir() {
                let temporary = inner.content.temporary()?;
                let root = temporary.path().join("host");
                std::fs::create_dir(&root)
                    .and_then(|()| plan.make(&root))
                    .map_err(Error::io("generate", &place))?;
                inner.content.publish(&root, &place)?;
            }
            Ok(Image::host(plan, digest, &Made::at(&place), hold))
        })
        .await
    }
}

// === impl Inner ===

impl Inner {
    /// What the host looks like; read again only where it may have changed.
    fn known_host(&self) -> Result<Arc<KnownHost>, Error> {
        let root = Path::new("/");
        let stamp = Stamp::of(root);
        let mut known = self.host.lock();
        if let Some(known) = known.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(known.clone());
        }
        let plan = Plan::of(root).map_err(Error::io("read the host's", "/etc and /usr"))?;
        let fresh = Arc::new(KnownHost { stamp, digest: plan.digest(), plan });
        *known = Some(fresh.clone());
        Ok(fresh)
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images").finish_non_exhaustive()
    }
}
