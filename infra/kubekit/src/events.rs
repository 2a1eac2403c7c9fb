//! Tells people what happened to an object, as `events.k8s.io/v1` events that `kubectl describe` shows.
//!
//! Telling never waits and never fails a caller: what does not fit the buffer is counted and dropped. The same thing
//! happening again within six minutes becomes a series of one event, written at most every ten seconds. One object
//! may cause a burst of 25 different events and one more every ten seconds.
//!
//! **Invariant:** memory is bounded; an event storm costs the server a bounded number of requests.

mod series;

#[cfg(test)]
mod tests;

use crate::{Failure, Key};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use series::{Ledger, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Happenings that wait to be written.
const BUFFER: usize = 1024;
/// How often due series are looked for.
const TICK: Duration = Duration::from_secs(1);
/// At shutdown, what waits is written within this time.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Tries for one event while the server is unwell.
const TRIES: u32 = 3;
/// Kubernetes' limit on the note, in bytes.
const NOTE_LIMIT: usize = 1024;

/// Something that happened to an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Happening {
    /// The object.
    pub regarding: ObjectReference,
    /// Another object that plays a part.
    pub related: Option<ObjectReference>,
    /// Whether somebody should look at it.
    pub warning: bool,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// What was being done, in CamelCase.
    pub action: String,
    /// The sentence that people read; cut at 1024 bytes.
    pub note: String,
}

/// Where to tell. Clones share one buffer.
#[derive(Clone, Debug)]
pub struct EventRecorder {
    sender: mpsc::Sender<Happening>,
    dropped: Arc<AtomicU64>,
}

/// The writing side.
pub struct Writer {
    client: Client,
    controller: String,
    instance: String,
    receiver: mpsc::Receiver<Happening>,
    ledger: Ledger,
    names: u64,
}

// === impl EventRecorder ===

impl EventRecorder {
    /// A recorder that reports as `controller` (for example `sandbox-controller`) on `instance` (for example the host),
    /// and the writer to run.
    pub fn new(client: Client, controller: &str, instance: &str) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let writer = Writer {
            client,
            controller: controller.to_owned(),
            instance: instance.to_owned(),
            receiver,
            ledger: Ledger::default(),
            names: 0,
        };
        (Self { sender, dropped: Arc::default() }, writer)
    }

    /// Tells. Never waits.
    pub fn tell(&self, happening: Happening) {
        if self.sender.try_send(happening).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many happenings were dropped because the buffer was full or the writer gone.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

// === impl Writer ===

impl Writer {
    /// Writes until shutdown, then writes what still waits, for two seconds at most.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                happening = self.receiver.recv() => match happening {
                    Some(happening) => self.happened(happening).await,
                    None => break,
                },
                _ = tick.tick() => self.flush(false).await,
            }
        }
        let last = async {
            while let Ok(happening) = self.receiver.try_recv() {
                self.happened(happening).await;
            }
            self.flush(true).await;
        };
        if timeout(LAST_WORDS, last).await.is_err() {
            tracing::debug!("some events were not written before shutdown");
        }
    }

    async fn happened(&mut self, happening: Happening) {
        match self.ledger.enter(&happening, Instant::now()) {
            Verdict::Repeats | Verdict::Muted => {}
            Verdict::New => {
                let event = self.event(&happening);
                let written = Key::of(&event.metadata);
                if self.create(&event).await {
                    self.ledger.written(&happening, written);
                } else {
                    self.ledger.forget(&happening);
                }
            }
        }
    }

    async fn create(&self, event: &Event) -> bool {
        let api: Api<Event> =
            Api::namespaced(self.client.clone(), event.metadata.namespace.as_deref().unwrap_or("default"));
        for attempt in 1..=TRIES {
            match api.create(&PostParams::default(), event).await {
                Ok(_) => return true,
                Err(error) if Failure::of(&error) == Failure::Transient && attempt < TRIES => {
                    sleep(Duration::from_millis(100) * attempt).await;
                }
                // An event about something in a namespace that is going away has nobody to read it.
                Err(error) => {
                    tracing::debug!(%error, note = event.note, "an event was not written");
                    return false;
                }
            }
        }
        false
    }

    async fn flush(&mut self, all: bool) {
        for due in self.ledger.due(Instant::now(), all) {
            let api: Api<Event> = Api::namespaced(self.client.clone(), &due.written.namespace);
            let series =
                json!({ "series": { "count": due.count, "lastObservedTime": MicroTime(Timestamp::now()) } });
            let patched = api.patch(&due.written.name, &PatchParams::default(), &Patch::Merge(series)).await;
            if let Err(error) = patched {
                tracing::debug!(%error, "a series of events was not written");
                if Failure::of(&error) == Failure::NotFound {
                    self.ledger.gone(&due.written);
                }
            }
        }
    }

    fn event(&mut self, happening: &Happening) -> Event {
        let regarding = &happening.regarding;
        let now = Timestamp::now();
        self.names += 1;
        let about: String = regarding.name.as_deref().unwrap_or("unknown").chars().take(200).collect();
        let name = format!("{about}.{:x}{:04x}", now.as_nanosecond(), self.names % 0x1_0000);
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        Event {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
            action: Some(happening.action.clone()),
            event_time: Some(MicroTime(now)),
            note: Some(cut(&happening.note, NOTE_LIMIT).to_owned()),
            reason: Some(happening.reason.clone()),
            regarding: Some(regarding.clone()),
            related: happening.related.clone(),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(cut(&self.instance, 128).to_owned()),
            type_: Some(if happening.warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

/// The first `limit` bytes of `text` at most, never half a character.
fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
