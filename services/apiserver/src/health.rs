//! `/livez`, `/readyz` and `/healthz`: what the process's checks see, in Kubernetes' words.
//!
//! Reasons of failures are told to those who may read the path of the single check, and to the log; the list withholds them.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use parking_lot::Mutex;
use store::{Expect, Op, Store, Txn};
use telemetry::{Check, Health, health::Seen};
use tokio::task::AbortHandle;
use wire::Query;

use crate::{
    body::{self, Reply},
    metrics::Slis,
};

/// How long a check may take, as Kubernetes gives its look at etcd.
const PATIENCE: Duration = Duration::from_secs(2);
/// No object has this key: resources have a group before the first slash.
const NOTHING: &str = "health";
/// The check that fails when the process begins to end.
const SHUTDOWN: &str = "shutdown";

/// One of the three questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Does it work at all, or should it be started again?
    Livez,
    /// Should it be sent requests?
    Readyz,
    /// The old form of `/livez`.
    Healthz,
}

/// Tasks of the server that follow the store: roles, definitions. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followers(Arc<Mutex<Vec<(&'static str, AbortHandle)>>>);

/// One check's line of an answer.
struct Line {
    name: &'static str,
    seen: Option<Seen>,
}

/// Adds the checks of the server's own parts.
pub(crate) fn add_own(health: &Health, store: &Store, followers: &Followers) {
    // Fact: it proves nothing but that requests are answered, and every server of Kubernetes has it.
    health.add(Check::at_once("ping", || Ok(())));
    let asked = store.clone();
    health.add(Check::new("etcd", move || store_answers(asked.clone())));
    let asked = store.clone();
    health.add(Check::new("etcd-readiness", move || store_answers(asked.clone())).only_ready());
    let followers = followers.clone();
    health.add(Check::at_once("informer-sync", move || followers.follow()).only_ready());
}

/// A check that a certificate is valid still. `ends`: seconds since 1970.
pub(crate) fn certificate(name: &'static str, ends: impl Fn() -> i64 + Send + Sync + 'static) -> Check {
    Check::at_once(name, move || valid_at(ends(), Timestamp::now()))
}

fn valid_at(ends: i64, now: Timestamp) -> Seen {
    if now.as_second() < ends {
        return Ok(());
    }
    let ended = Timestamp::from_second(ends).map_or_else(|_| ends.to_string(), |ended| ended.to_string());
    Err(format!("the certificate ended at {ended}"))
}

/// Goes to the writer and back: it writes nothing, and fails once the store takes no more writes.
async fn store_answers(store: Store) -> Seen {
    let check = Op::Check { key: NOTHING.to_owned(), expect: Expect::Any };
    store.commit(Txn::one(check)).await.map(drop).map_err(|error| error.to_string())
}

// === impl Followers ===

impl Followers {
    /// One more.
    pub(crate) fn add(&self, what: &'static str, task: AbortHandle) {
        self.0.lock().push((what, task));
    }

    /// A follower that died leaves what it followed as it was then.
    fn follow(&self) -> Seen {
        let tasks = self.0.lock();
        match tasks.iter().find(|(_, task)| task.is_finished()) {
            Some((what, _)) => Err(format!("{what} are no longer followed")),
            None => Ok(()),
        }
    }
}

// === impl Question ===

impl Question {
    /// The question that a path's first segment asks.
    pub(crate) fn parse(segment: &str) -> Option<Self> {
        match segment {
            "livez" => Some(Self::Livez),
            "readyz" => Some(Self::Readyz),
            "healthz" => Some(Self::Healthz),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Healthz => "healthz",
        }
    }

    /// The checks that count here.
    fn checks(self, health: &Health) -> Vec<Arc<Check>> {
        let ready = self == Self::Readyz;
        let mut checks: Vec<Arc<Check>> =
            health.checks().into_iter().filter(|check| ready || !check.is_only_ready()).collect();
        if ready {
            let ending = health.clone();
            let shutdown = move || match ending.is_ending() {
                true => Err("process is shutting down".to_owned()),
                false => Ok(()),
            };
            checks.push(Arc::new(Check::at_once(SHUTDOWN, shutdown)));
        }
        checks
    }

    /// Answers for all checks but the excluded ones.
    pub(crate) async fn answer(self, health: &Health, slis: &Slis, query: &Query) -> Reply {
        let excluded: Vec<&str> = query.all("exclude").collect();
        let looks = self.checks(health).into_iter().map(|check| {
            let left_out = excluded.contains(&check.name());
            async move {
                let seen = if left_out { None } else { Some(look(&check).await) };
                Line { name: check.name(), seen }
            }
        });
        let lines = join_all(looks).await;
        for line in &lines {
            line.seen.iter().for_each(|seen| slis.checked(self.name(), line.name, seen.is_ok()));
        }
        let mut text: String = lines.iter().map(Line::shown).collect();
        text.push_str(&unmatched(&excluded, &lines));
        let name = self.name();
        let failed: Vec<String> = lines.iter().filter_map(Line::failure).collect();
        if !failed.is_empty() {
            tracing::warn!(failed = failed.join("; "), "{name} check failed");
            return plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{text}{name} check failed\n"));
        }
        if query.get("verbose").is_none() {
            return plain(StatusCode::OK, "ok".to_owned());
        }
        plain(StatusCode::OK, format!("{text}{name} check passed\n"))
    }

    /// Answers for one check, with the reason if it fails.
    pub(crate) async fn answer_one(self, health: &Health, name: &str) -> Reply {
        let Some(check) = self.checks(health).into_iter().find(|check| check.name() == name) else {
            return body::not_served();
        };
        match look(&check).await {
            Ok(()) => body::text(StatusCode::OK, "ok"),
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        }
    }
}

async fn look(check: &Check) -> Seen {
    let seen = tokio::time::timeout(PATIENCE, check.look()).await;
    seen.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}

/// What was excluded and is no check, as Go quotes it.
fn unmatched(excluded: &[&str], lines: &[Line]) -> String {
    let mut unknown: Vec<&str> =
        excluded.iter().copied().filter(|name| lines.iter().all(|line| line.name != *name)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    if unknown.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
    format!("warn: some health checks cannot be excluded: no matches for {}\n", quoted.join(","))
}

fn plain(status: StatusCode, text: String) -> Reply {
    let mut reply = body::text(status, text);
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

// === impl Line ===

impl Line {
    fn shown(&self) -> String {
        match &self.seen {
            None => format!("[+]{} excluded: ok\n", self.name),
            Some(Ok(())) => format!("[+]{} ok\n", self.name),
            Some(Err(_)) => format!("[-]{} failed: reason withheld\n", self.name),
        }
    }

    fn failure(&self) -> Option<String> {
        let why = self.seen.as_ref()?.as_ref().err()?;
        Some(format!("{}: {why}", self.name))
    }
}

#[cfg(test)]
mod tests;
