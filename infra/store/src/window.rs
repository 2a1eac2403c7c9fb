//! The last events, shared by all watchers: one ring, a cursor per watcher, one wake per topic.
//!
//! A watcher costs a cursor; publishing costs the same for one watcher as for a thousand that watch something else.
//! **Invariant:** a watch delivers every matching event after its start exactly once and in order, or says
//! [`Expired`].

use crate::{
    Expired,
    txn::{Event, EventKind},
    value::Value,
};
use parking_lot::RwLock;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::Notify;

/// What an event costs beside its values: the event, its place in the ring, the allocator's share.
const EVENT_COST: usize = 160;

/// The ring grows by so many events at a time.
const GROWN_BY: usize = 512;

pub(crate) struct Window {
    ring: Arc<RwLock<Ring>>,
}

/// A stream of changes under a prefix. Made by [`crate::Store::watch`].
pub struct Watch {
    ring: Arc<RwLock<Ring>>,
    wake: Arc<Notify>,
    topic: Option<Box<str>>,
    prefix: Box<str>,
    after: u64,
    cursor: u64,
}

/// One change, as it is kept: its values are the index's own.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) revision: u64,
    pub(crate) key: Arc<str>,
    pub(crate) kind: EventKind,
    pub(crate) value: Arc<Value>,
    pub(crate) previous: Option<Arc<Value>>,
}

struct Ring {
    events: VecDeque<Record>,
    /// The number of the first event held; events are numbered from 0 since the store was opened.
    first: u64,
    /// The revision up to which everything was published.
    published: u64,
    /// The revision up to which events were dropped, or that the store was opened at.
    dropped: u64,
    opened: u64,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    topics: HashMap<Box<str>, Topic>,
    /// Wakes those who watch across topics.
    everything: Arc<Notify>,
    closed: bool,
}

#[derive(Default)]
struct Topic {
    wake: Arc<Notify>,
    /// One more than the number of the last event of this topic that was dropped; 0 if none was.
    dropped_before: u64,
    /// The revision of that event.
    dropped: u64,
}

// === impl Window ===

impl Window {
    pub(crate) fn new(revision: u64, max_events: usize, max_bytes: usize) -> Self {
        let ring = Ring {
            events: VecDeque::new(),
            first: 0,
            published: revision,
            dropped: revision,
            opened: revision,
            bytes: 0,
            max_events,
            max_bytes,
            topics: HashMap::new(),
            everything: Arc::new(Notify::new()),
            closed: false,
        };
        Self { ring: Arc::new(RwLock::new(ring)) }
    }

    /// Adds events, in revision order, and wakes those who watch their topics.
    pub(crate) fn publish(&self, events: Vec<Record>, revision: u64) {
        let mut wakes = Vec::new();
        {
            let mut ring = self.ring.write();
            for event in events {
                ring.push(event, &mut wakes);
            }
            ring.published = revision;
            wakes.push(ring.everything.clone());
        }
        for wake in wakes {
            wake.notify_waiters();
        }
    }

    pub(crate) fn watch(&self, prefix: &str, after: u64) -> Result<Watch, Expired> {
        let topic = topic_of_prefix(prefix);
        let mut ring = self.ring.write();
        let (wake, dropped) = match topic {
            None => (ring.everything.clone(), ring.dropped),
            Some(topic) => {
                let opened = ring.opened;
                let topic = ring.topic(topic);
                (topic.wake.clone(), topic.dropped.max(opened))
            }
        };
        if after < dropped {
            return Err(Expired { requested: after, oldest: dropped });
        }
        let cursor = ring.first + ring.events.partition_point(|event| event.revision <= after) as u64;
        let topic = topic.map(Into::into);
        Ok(Watch { ring: self.ring.clone(), wake, topic, prefix: prefix.into(), after, cursor })
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        let mut ring = self.ring.write();
        ring.closed = true;
        for topic in ring.topics.values() {
            topic.wake.notify_waiters();
        }
        ring.everything.notify_waiters();
    }
}

// === impl Ring ===

impl Ring {
    fn topic(&mut self, name: &str) -> &mut Topic {
        if !self.topics.contains_key(name) {
            self.topics.insert(name.into(), Topic::default());
        }
        self.topics.get_mut(name).expect("it was just added")
    }

