//! Pages of a list that all show one revision, although the store keeps only current objects.
//!
//! A page of an older revision is the current page with the changes since then undone, from the watch window. When the
//! window no longer reaches back, the answer is 410, as Kubernetes answers after a compaction.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use store::{Entry, EventKind, List, Store};
use wire::Status;

/// Where the next page begins, in Kubernetes' form.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    v: String,
    #[serde(rename = "rv")]
    pub(super) revision: u64,
    /// The last key shown, below the list's prefix.
    #[serde(rename = "start")]
    pub(super) after: String,
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

fn undone(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    revision: u64,
) -> Result<List, Status> {
    let mut watch = store.watch(prefix, revision).map_err(|expired| too_old(&expired))?;
    let now = store.list(prefix, after, 0);
    let mut entries: BTreeMap<_, _> =
        now.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(event) = watch.try_next().map_err(|expired| too_old(&expired))? {
        if event.revision > now.revision {
            break;
        }
        let in_page = after.is_none_or(|after| &*event.key > after);
        // Only the first change of a key since then tells what it was before.
        if !in_page || !seen.insert(event.key.clone()) {
            continue;
        }
        match (event.kind, &event.previous) {
            (EventKind::Created, _) | (_, None) => drop(entries.remove(&event.key)),
            (_, Some(previous)) => {
                let entry = Entry { key: event.key.clone(), value: previous.clone(), revision };
                entries.insert(event.key.clone(), entry);
            }
        }
    }
    let total = entries.len();
    let shown = if limit == 0 { total } else { limit.min(total) };
    let entries = entries.into_values().take(shown).collect();
    Ok(List { revision, entries, remaining: total - shown })
}

fn too_old(_: &store::Expired) -> Status {
    Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter.",
    )
}

// === impl Token ===

impl Token {
    pub(super) fn new(revision: u64, last_key: &str, prefix: &str) -> Self {
        let after = last_key.strip_prefix(prefix).unwrap_or(last_key).to_owned();
        Self { v: "meta.k8s.io/v1".to_owned(), revision, after }
    }

    pub(super) fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(crate::body::to_json(self))
    }

    pub(super) fn parse(text: &str) -> Result<Self, Status> {
        let bad = || Status::bad_request("continue key is not valid");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| bad())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        if token.v == "meta.k8s.io/v1" && token.revision > 0 { Ok(token) } else { Err(bad()) }
    }
}
