//! Watch.
//!
//! A watch holds its place in the store's window and nothing else: events are read when the client takes them. A client
//! that reads nothing falls out of the window and gets 410, or is dropped by the listener.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use http::StatusCode;
use store::{Entry, Event, EventKind, Expired};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wire::{ListOptions, Status};

use super::Call;
use crate::{
    accept::Encoding,
    body::{self, Reply},
    conversion,
    core::Core,
    filter::Filter,
    metrics::Sent,
    random,
    registry::KindRef,
    stored,
    view::View,
};

/// How often a watch that asked for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last one comes this long before the watch ends.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// A watch without a timeout ends after this much, up to twice that.
const LIFETIME: u64 = 30 * 60;

/// What is still to be sent.
struct Feed {
    watch: store::Watch,
    filter: Filter,
    view: View,
    initial: VecDeque<Entry>,
    initial_end: Option<u64>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    shutdown: CancellationToken,
    /// Ends when the kind's definition is replaced, for kinds that have one.
    defined: Option<CancellationToken>,
    /// Reads events, for kinds that a webhook converts.
    converter: Option<Box<(Arc<Core>, KindRef)>>,
    /// Where what it sends is counted.
    sent: Option<Arc<Sent>>,
    /// Tables name their columns in the first event only.
    columns: bool,
    ended: bool,
}

enum Turn {
    Event(Result<Arc<Event>, Expired>),
    Bookmark,
    End,
}

/// Answers with a stream of events.
pub(super) async fn watch(call: &Call<'_>) -> Result<Reply, Status> {
    if call.accept.encoding != Encoding::Json {
        return Err(Status::not_acceptable(&["application/json;stream=watch"]));
    }
    let mut options = ListOptions::from_query(&call.query)?;
    if !call.target.name.is_empty() {
        // The old form of the URL, `/watch/.../<name>`.
        let name = wire::FieldSelector::parse(&format!("metadata.name={}", call.target.name));
        options.fields.terms.extend(name.map_err(Status::bad_request)?.terms);
    }
    let reply = match Feed::open(call, &options) {
        Ok(mut feed) => {
            let initial = feed.initial.make_contiguous();
            conversion::readable_entries(call.core, call.kind(), initial).await?;
            body::stream(feed.frames())
        }
        // Kubernetes answers these inside the stream.
        Err(status) if matches!(status.code, 410 | 504) => body::full(frame("ERROR", &status.to_json())),
        Err(status) => return Err(status),
    };
    Ok(body::json_bytes(StatusCode::OK, reply))
}

// === impl Feed ===

impl Feed {
    fn open(call: &Call<'_>, options: &ListOptions) -> Result<Self, Status> {
        let filter = Filter::new(call.kind(), options)?;
        let store = &call.core.store;
        let mut prefix = stored::namespace_prefix(call.kind(), &call.target.namespace);
        let scoped = !call.kind().namespaced || !call.target.namespace.is_empty();
        if let Some(name) = filter.exact_name().filter(|_| scoped) {
            prefix = stored::key(call.kind(), &call.target.namespace, name);
        }
        let from_state =
            options.resource_version.unwrap_or(0) == 0 || options.send_initial_events == Some(true);
        let wants_initial = options.send_initial_events.unwrap_or(from_state);
        if wants_initial {
            // A plain watch from a revision that is still to come waits for it.
            super::list::not_from_the_future(call, options.resource_version)?;
        }
        let (after, initial) = match (from_state, wants_initial) {
            (_, true) => {
                let list = store.list(&prefix, None, 0);
                (list.revision, list.entries.into())
            }
            (true, false) => (store.revision(), VecDeque::new()),
            (false, false) => (options.resource_version.unwrap_or(0), VecDeque::new()),
        };
        let watch = store.watch(&prefix, after).map_err(too_old)?;
        let now = Instant::now();
        let lifetime = options.timeout_seconds.filter(|seconds| *seconds > 0);
        let lifetime =
            lifetime.unwrap_or_else(|| LIFETIME + u64::from(random::bytes::<1>()[0]) * LIFETIME / 256);
        Ok(Self {
            watch,
            filter,
            view: call.view()?,
            initial,
            initial_end: (options.send_initial_events == Some(true) && options.bookmarks).then_some(after),
            bookmarks: options.bookmarks,
            next_bookmark: next_bookmark(now, now + Duration::from_secs(lifetime)),
            deadline: now + Duration::from_secs(lifetime),
            shutdown: call.core.shutdown.clone(),
            defined: call.kind().definition().map(|definition| definition.ended.clone()),
            converter: conversion::is_needed(call.kind())
                .then(|| Box::new((call.core.clone(), call.kind().clone()))),
            sent: call.core.counters.watches.of(call.kind()),
            columns: true,
            ended: false,
        })
    }