    fn push(&mut self, event: Record, wakes: &mut Vec<Arc<Notify>>) {
        let wake = &self.topic(topic_of_key(&event.key)).wake;
        if !wakes.iter().any(|known| Arc::ptr_eq(known, wake)) {
            wakes.push(wake.clone());
        }
        self.bytes += cost(&event);
        if self.events.len() == self.events.capacity() {
            // Doubled it would take half as much again as it ever needs.
            self.events.reserve_exact(GROWN_BY);
        }
        self.events.push_back(event);
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= cost(&oldest);
            self.first += 1;
            self.dropped = oldest.revision;
            let first = self.first;
            let topic = self.topic(topic_of_key(&oldest.key));
            topic.dropped_before = first;
            topic.dropped = oldest.revision;
        }
    }

    /// The events from number `cursor` on, with their numbers.
    fn from(&self, cursor: u64) -> impl Iterator<Item = (u64, &Record)> {
        let skip =
            usize::try_from(cursor.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.events.len());
        (self.first + skip as u64..).zip(self.events.range(skip..))
    }
}

// === impl Watch ===

impl Watch {
    /// Waits for the next change under the prefix. Cancel-safe: a dropped call loses no event.
    ///
    /// # Errors
    /// [`Expired`] if this watch was so slow that events it has not delivered were dropped, or the store was closed.
    pub async fn next(&mut self) -> Result<Arc<Event>, Expired> {
        loop {
            let wake = self.wake.clone();
            let mut woken = std::pin::pin!(wake.notified());
            woken.as_mut().enable();
            if let Some(event) = self.try_next()? {
                return Ok(event);
            }
            woken.await;
        }
    }

    /// The next change if there is one already.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<Arc<Event>>, Expired> {
        let ring = self.ring.read();
        let dropped_before = match &self.topic {
            Some(topic) => ring.topics.get(topic).map_or(0, |topic| topic.dropped_before),
            None => ring.first,
        };
        if self.cursor < dropped_before || ring.closed {
            return Err(Expired { requested: self.after, oldest: ring.dropped });
        }
        let found = ring.from(self.cursor).find(|(_, event)| self.wants(event));
        let (cursor, after) = match &found {
            Some((number, event)) => (number + 1, event.revision),
            None => (ring.first + ring.events.len() as u64, self.after),
        };
        let event = found.map(|(_, event)| event.clone());
        drop(ring);
        self.cursor = cursor;
        // Events that share a revision are told apart by number, so `after` may only rise to just before this one.
        self.after = after.saturating_sub(u64::from(event.is_some())).max(self.after);
        Ok(event.map(|record| Arc::new(record.event())))
    }

    /// The revision up to which every event under the prefix was delivered by this watch.
    pub fn progress(&self) -> u64 {
        let ring = self.ring.read();
        let waiting = ring.from(self.cursor).find(|(_, event)| self.wants(event));
        waiting.map_or(ring.published, |(_, event)| event.revision - 1).max(self.after)
    }

    fn wants(&self, event: &Record) -> bool {
        event.revision > self.after && event.key.starts_with(&*self.prefix)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("prefix", &self.prefix)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

// === impl Record ===

impl Record {
    fn event(&self) -> Event {
        Event {
            revision: self.revision,
            key: self.key.clone(),
            kind: self.kind,
            value: self.value.bytes(),
            previous: self.previous.as_ref().map(|value| value.bytes()),
        }
    }
}

/// What holding an event costs: values that are current are held by the index anyway.
fn cost(event: &Record) -> usize {
    let gone = if event.kind == EventKind::Deleted { event.value.len() } else { 0 };
    EVENT_COST + gone + event.previous.as_ref().map_or(0, |value| value.len())
}

/// The first two segments of a key, or all of it if it has fewer.
pub(crate) fn topic_of_key(key: &str) -> &str {
    topic_of_prefix(key).unwrap_or(key)
}

/// The topic that holds every key with this prefix, if one does.
fn topic_of_prefix(prefix: &str) -> Option<&str> {
    prefix.match_indices('/').nth(1).map(|(at, _)| &prefix[..=at])
}

#[cfg(test)]
mod tests;
