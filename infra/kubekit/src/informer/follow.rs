//! Following the server: first state, watch, take up again, list again.

use super::{Informer, store::Changed};
use crate::{Failure, Key};
use futures::StreamExt;
use kube::Resource;
use kube::core::watch::Bookmark;
use kube::core::{ObjectMeta, WatchEvent};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A watch that says nothing for this long is taken for dead: longer than the server lets any watch live.
const SILENCE: Duration = Duration::from_secs(6 * 60 + 15);
/// A server that sends nothing for this long while the first state is due does not stream lists.
const FIRST_STATE_SILENCE: Duration = Duration::from_secs(10);
/// Watches that end sooner than this are not taken up again at once.
const SHORT: Duration = Duration::from_secs(1);
/// Marks the bookmark that ends the first state.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// How far the informer has come.
struct Position {
    /// Watch from here; none asks for the first state.
    version: Option<String>,
    /// While the first state comes in as events: what it holds so far.
    first: Option<HashSet<Key>>,
}

impl<K, T> Informer<K, T>
where
    K: Resource + Clone + DeserializeOwned + Send + 'static,
    T: Send + Sync + 'static,
{
    /// Never returns.
    pub(super) async fn follow(&mut self) {
        let mut position = Position { version: None, first: None };
        let mut failures = 0;
        loop {
            let start = Instant::now();
            self.progressed = false;
            let result = self.session(&mut position).await;
            position.first = None;
            if self.progressed {
                failures = 0;
            }
            match result {
                Ok(()) if start.elapsed() >= SHORT => self.shared.failures.store(0, Ordering::Relaxed),
                Ok(()) => sleep(self.backoff.jittered(1)).await,
                Err(error) => {
                    failures += 1;
                    self.shared.failures.store(failures, Ordering::Relaxed);
                    self.judge(&error, &mut position, failures);
                    sleep(self.backoff.jittered(failures)).await;
                }
            }
        }
    }

    /// Decides where to go on after an error.
    fn judge(&self, error: &kube::Error, position: &mut Position, failures: u32) {
        let kind = self.source.kind();
        match Failure::of(error) {
            Failure::Expired => {
                tracing::debug!(kind, "the watch position is forgotten by the server; listing again");
                position.version = None;
            }
            _ if is_unreadable(error) => {
                tracing::warn!(kind, %error, "a watch event cannot be parsed; listing again");
                position.version = None;
            }
            // The kind is no longer served, which its definition's deletion explains.
            Failure::NotFound => tracing::debug!(kind, %error, "the kind is not served; trying again"),
            _ if failures == 1 => tracing::debug!(kind, %error, "list or watch failed; trying again"),
            _ => tracing::warn!(kind, %error, failures, "list or watch failed; trying again"),
        }
    }

    /// One list if needed, and one watch. Ok when the watch ended as watches do.
    async fn session(&mut self, position: &mut Position) -> Result<(), kube::Error> {
        if position.version.is_none() && !self.source.streaming {
            position.version = Some(self.list().await?);
        }
        if position.version.is_none() {
            position.first = Some(HashSet::new());
        }
        let mut events = match self.source.watch(position.version.as_deref()).await {
            Err(error) if position.first.is_some() && Failure::of(&error) == Failure::Refused => {
                tracing::debug!(kind = self.source.kind(), %error, "the server does not stream lists; listing");
                self.source.streaming = false;
                self.has_progressed();
                return Ok(());
            }
            other => other?,
        };
        loop {
            let patience = if position.first.is_some() { FIRST_STATE_SILENCE } else { SILENCE };
            match timeout(patience, events.next()).await {
                Err(_) => {
                    self.source.streaming &= position.first.is_none();
                    return Ok(());
                }
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) if position.first.is_some() && is_unreadable(&error) => {
                    tracing::warn!(kind = self.source.kind(), %error, "an object cannot be parsed; it is left out");
                }
                Ok(Some(event)) => self.event(event?, position)?,
            }
        }
    }

    fn event(&mut self, event: WatchEvent<K>, position: &mut Position) -> Result<(), kube::Error> {
        self.has_progressed();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let (key, revision) = identity(object.meta());
                if let Some(first) = &mut position.first {
                    first.insert(key.clone());
                } else {
                    self.advance(position, object.meta().resource_version.clone());
                }
                self.put(&key, revision, object);
            }
            WatchEvent::Deleted(object) => {
                let (key, revision) = identity(object.meta());
                if let Some(first) = &mut position.first {
                    first.remove(&key);
                } else {
                    self.advance(position, object.meta().resource_version.clone());
                }
                self.shared.change(&key, |state| state.delete(&key, revision));
            }
            WatchEvent::Bookmark(bookmark) => self.bookmark(bookmark, position),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
        Ok(())
    }

    fn bookmark(&self, bookmark: Bookmark, position: &mut Position) {
        let version = bookmark.metadata.resource_version;
        let end = bookmark.metadata.annotations.get(INITIAL_END).is_some_and(|end| end == "true");
        match &position.first {
            Some(first) if end => {
                self.complete(first, &version);
                position.first = None;
                position.version = Some(version);
            }
            Some(_) => {}
            None => self.advance(position, Some(version)),
        }
    }

    /// The watch has told everything up to `version`.
    fn advance(&self, position: &mut Position, version: Option<String>) {
        if let Some(version) = version {
            self.shared.state.write().told(number(&version));
            position.version = Some(version);
        }
    }

    /// Lists everything, page by page. The resourceVersion to watch from.
    async fn list(&mut self) -> Result<String, kube::Error> {
        let mut seen = HashSet::new();
        let (mut token, mut limit) = (None, true);
        loop {
            let page = match self.source.page(token.take(), limit).await {
                Err(error) if limit && Failure::of(&error) == Failure::Expired => {
                    seen.clear();
                    limit = false;
                    continue;
                }
                page => page?,
            };
            for raw in page.items {
                match serde_json::from_str::<K>(raw.get()) {
                    Ok(object) => {
                        let (key, revision) = identity(object.meta());
                        seen.insert(key.clone());
                        self.put(&key, revision, object);
                    }
                    Err(error) => {
                        tracing::warn!(kind = self.source.kind(), %error, "an object cannot be parsed; it is left out");
                    }
                }
            }
            self.has_progressed();
            token = page.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                let version = page.metadata.resource_version.unwrap_or_default();
                self.complete(&seen, &version);
                return Ok(version);
            }
        }
    }

    fn has_progressed(&mut self) {
        self.progressed = true;
        self.shared.failures.store(0, Ordering::Relaxed);
    }

    fn put(&self, key: &Key, revision: u64, mut object: K) {
        object.meta_mut().managed_fields = None;
        let value = (self.project)(object);
        self.shared.change(key, |state| state.put(key, revision, value));
    }

    /// A first state is complete: what it did not hold is gone.
    fn complete(&self, seen: &HashSet<Key>, version: &str) {
        let gone: Vec<(Key, Changed<T>)> = self.shared.state.write().retain(seen, number(version));
        for (key, changed) in gone {
            self.shared.tell(&key, &changed);
        }
        self.shared.synced.send_replace(true);
    }
}

/// Whether one object could not be parsed.
fn is_unreadable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::SerdeError(_))
}

fn identity(meta: &ObjectMeta) -> (Key, u64) {
    (Key::of(meta), number(meta.resource_version.as_deref().unwrap_or_default()))
}

/// A resourceVersion as the number it is in Kubernetes; 0 if it is none.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}
