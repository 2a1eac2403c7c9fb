//! Conversion of objects of foreign definitions between versions by their webhook.
//!
//! All other conversion is done on the spot (`versions`). What a webhook has to convert is converted ahead, before anything
//! else looks at it: stored bytes become bytes of the version asked for, and new objects those of the stored version.
//!
//! **Invariant:** for kinds without a webhook nothing here costs anything.

mod review;
mod webhook;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use store::Entry;
use wire::Status;

use crate::{body::to_json, core::Core, random, registry::KindRef, versions};

/// Objects of one request to a webhook.
const AT_ONCE: usize = 500;

/// Makes stored bytes such as the rest of this server can read for a kind.
///
/// # Errors
/// 500 with the webhook's reason.
pub(crate) async fn readable(core: &Arc<Core>, kind: &KindRef, bytes: Bytes) -> Result<Bytes, Status> {
    if webhook_of(kind).is_none() {
        return Ok(bytes);
    }
    let mut all = Box::pin(all_readable(core, kind, vec![bytes])).await?;
    all.pop().ok_or_else(|| Status::internal("a conversion gave nothing"))
}

/// The same for the entries of a list.
pub(crate) async fn readable_entries(
    core: &Arc<Core>,
    kind: &KindRef,
    entries: &mut [Entry],
) -> Result<(), Status> {
    if webhook_of(kind).is_none() {
        return Ok(());
    }
    for chunk in entries.chunks_mut(AT_ONCE) {
        let bytes = chunk.iter().map(|entry| entry.value.clone()).collect();
        let readable = Box::pin(all_readable(core, kind, bytes)).await?;
        chunk.iter_mut().zip(readable).for_each(|(entry, bytes)| entry.value = bytes);
    }
    Ok(())
}

/// Whether objects of a kind have to be made readable.
pub(crate) fn is_needed(kind: &KindRef) -> bool {
    webhook_of(kind).is_some()
}

/// An object as it is stored.
pub(crate) async fn storable(core: &Arc<Core>, kind: &KindRef, value: Value) -> Result<Value, Status> {
    let stored = kind.stored_api_version();
    let (Some(webhook), Some(stored)) = (webhook_of(kind), stored) else {
        return versions::to_storage(kind, value);
    };
    let mut converted = Box::pin(convert(core, kind, webhook, &stored, vec![value])).await?;
    converted.pop().ok_or_else(|| Status::internal("a conversion gave nothing"))
}

fn webhook_of(kind: &KindRef) -> Option<&Value> {
    kind.definition()?.webhook.as_ref()
}

async fn all_readable(core: &Arc<Core>, kind: &KindRef, all: Vec<Bytes>) -> Result<Vec<Bytes>, Status> {
    let Some(webhook) = webhook_of(kind) else { return Ok(all) };
    let wanted = kind.api_version();
    let mut out = all;
    let (mut places, mut objects) = (Vec::new(), Vec::new());
    for (place, bytes) in out.iter().enumerate() {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Status::internal(format!("stored object: {error}")))?;
        if value["apiVersion"] != *wanted {
            places.push(place);
            objects.push(versions::completed(kind, value));
        }
    }
    if objects.is_empty() {
        return Ok(out);
    }
    let converted = convert(core, kind, webhook, &wanted, objects).await?;
    for (place, value) in places.into_iter().zip(converted) {
        out[place] = to_json(&value).into();
    }
    Ok(out)
}

/// Objects in another version, in their order.
async fn convert(
    core: &Arc<Core>,
    kind: &KindRef,
    webhook: &Value,
    wanted: &str,
    objects: Vec<Value>,
) -> Result<Vec<Value>, Status> {
    let group = kind.group.as_ref();
    let version = objects.first().and_then(|object| object["apiVersion"].as_str()).unwrap_or_default();
    let version = version.rsplit('/').next().unwrap_or_default().to_owned();
    let failed = |why: String| {
        Status::internal(format!(
            "conversion webhook for {group}/{version}, Kind={} failed: {why}",
            kind.kind
        ))
    };
    let uid = random::uid();
    let review = review::Review::of(webhook).ok_or_else(|| failed(review::UNSUPPORTED.to_owned()))?;
    let request = to_json(&review.request(&uid, wanted, &objects));
    let answer = webhook::call(core, webhook, request).await.map_err(failed)?;
    let converted = review.converted(&uid, wanted, objects, &answer).map_err(failed)?;
    Ok(converted.into_iter().map(|value| versions::trimmed(kind, value)).collect())
}
