//! Pages of a list that all show one revision, although the store keeps only current objects.
//!
//! A page of an older revision is the current page with the changes since then undone, from the watch window. When the
//! window no longer reaches back, the answer is 410, as Kubernetes answers after a compaction.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::{Entry, EventKind, List, Store};
use wire::Status;

use crate::input;

/// The version of the token's form.
const VERSION: &str = "meta.k8s.io/v1";
/// In a token: whatever revision is the newest.
const LATEST: i64 = -1;

/// Where the next page begins, in Kubernetes' form.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    v: String,
    #[serde(rename = "rv", default)]
    revision: i64,
    /// The last key shown, below the list's prefix.
    #[serde(rename = "start", default)]
    pub(super) after: String,
    /// How many objects follow, where somebody has counted: of one revision that does not change.
    #[serde(rename = "left", default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<usize>,
}

/// A page at a revision (none: the current one).
pub(super) fn at(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    revision: Option<u64>,
) -> Result<List, Status> {
    let current = store.list(prefix, after, limit);
    match revision {
        Some(revision) if revision < current.revision => undone(store, prefix, after, limit, revision),
        _ => Ok(current),
    }
}

/// The page of an older revision: the current one, with what has changed since then as it was.
fn undone(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    revision: u64,
) -> Result<List, Status> {
    let mut watch = store.watch(prefix, revision).map_err(|expired| too_old(&expired))?;
    let mut then: BTreeMap<Arc<str>, Option<Entry>> = BTreeMap::new();
    loop {
        // Enough for a full page even if everything that has changed falls into it.
        let wanted = if limit == 0 { 0 } else { limit + then.len() + 1 };
        let now = store.list(prefix, after, wanted);
        let known = then.len();
        collect(&mut watch, after, now.revision, revision, &mut then)?;
        if wanted == 0 || then.len() == known {
            return Ok(replaced(now, &then, limit, revision));
        }
    }
}

/// What the keys that have changed since the watch began were then: the first change of each tells. All changes up to
/// `until` are awaited; later ones do no harm, because what they changed is now as it was then.
fn collect(
    watch: &mut store::Watch,
    after: Option<&str>,
    until: u64,
    revision: u64,
    then: &mut BTreeMap<Arc<str>, Option<Entry>>,
) -> Result<(), Status> {
    loop {
        while let Some(event) = watch.try_next().map_err(|expired| too_old(&expired))? {
            if after.is_some_and(|after| &*event.key <= after) || then.contains_key(&event.key) {
                continue;
            }
            let before = event.previous.clone().filter(|_| event.kind != EventKind::Created);
            let entry = before.map(|value| Entry { key: event.key.clone(), value, revision });
            then.insert(event.key.clone(), entry);
        }
        if watch.progress() >= until {
            return Ok(());
        }
        // The writer shows a commit to readers a moment before it shows it to watchers.
        std::thread::yield_now();
    }
}

fn replaced(now: List, then: &BTreeMap<Arc<str>, Option<Entry>>, limit: usize, revision: u64) -> List {
    let end = now.entries.last().filter(|_| now.more).map(|last| last.key.clone());
    let in_reach = |key: &Arc<str>| end.as_ref().is_none_or(|end| key <= end);
    let kept = now.entries.into_iter().filter(|entry| !then.contains_key(&entry.key));
    let restored = then.values().flatten().filter(|entry| in_reach(&entry.key)).cloned();
    let entries: BTreeMap<Arc<str>, Entry> =
        kept.chain(restored).map(|entry| (entry.key.clone(), entry)).collect();
    let shown = if limit == 0 { entries.len() } else { limit.min(entries.len()) };
    let more = now.more || shown < entries.len();
    List { revision, entries: entries.into_values().take(shown).collect(), more }
}

/// The list cannot be shown at the revision it asks for.
fn too_old(_: &store::Expired) -> Status {
    Status::expired("The resourceVersion for the provided list is too old.")
}

/// The next page of a list whose revision is no longer kept: the client may start anew, or go on from `after` at another
/// revision with the token that comes along.
pub(super) fn expired(after: Option<&str>) -> Status {
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let token = Token {
        v: VERSION.to_owned(),
        revision: LATEST,
        after: after.unwrap_or_default().to_owned(),
        left: None,
    };
    Status { continue_token: Some(token.text()), ..status }
}

// === impl Token ===

impl Token {
    pub(super) fn new(revision: u64, last_key: &str, prefix: &str, left: Option<usize>) -> Self {
        let after = last_key.strip_prefix(prefix).unwrap_or(last_key).to_owned();
        Self { v: VERSION.to_owned(), revision: i64::try_from(revision).unwrap_or(LATEST), after, left }
    }

    /// The revision that the list shows; none means the newest.
    pub(super) fn revision(&self) -> Option<u64> {
        u64::try_from(self.revision).ok()
    }

    pub(super) fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(crate::body::to_json(self))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Status> {
        let bad = |why: String| {
            Status::bad_request(format!("invalid continue token: continue key is not valid{why}"))
        };
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| bad(format!(": {}", input::illegal(&error, text))))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|error| bad(format!(": {error}")))?;
        if token.v != VERSION {
            return Err(bad(format!(": server does not recognize this encoded version {}", token.v)));
        }
        if token.revision == 0 {
            return Err(bad(format!(": incorrect encoded start resourceVersion (version {VERSION})")));
        }
        if token.after.is_empty() {
            return Err(bad(format!(": encoded start key empty (version {VERSION})")));
        }
        // A client cannot climb out of its list.
        let outside = |part: &str| matches!(part, "" | "." | "..");
        if token.after.strip_prefix('/').unwrap_or(&token.after).split('/').any(outside) {
            return Err(bad(format!(": {}", token.after)));
        }
        Ok(token)
    }
}