    fn frames(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut feed| async move { feed.next().await.map(|frame| (frame, feed)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        while let Some(entry) = self.initial.pop_front() {
            if self.filter.wants(&entry.key, &entry.value) {
                return Some(self.shown("ADDED", &entry.value));
            }
        }
        if let Some(revision) = self.initial_end.take() {
            return Some(frame("BOOKMARK", &self.view.bookmark(revision, true)));
        }
        while !self.ended {
            match self.turn().await {
                Turn::Event(Ok(event)) => {
                    // On the heap: watches are many, and most need none of it.
                    let read = match self.converter {
                        Some(_) => Box::pin(self.readable(event)).await,
                        None => Ok(event),
                    };
                    self.ended = read.is_err();
                    let shown = match read {
                        Ok(event) => self.translated(&event),
                        Err(status) => Some(frame("ERROR", &status.to_json())),
                    };
                    if shown.is_some() {
                        return shown;
                    }
                }
                Turn::Event(Err(expired)) => {
                    self.ended = true;
                    return Some(frame("ERROR", &too_old(expired).to_json()));
                }
                Turn::Bookmark => {
                    self.next_bookmark = next_bookmark(Instant::now(), self.deadline);
                    return Some(frame("BOOKMARK", &self.view.bookmark(self.watch.progress(), false)));
                }
                Turn::End => self.ended = true,
            }
        }
        None
    }

    async fn turn(&mut self) -> Turn {
        let wake = if self.bookmarks { self.deadline.min(self.next_bookmark) } else { self.deadline };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Turn::End,
            event = self.watch.next() => Turn::Event(event),
            () = ended(self.defined.as_ref()) => Turn::End,
            () = sleep_until(wake) => if wake == self.deadline { Turn::End } else { Turn::Bookmark },
        }
    }

    /// The event with objects that can be read.
    async fn readable(&self, event: Arc<Event>) -> Result<Arc<Event>, Status> {
        let Some(converter) = &self.converter else { return Ok(event) };
        let (core, kind) = (&converter.0, &converter.1);
        let mut event = Event::clone(&event);
        if let Some(previous) = event.previous.take() {
            let previous = stored::with_revision(&previous, event.revision);
            event.previous = Some(conversion::readable(core, kind, previous).await?);
        }
        event.value = conversion::readable(core, kind, event.value).await?;
        Ok(Arc::new(event))
    }

    /// The event as this client sees it: an object that begins or ceases to match is added or deleted.
    fn translated(&mut self, event: &Event) -> Option<Bytes> {
        let wanted = |bytes: &Bytes| self.filter.wants(&event.key, bytes);
        let before = event.previous.as_ref().is_some_and(wanted);
        let after = event.kind != EventKind::Deleted && wanted(&event.value);
        match (before, after) {
            (false, true) => Some(self.shown("ADDED", &event.value)),
            (true, true) => Some(self.shown("MODIFIED", &event.value)),
            (true, false) if event.kind == EventKind::Deleted => Some(self.shown("DELETED", &event.value)),
            (true, false) => {
                let previous = event.previous.as_ref()?;
                Some(self.shown("DELETED", &stored::with_revision(previous, event.revision)))
            }
            (false, false) => None,
        }
    }

    fn shown(&mut self, kind: &str, bytes: &Bytes) -> Bytes {
        let shown = match self.view.single(bytes, std::mem::take(&mut self.columns)) {
            Ok(object) => frame(kind, &object),
            Err(status) => frame("ERROR", &status.to_json()),
        };
        self.sent.iter().for_each(|sent| sent.event(shown.len()));
        shown
    }
}

/// Never, for kinds without a definition. What has happened before is still told: the objects of a definition that goes are
/// seen to go.
async fn ended(defined: Option<&CancellationToken>) {
    match defined {
        Some(defined) => defined.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Regularly, and shortly before the watch ends, so that its client can go on from there.
fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let last = deadline.checked_sub(LAST_BOOKMARK).filter(|last| *last > now);
    last.map_or(now + BOOKMARK_EVERY, |last| last.min(now + BOOKMARK_EVERY))
}

fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + 40);
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(br#"","object":"#);
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
    out.into()
}

fn too_old(expired: Expired) -> Status {
    Status::too_old(expired.requested, expired.oldest)
}
