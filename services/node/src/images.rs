//! The images of this machine, as containers need them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{Credentials, HOST_IMAGE, HOST_IMAGE_SHORT, Image, Progress};
use lifecycle::pod::reason;
use parking_lot::Mutex;
use podspec::RootBind;
use serde::Deserialize;

use crate::paths::Paths;
use crate::work::Trouble;

/// An image that can be started from. While it lives its layers stay.
pub(crate) struct Local {
    /// What `imageID` says.
    pub(crate) id: String,
    /// Read-only layers, topmost first.
    pub(crate) layers: Vec<PathBuf>,
    pub(crate) config: podspec::Image,
    pub(crate) binds: Vec<RootBind>,
    pub(crate) stop_signal: Option<String>,
    _hold: Image,
}

/// All images. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Images {
    store: image::Images,
    pulled: Arc<Pulled>,
    /// Until every container of an earlier life has been found and its image is held.
    put_off: Arc<Mutex<Option<image::PutOff>>>,
}

/// The names of images that Pods had pulled, kept in a file.
struct Pulled {
    path: PathBuf,
    names: Mutex<BTreeSet<String>>,
}

/// How far a pull is.
#[derive(Default)]
struct Tally {
    /// Bytes that are here and bytes in all, by layer.
    layers: BTreeMap<String, (u64, u64)>,
    told: Option<Instant>,
}

/// How often a pull tells how far it is.
const TELL_PERIOD: Duration = Duration::from_secs(2);

/// A docker configuration file's credentials.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

// === impl Images ===

impl Images {
    pub(crate) async fn open(paths: &Paths) -> Result<Self, image::Error> {
        let dir = paths.data().join("images");
        let opened = tokio::task::spawn_blocking(move || image::Images::open(dir)).await;
        let store = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let put_off = Arc::new(Mutex::new(Some(store.put_off())));
        Ok(Self { store, pulled: Arc::new(Pulled::open(paths.data().join("pulled.json"))), put_off })
    }

    /// Says that what runs is known: layers that nothing needs may be deleted from now on.
    pub(crate) async fn set_settled(&self) {
        drop(self.put_off.lock().take());
        if let Err(error) = self.store.collect().await {
            tracing::warn!(%error, "unused layers are not deleted");
        }
    }

    pub(crate) fn store(&self) -> &image::Images {
        &self.store
    }

    /// Whether this names the image that presents the host's own programs.
    pub(crate) fn is_built_in(&self, reference: &str) -> bool {
        let untagged = HOST_IMAGE.split(':').next().unwrap_or(HOST_IMAGE);
        [HOST_IMAGE, HOST_IMAGE_SHORT, untagged].contains(&reference)
    }

