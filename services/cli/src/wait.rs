//! Waiting until a Sandbox is as somebody wants it, by watching it and its Pod.
//!
//! **Invariant:** every wait ends: by its judge, by its time, or because the API server has been silent for too long.

use crate::{
    connection::Connection,
    failure::{Failure, Result},
    progress::Progress,
    sandbox::{pods, sandboxes},
    verdict::{Verdict, describe},
    why,
};
use crd::v1beta1::Sandbox;
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use std::{
    pin::pin,
    time::{Duration, Instant},
};

/// How long what looks hopeless, and may pass, is given.
const GRACE: Duration = Duration::from_secs(5);
/// How long the API server may fail to answer before a wait gives up. A restarting one is back within a second or two.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// What is known of a sandbox that is waited for.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    pub(crate) sandbox: Option<Sandbox>,
    /// Whether the server has said whether the sandbox is there.
    pub(crate) told: bool,
    /// Whether the sandbox was there at some time.
    pub(crate) seen: bool,
    pub(crate) pod: Option<Pod>,
}

/// News of one of the two.
enum News {
    Sandbox(Box<watcher::Result<Option<Sandbox>>>),
    Pod(Box<watcher::Result<watcher::Event<Pod>>>),
}

/// Waits until `judge` says so of Sandbox `name`. Shows progress.
///
/// # Errors
/// `judge` said it is hopeless, `timeout` passed, or the server does not answer or refuses the watch.
pub(crate) async fn until(
    connection: &Connection,
    name: &str,
    timeout: Duration,
    mut judge: impl FnMut(&Scene) -> Verdict,
) -> Result<Scene> {
    let mut news = pin!(news(connection, name));
    let mut progress = Progress::start();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let (deadline, mut patience) = (Instant::now() + timeout, Patience::default());
    let mut scene = Scene::default();
    let mut doom: Option<Instant> = None;
    loop {
        tokio::select! {
            Some(item) = news.next() => scene.take(item, &mut patience)?,
            _ = tick.tick() => progress.tick(),
        }
        match judge(&scene) {
            Verdict::Done => return Ok(scene),
            Verdict::Hopeless(failure) => return Err(failure),
            Verdict::Fading(failure) => {
                if doom.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    return Err(failure);
                }
            }
            Verdict::Wait => doom = None,
        }
        if Instant::now() > deadline {
            drop(progress);
            return Err(Box::pin(timed_out(name, timeout, &scene, connection)).await);
        }
        progress.say(&patience.said().unwrap_or_else(|| describe(name, &scene)));
    }
}

fn news(connection: &Connection, name: &str) -> impl Stream<Item = News> + use<> {
    let sandbox =
        watcher::watch_object(sandboxes(connection), name).map(|seen| News::Sandbox(Box::new(seen)));
    let ours = watcher::Config::default().labels(&crd::names::selector(name));
    let pods = watcher::watcher(pods(connection), ours).map(|event| News::Pod(Box::new(event)));
    futures::stream::select(sandbox, pods)
}

async fn timed_out(name: &str, timeout: Duration, scene: &Scene, connection: &Connection) -> Failure {
    let failure = Failure::new(format!("gave up after {} s; {}", timeout.as_secs(), describe(name, scene)));
    match why::advice(name, connection).await {
        Some(advice) => failure.remedy(advice),
        None => failure,
    }
}

// === impl Scene ===

impl Scene {
    fn take(&mut self, news: News, patience: &mut Patience) -> Result<()> {
        match news {
            News::Sandbox(seen) => match *seen {
                Ok(seen) => {
                    *patience = Patience::default();
                    self.told = true;
                    self.seen |= seen.is_some();
                    self.sandbox = seen;
                }
                Err(error) => return patience.strain(error),
            },
            // Whoever may not see Pods still sees the Sandbox's own conditions.
            News::Pod(event) => {
                if let Ok(event) = *event {
                    self.follow(event);
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.pod = None,
            watcher::Event::InitDone => {}
            watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => self.pod = Some(pod),
            watcher::Event::Delete(pod) => {
                if self.pod.as_ref().is_some_and(|ours| ours.metadata.uid == pod.metadata.uid) {
                    self.pod = None;
                }
            }
        }
    }
}

/// How long the server has failed to answer.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    since: Option<Instant>,
    last: String,
}

// === impl Patience ===

impl Patience {
    /// Takes one failed watch.
    ///
    /// # Errors
    /// The server has not answered for too long, or it refuses, which asking again does not change.
    pub(crate) fn strain(&mut self, error: watcher::Error) -> Result<()> {
        let (watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error)) = error
        else {
            return Ok(());
        };
        let refused = matches!(&error, kube::Error::Api(status) if matches!(status.code, 401 | 403));
        let failure = Failure::from_kube("watch the sandbox", error);
        self.last = failure.to_string();
        let since = *self.since.get_or_insert_with(Instant::now);
        if refused || since.elapsed() > SILENCE { Err(failure) } else { Ok(()) }
    }

    fn said(&self) -> Option<String> {
        self.since.map(|_| self.last.clone())
    }
}
