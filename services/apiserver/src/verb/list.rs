//! List.

use std::sync::Arc;

use bytes::Bytes;
use store::Entry;
use wire::{Cause, ListOptions, Reason, Status, options::VersionMatch, status::Details};

use super::{
    Call,
    page::{self, Token},
};
use crate::{body::Reply, conversion, filter::Filter, stored, view::ListMeta};

/// Objects looked at in one step while a page is filled.
const STEP: usize = 500;

/// What a list found.
pub(super) struct Found {
    pub(super) meta: ListMeta,
    pub(super) entries: Vec<Entry>,
}

/// Where a list begins, and what is known of it.
struct Start {
    /// The revision to show, if it is pinned.
    revision: Option<u64>,
    /// The key to start after.
    after: Option<String>,
    /// How many objects there are from here on, if they were counted.
    left: Option<usize>,
}

/// Answers with a list.
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, Status> {
    let options = ListOptions::from_query(&call.query)?;
    let found = find(call, &options).await?;
    let items: Vec<Bytes> = found.entries.into_iter().map(|entry| entry.value).collect();
    call.view()?.list(&found.meta, &items)
}

/// Refuses a revision that does not exist yet.
pub(super) fn not_from_the_future(call: &Call<'_>, asked: Option<u64>) -> Result<(), Status> {
    let current = call.core.store.revision();
    match asked {
        Some(asked) if asked > current => Err(too_large(asked, current)),
        _ => Ok(()),
    }
}

/// The objects that a list asks for.
pub(super) async fn find(call: &Call<'_>, options: &ListOptions) -> Result<Found, Status> {
    let filter = Filter::new(call.kind(), options)?;
    let prefix = stored::namespace_prefix(call.kind(), &call.target.namespace);
    let start = start(call, options, &prefix)?;
    let after = start.after.clone();
    let expired = |status: Status| match &options.continue_token {
        Some(_) if status.code == 410 => {
            page::expired(after.as_deref().and_then(|after| after.strip_prefix(&prefix)))
        }
        _ => status,
    };
    let store = &call.core.store;
    if options.limit == 0 {
        let list = page::at(store, &prefix, start.after.as_deref(), 0, start.revision);
        let mut list = list.map_err(expired)?;
        conversion::readable_entries(call.core, call.kind(), &mut list.entries).await?;
        list.entries.retain(|entry| filter.wants(&entry.key, &entry.value));
        return Ok(Found {
            meta: ListMeta { revision: list.revision, ..ListMeta::default() },
            entries: list.entries,
        });
    }
    fill(call, &prefix, &filter, start, options.limit).await.map_err(expired)
}

/// Where a list begins.
fn start(call: &Call<'_>, options: &ListOptions, prefix: &str) -> Result<Start, Status> {
    if let Some(token) = &options.continue_token {
        let token = Token::parse(token)?;
        if options.resource_version.unwrap_or(0) != 0 {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(why));
        }
        let after = Some(format!("{prefix}{}", token.after));
        return Ok(Start { revision: token.revision(), after, left: token.left });
    }
    let asked = options.resource_version.filter(|asked| *asked > 0);
    not_from_the_future(call, asked)?;
    // A page at a revision shows that revision, although nobody said that it must.
    let exact = match options.version_match {
        Some(wanted) => wanted == VersionMatch::Exact,
        None => options.limit > 0,
    };
    Ok(Start { revision: asked.filter(|_| exact), after: None, left: None })
}

/// Fills a page up to its limit, looking further while the filter drops objects.
async fn fill(
    call: &Call<'_>,
    prefix: &str,
    filter: &Filter,
    start: Start,
    limit: usize,
) -> Result<Found, Status> {
    let store = &call.core.store;
    let Start { mut revision, mut after, left } = start;
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let step = if filter.is_empty() { limit } else { STEP.max(limit) };
        let mut list = page::at(store, prefix, after.as_deref(), step, revision)?;
        conversion::readable_entries(call.core, call.kind(), &mut list.entries).await?;
        let current = revision.is_none();
        revision = Some(list.revision);
        let last: Option<Arc<str>> = list.entries.last().map(|entry| entry.key.clone());
        let mut wanted = list.entries.into_iter().filter(|entry| filter.wants(&entry.key, &entry.value));
        entries.extend(wanted.by_ref().take(limit - entries.len()));
        let full = entries.len() == limit;
        let more_here = full && wanted.next().is_some();
        let end = if full { entries.last().map(|entry| entry.key.clone()) } else { last };
        let done = !list.more && !more_here;
        if done || full {
            let end = end.as_deref().unwrap_or_default();
            // Counted once, when the list begins; every page takes off what it shows.
            let left = match left {
                _ if done || !filter.is_empty() => None,
                Some(left) => Some(left.saturating_sub(entries.len()).max(1)),
                None => current.then(|| store.count(prefix, Some(end)).max(1)),
            };
            let token = (!done).then(|| Token::new(list.revision, end, prefix, left).text());
            return Ok(Found { meta: ListMeta { revision: list.revision, token, remaining: left }, entries });
        }
        after = end.as_deref().map(str::to_owned);
    }
}

fn too_large(asked: u64, current: u64) -> Status {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let cause = Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        ..Cause::default()
    };
    Status::failure(504, Reason::Timeout, format!("Timeout: {message}")).with(Details {
        causes: vec![cause],
        retry_after_seconds: 1,
        ..Details::default()
    })
}
