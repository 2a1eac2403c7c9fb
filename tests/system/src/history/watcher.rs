//! A client that watches, drops its connection now and then, goes on from where it was, and writes down what it is told.

use super::{History, Kind, Segment, State, Step, version_of};
use crate::storm::Dice;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};
use std::time::Duration;

/// The annotation of the bookmark that ends the objects that were there.
const INITIAL_END: &str = "k8s.io/initial-events-end";
/// The server sends a bookmark two seconds before a watch ends by its own timeout.
const TIMEOUT_SECONDS: u32 = 3;
/// After this long without a word the connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(6);

/// How a watcher gets its first state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a list.
    List,
    /// By the watch itself (`sendInitialEvents`).
    Stream,
}

/// One watcher. It outlives the server, and ends when it is dropped.
pub struct Watcher {
    history: History,
    api: Api<ConfigMap>,
    dice: Dice,
    way: Way,
    /// Its segment in the record, and the last revision that it was told.
    at: Option<(usize, u64)>,
}

/// Why a connection came to its end.
enum End {
    /// Over; it can be resumed.
    Broken,
    /// The server no longer has what comes next.
    Expired,
}

// === impl Watcher ===

impl Watcher {
    /// A watcher that has seen nothing yet.
    pub fn new(history: &History, client: kube::Client, way: Way, dice: Dice) -> Self {
        Self { history: history.clone(), api: Api::default_namespaced(client), dice, way, at: None }
    }

    /// Watches for ever.
    pub async fn run(mut self) {
        loop {
            let ended = match self.at {
                None if self.way == Way::Stream => self.stream().await,
                None => self.list().await,
                Some((segment, revision)) => self.resume(segment, revision).await,
            };
            match ended {
                Some(End::Expired) => self.at = None,
                // Sometimes a fresh start, so that segments overlap in many ways.
                Some(End::Broken) if self.dice.chance(10) => self.at = None,
                Some(End::Broken) => {}
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn begin(&mut self, from: u64, state: State) {
        let segment = Segment { from, state, steps: Vec::new() };
        let place = self.history.record(|record| {
            record.segments.push(segment);
            record.segments.len() - 1
        });
        self.at = Some((place, from));
    }

    fn push(&mut self, revision: u64, step: Step) {
        if let Some((segment, last)) = &mut self.at {
            *last = revision.max(*last);
            self.history.record(|record| record.segments[*segment].steps.push(step));
        }
    }

    async fn list(&mut self) -> Option<End> {
        let list = tokio::time::timeout(PATIENCE, self.api.list(&ListParams::default())).await.ok()?.ok()?;
        let revision = list.metadata.resource_version.as_deref()?.parse().ok()?;
        self.begin(revision, list.items.iter().filter_map(version_of).collect());
        Some(End::Broken)
    }

    async fn resume(&mut self, segment: usize, revision: u64) -> Option<End> {
        let how = WatchParams::default().timeout(TIMEOUT_SECONDS);
        let opened =
            tokio::time::timeout(PATIENCE, self.api.watch(&how, &revision.to_string())).await.ok()?;
        match opened {
            Ok(events) => {
                self.history.record(|record| record.segments[segment].steps.push(Step::Resumed));
                Some(self.follow(events.boxed(), None).await)
            }
            Err(kube::Error::Api(status)) if status.code == 410 => Some(End::Expired),
            Err(_) => None,
        }
    }

    async fn stream(&mut self) -> Option<End> {
        let how = WatchParams::default().timeout(TIMEOUT_SECONDS).initial_events();
        let events = tokio::time::timeout(PATIENCE, self.api.watch(&how, "")).await.ok()?.ok()?;
        Some(self.follow(events.boxed(), Some(State::new())).await)
    }

    /// Notes events until the connection ends, or is dropped. `first` gathers the objects that are there already.
    async fn follow(
        &mut self,
        mut events: futures::stream::BoxStream<'_, kube::Result<WatchEvent<ConfigMap>>>,
        mut first: Option<State>,
    ) -> End {
        let drop_after = self.dice.chance(60).then(|| self.dice.below(60));
        let mut count = 0;
        while let Ok(Some(Ok(event))) = tokio::time::timeout(PATIENCE, events.next()).await {
            let (kind, object) = match event {
                WatchEvent::Added(object) => (Kind::Added, object),
                WatchEvent::Modified(object) => (Kind::Modified, object),
                WatchEvent::Deleted(object) => (Kind::Deleted, object),
                WatchEvent::Bookmark(bookmark) => {
                    let revision = bookmark.metadata.resource_version.parse().expect("a number");
                    match first.take() {
                        None => self.push(revision, Step::Bookmark(revision)),
                        Some(state) if bookmark.metadata.annotations.contains_key(INITIAL_END) => {
                            self.begin(revision, state);
                        }
                        Some(state) => first = Some(state),
                    }
                    continue;
                }
                WatchEvent::Error(status) if status.code == 410 => return End::Expired,
                WatchEvent::Error(_) => return End::Broken,
            };
            let Some((key, version)) = version_of(&object) else {
                let revision = object.resource_version().and_then(|text| text.parse().ok());
                let others = revision.filter(|_| first.is_none());
                if let (Some(revision), Some((_, last))) = (others, &mut self.at) {
                    *last = revision;
                }
                continue;
            };
            match &mut first {
                Some(state) => drop(state.insert(key, version)),
                None => self.push(version.revision, Step::Event(kind, key, version)),
            }
            count += 1;
            if drop_after.is_some_and(|most| count > most) && first.is_none() {
                break;
            }
        }
        End::Broken
    }
}