    /// The image, if it is here.
    pub(crate) async fn local(&self, reference: &str) -> Result<Option<Arc<Local>>, Trouble> {
        match self.store.get(reference).await {
            Ok(image) => Ok(Some(Local::of(image))),
            Err(image::Error::NotPresent { .. }) => Ok(None),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// The image that a running container was started from.
    pub(crate) async fn hold(&self, reference: &str, id: &str) -> Option<Arc<Local>> {
        self.store.hold(reference, id).await.ok().map(Local::of)
    }

    /// Fetches the image, with the first of the Pod's credentials that are for its registry.
    /// `tell` hears now and then how far it is.
    pub(crate) async fn pull(
        &self,
        reference: &str,
        secrets: &[Vec<u8>],
        tell: impl Fn(String) + Send + Sync + 'static,
    ) -> Result<Arc<Local>, Trouble> {
        let credentials = secrets.iter().find_map(|secret| credentials(secret, registry(reference)));
        let tally = Mutex::new(Tally::default());
        let report = move |progress: Progress| {
            if let Some(words) = tally.lock().add(progress, Instant::now()) {
                tell(words);
            }
        };
        let image = self.store.pull(reference, credentials, report).await;
        let image = image.map_err(|error| trouble(&error))?;
        let (pulled, name) = (Arc::clone(&self.pulled), image.reference.clone());
        let _ = tokio::task::spawn_blocking(move || pulled.add(&name)).await;
        Ok(Local::of(image))
    }

    /// Removes the names of images that were pulled for Pods, that no Pod here uses, and that can be had again: what a
    /// person pulled or imported stays. Gives how many.
    pub(crate) async fn collect(&self, used: &[String]) -> usize {
        let mut removed = 0;
        for image in self.store.list() {
            let wanted = used.contains(&image.digest) || used.contains(&image.reference);
            if wanted || !self.pulled.has(&image.reference) {
                continue;
            }
            match self.store.remove(&image.reference).await {
                Ok(_) => removed += 1,
                Err(error) => {
                    tracing::warn!(image = image.reference, %error, "an unused image is not removed")
                }
            }
        }
        removed
    }
}

// === impl Pulled ===

impl Pulled {
    fn open(path: PathBuf) -> Self {
        let text = std::fs::read(&path).unwrap_or_default();
        Self { names: Mutex::new(serde_json::from_slice(&text).unwrap_or_default()), path }
    }

    fn has(&self, reference: &str) -> bool {
        self.names.lock().contains(reference)
    }

    /// Notes the name down. If that fails, the image is merely not removed when space is short.
    fn add(&self, reference: &str) {
        let mut names = self.names.lock();
        if names.insert(reference.to_owned()) {
            let fresh = self.path.with_extension("new");
            let written = serde_json::to_vec(&*names).map_err(std::io::Error::from);
            let written = written.and_then(|text| std::fs::write(&fresh, text));
            if let Err(error) = written.and_then(|()| std::fs::rename(fresh, &self.path)) {
                tracing::warn!(%error, "a pulled image is not noted down");
            }
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Takes a layer's progress in. Says how far all of them are, but not more often than clients want to hear it.
    fn add(&mut self, progress: Progress, now: Instant) -> Option<String> {
        let done = if progress.ready { progress.total } else { progress.done };
        self.layers.insert(progress.layer, (done, progress.total));
        if self.told.is_some_and(|told| now < told + TELL_PERIOD) {
            return None;
        }
        let (done, total) =
            self.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        let percent = (done * 100).checked_div(total)?;
        self.told = Some(now);
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Some(format!("pulling image: {percent}% ({} of {} MiB)", mib(done), mib(total)))
    }
}

// === impl Local ===

impl Local {
    fn of(image: Image) -> Arc<Self> {
        let config = podspec::Image {
            entrypoint: image.config.entrypoint.clone(),
            cmd: image.config.cmd.clone(),
            env: image.config.env.clone(),
            working_dir: image.config.working_dir.clone(),
            user: image.config.user.clone(),
            ..podspec::Image::default()
        };
        let bind = |bind: &image::Bind| RootBind {
            source: bind.source.clone(),
            target: bind.target.to_string_lossy().into_owned(),
        };
        let id = if image.digest.is_empty() { &image.reference } else { &image.digest };
        Arc::new(Self {
            id: id.clone(),
            layers: image.lowers.clone(),
            config,
            binds: image.binds.iter().map(bind).collect(),
            stop_signal: image.config.stop_signal.clone(),
            _hold: image,
        })
    }
}

fn trouble(error: &image::Error) -> Trouble {
    let reason = match error {
        image::Error::InvalidName { .. } => reason::INVALID_IMAGE,
        _ => reason::PULL,
    };
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    Trouble { reason, message }
}

/// The registry of a reference; without one it is Docker's.
fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// The credentials for a registry in a docker configuration.
fn credentials(secret: &[u8], registry: &str) -> Option<Credentials> {
    let config: Config = serde_json::from_slice(secret).ok()?;
    let names_it = |key: &str| {
        let host = key.trim_start_matches("https://").trim_start_matches("http://");
        let host = host.split('/').next().unwrap_or(host);
        host == registry || (registry == "docker.io" && host.ends_with("docker.io"))
    };
    let (_, auth) = config.auths.into_iter().find(|(key, _)| names_it(key))?;
    if !auth.username.is_empty() {
        return Some(Credentials { username: auth.username, password: auth.password });
    }
    // The joined form is base64, which is how Kubernetes' own byte fields are written, too.
    let joined: k8s_openapi::ByteString = serde_json::from_value(auth.auth.into()).ok()?;
    let joined = String::from_utf8(joined.0).ok()?;
    let (username, password) = joined.split_once(':')?;
    Some(Credentials { username: username.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_tells_how_far_all_layers_are_every_other_second() {
        let mut tally = Tally::default();
        let begun = Instant::now();
        let layer = |layer: &str, done: u64, ready| Progress {
            layer: layer.to_owned(),
            done: done << 20,
            total: 10 << 20,
            ready,
        };
        let mut add = |progress, seconds| tally.add(progress, begun + Duration::from_secs(seconds));
        assert_eq!(add(layer("a", 1, false), 0).as_deref(), Some("pulling image: 10% (1 of 10 MiB)"));
        assert_eq!(add(layer("b", 2, false), 1), None);
        assert_eq!(add(layer("a", 0, true), 2).as_deref(), Some("pulling image: 60% (12 of 20 MiB)"));
    }

    #[test]
    fn credentials_are_found_for_the_images_registry_only() {
        let secret = br#"{"auths":{"https://index.docker.io/v1/":{"auth":"dXNlcjpwYXNz"},"r.example:5000":{"username":"a","password":"b"}}}"#;
        let name = |registry| credentials(secret, registry).map(|found| (found.username, found.password));
        assert_eq!(name("docker.io"), Some(("user".to_owned(), "pass".to_owned())));
        assert_eq!(name("r.example:5000"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(name("other.example"), None);
        assert_eq!(registry("r.example:5000/a/b:1"), "r.example:5000");
        assert_eq!(registry("library/busybox"), "docker.io");
    }
}
