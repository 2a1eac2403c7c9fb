//! The kubeconfigs that hold the administrator's certificate: written at the start, and again when it is replaced.

use crate::{
    place::Place,
    status::own_kubeconfig,
    up::{Context, UpArgs},
};
use apiserver::Pki;
use cli::{Failure, Result, owner::Owner};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How soon a file that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(3600);

/// Files to keep new.
pub(crate) struct Kubeconfigs {
    pki: Arc<Pki>,
    paths: Vec<PathBuf>,
    renewals: watch::Receiver<u64>,
}

/// The administrator's own kubeconfig in the data directory, and the context in the invoking user's. `url` is where the
/// server is reached.
pub(crate) fn write(args: &UpArgs, place: &Place, pki: &Pki, url: &str) -> Result<Option<Context>> {
    let beside = format!("agent-sandbox-{}", place.id);
    let write = |path: &PathBuf, owner: Option<(u32, u32)>| {
        apiserver::kubeconfig::write_beside(path, &beside, url, pki, owner).map_err(|error| {
            Failure::new(format!("write the kubeconfig {}: {error}", path.display()))
                .remedy("choose another with --kubeconfig, or give --no-kubeconfig")
        })
    };
    write(&own_kubeconfig(place), None)?;
    let Some(file) = args.kubeconfig() else { return Ok(None) };
    let name = write(&file, Owner::behind_sudo().map(|owner| (owner.user, owner.group)))?;
    Ok(Some(Context { file, name }))
}

// === impl Kubeconfigs ===

impl Kubeconfigs {
    /// Those that [`write`] wrote.
    pub(crate) fn new(
        pki: Arc<Pki>,
        place: &Place,
        context: Option<&Context>,
        renewals: watch::Receiver<u64>,
    ) -> Self {
        let theirs = context.map(|context| context.file.clone());
        Self { pki, paths: std::iter::once(own_kubeconfig(place)).chain(theirs).collect(), renewals }
    }

    /// Keeps them new until `shutdown`.
    pub(crate) async fn keep(mut self, shutdown: CancellationToken) {
        let keeping = async {
            while self.renewals.changed().await.is_ok() {
                while !self.renew().await {
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        shutdown.run_until_cancelled(keeping).await;
        // The server ends first where everything ends; that is no reason to end here.
        shutdown.cancelled().await;
    }

    /// Puts the present certificate into each file; whether none failed.
    async fn renew(&self) -> bool {
        let (pki, paths) = (self.pki.clone(), self.paths.clone());
        let renew = move || {
            let renewed = paths.iter().map(|path| (path, apiserver::kubeconfig::renew(path, &pki)));
            renewed.fold(true, |all_good, (path, renewed)| match renewed {
                Ok(changed) => {
                    if changed {
                        tracing::info!(file = %path.display(), "put the administrator's new certificate there");
                    }
                    all_good
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "the administrator's new certificate is not there; it is tried again in an hour");
                    false
                }
            })
        };
        tokio::task::spawn_blocking(renew).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiserver::{Config, Server};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use telemetry::{Clock as _, ManualClock, SystemClock};

    /// Above what the time is while a year passes.
    const YEAR: Duration = Duration::from_secs(370 * 24 * 3600);

    #[tokio::test]
    async fn when_the_administrators_certificate_is_replaced_both_kubeconfigs_have_the_new_one() {
        let dir = tempfile::tempdir().expect("dir");
        let place = Place::existing(dir.path()).expect("place");
        let clock = ManualClock::new(SystemClock.now() - YEAR);
        let store = store::Store::open(store::Config { dir: dir.path().join("store"), ..Default::default() });
        let store = store.expect("store");
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            pki_dir: dir.path().join("pki"),
            clock: Arc::new(clock.clone()),
            certificate_look: Duration::from_millis(20),
            ..Config::default()
        };
        let server = Server::build(config, store).await.expect("server");
        let theirs = Context { file: dir.path().join("config"), name: "agent-sandbox".to_owned() };
        for path in [own_kubeconfig(&place), theirs.file.clone()] {
            apiserver::kubeconfig::write(&path, &server.url(), server.pki(), None).expect("written");
        }
        std::os::unix::fs::chown(&theirs.file, Some(4242), Some(4242)).expect("chown");
        let kept = Kubeconfigs::new(server.pki().clone(), &place, Some(&theirs), server.renewals());
        let before = std::fs::read_to_string(&theirs.file).expect("kubeconfig");
        let (shutdown, mut parts) = (CancellationToken::new(), tokio::task::JoinSet::new());
        parts.spawn(server.run(shutdown.clone()));
        parts.spawn(kept.keep(shutdown.clone()));
        clock.set(SystemClock.now());
        for path in [own_kubeconfig(&place), theirs.file.clone()] {
            let mut tries = 0;
            while std::fs::read_to_string(&path).expect("always whole") == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
                tries += 1;
                assert!(tries < 1000, "{} has the old certificate", path.display());
            }
        }
        let found = std::fs::metadata(&theirs.file).expect("metadata");
        assert_eq!((found.uid(), found.permissions().mode() & 0o777), (4242, 0o600));
        shutdown.cancel();
        while parts.join_next().await.is_some() {}
    }
}
