//! From a manifest to a complete image on this machine, wherever the bytes come from.

use crate::{
    Error,
    archive::Limits,
    content::{self, Content, Record},
    digest::Digest,
    layout::Layout,
    manifest::{ConfigFile, Descriptor, MAX_CONFIG, Manifest},
    registry::{Progress, Registry},
    unpack,
};
use futures::{FutureExt as _, StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

/// How many layers of one image are fetched at once.
const AT_ONCE: usize = 3;

/// Where the bytes come from.
pub(crate) enum Source {
    Registry(Box<Registry>),
    Layout(Arc<Layout>),
}

/// Makes images complete. Two images that share a layer fetch it once.
pub(crate) struct Fetcher {
    pub(crate) content: Arc<Content>,
    pub(crate) limits: Limits,
    /// The layers being made, by diff id.
    under_way: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

pub(crate) type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// A layer to fetch.
struct Layer<'a> {
    blob: &'a Descriptor,
    diff: &'a Digest,
}

// === impl Fetcher ===

impl Fetcher {
    pub(crate) fn new(content: Arc<Content>, limits: Limits) -> Self {
        Self { content, limits, under_way: Mutex::default() }
    }

    /// Fetches all that is missing and records the image under `name`.
    pub(crate) async fn fetch(
        &self,
        source: &Source,
        name: &str,
        digest: Digest,
        manifest: &Manifest,
        report: &Report,
    ) -> Result<(), Error> {
        let config = source.small(name, &manifest.config, MAX_CONFIG).await?;
        let config: ConfigFile = serde_json::from_slice(&config)
            .map_err(|error| Error::invalid(name, &format!("its configuration does not parse: {error}")))?;
        let diffs = &config.rootfs.diff_ids;
        if diffs.len() != manifest.layers.len() {
            let what = format!("it has {} layers, but {} diff ids", manifest.layers.len(), diffs.len());
            return Err(Error::invalid(name, &what));
        }
        let layers = manifest.layers.iter().zip(diffs).map(|(blob, diff)| Layer { blob, diff });
        // Boxed: a closure over borrowed layers would make this future unfit for spawning.
        let made: Vec<_> = layers.map(|layer| self.layer(source, name, layer, report).boxed()).collect();
        stream::iter(made).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let bytes = manifest.layers.iter().map(|layer| layer.size).sum();
        let record =
            Record { digest, config: config.config.unwrap_or_default(), layers: diffs.clone(), bytes };
        let (content, name) = (self.content.clone(), name.to_owned());
        blocking(move || content.add(&name, record)).await
    }

    async fn layer(
        &self,
        source: &Source,
        name: &str,
        layer: Layer<'_>,
        report: &Report,
    ) -> Result<(), Error> {
        let lock = self.under_way.lock().entry(layer.diff.clone()).or_default().clone();
        let result = {
            let _alone = lock.lock().await;
            self.make(source, name, &layer, report).await
        };
        self.under_way.lock().retain(|_, other| !Arc::ptr_eq(other, &lock) || Arc::strong_count(other) > 2);
        result
    }

    async fn make(
        &self,
        source: &Source,
        name: &str,
        layer: &Layer<'_>,
        report: &Report,
    ) -> Result<(), Error> {
        let (digest, total) = (layer.blob.digest.to_string(), layer.blob.size);
        let progress = |done, ready| report(Progress { layer: digest.clone(), done, total, ready });
        let place = self.content.layer(layer.diff);
        if !place.is_dir() {
            let download = self.content.download(&layer.blob.digest);
            let blob = source.layer(name, layer.blob, &download, &|done| progress(done, false)).await?;
            let (content, limits, diff, name) =
                (self.content.clone(), self.limits, layer.diff.clone(), name.to_owned());
            blocking(move || unpack_layer(&content, limits, &name, &blob, &diff)).await?;
            if content::length(&download) > 0 {
                let _ = tokio::fs::remove_file(&download).await;
            }
        }
        progress(total, true);
        Ok(())
    }
}

fn unpack_layer(
    content: &Content,
    limits: Limits,
    name: &str,
    blob: &Path,
    diff: &Digest,
) -> Result<(), Error> {
    let temporary = content.temporary()?;
    let root = temporary.path().join("root");
    std::fs::create_dir(&root).map_err(Error::io("make", &root))?;
    rustix::fs::chmod(&root, rustix::fs::Mode::from_raw_mode(0o755))
        .map_err(|error| Error::io("open to all", &root)(error.into()))?;
    let file = File::open(blob).map_err(Error::io("read", blob))?;
    let found = unpack::unpack(BufReader::with_capacity(1 << 17, file), &root, limits)
        .map_err(|error| unpack_failed(name, &root, error))?;
    if found != *diff {
        return Err(Error::invalid(
            name,
            &format!("a layer's content has diff id {found}, but its configuration says {diff}"),
        ));
    }
    content.publish(&root, &content.layer(diff))
}

/// Whether the disk or the archive is to blame.
fn unpack_failed(name: &str, root: &Path, error: io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            Error::io("unpack a layer into", root)(error)
        }
        _ => Error::invalid(name, &format!("a layer cannot be unpacked: {error}")),
    }
}

// === impl Source ===

impl Source {
    async fn small(&self, name: &str, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        match self {
            Self::Registry(registry) => registry.small(descriptor, limit).await,
            Self::Layout(layout) => {
                let (layout, name, descriptor) = (layout.clone(), name.to_owned(), descriptor.clone());
                blocking(move || layout.small(&name, &descriptor, limit)).await
            }
        }
    }

    /// A file with the layer, checked: `download`, or one that is there already.
    async fn layer(
        &self,
        name: &str,
        descriptor: &Descriptor,
        download: &Path,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<PathBuf, Error> {
        match self {
            Self::Registry(registry) => {
                registry.layer(descriptor, download, progress).await?;
                Ok(download.to_owned())
            }
            Self::Layout(layout) => {
                let (layout, name, descriptor) = (layout.clone(), name.to_owned(), descriptor.clone());
                blocking(move || layout.layer(&name, &descriptor)).await
            }
        }
    }
}

/// Runs file work off the async workers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::io("finish work in", "a runtime that is shutting down")(
                io::ErrorKind::Interrupted.into(),
            )),
        },
    }
}
