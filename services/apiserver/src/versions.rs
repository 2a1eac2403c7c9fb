//! Served versions and the one that is stored: sandbox kinds and events are served in two forms and stored in one.

use kinds::{Body, Kind};
use serde_json::Value;
use wire::Status;

/// Whether the kind's version is the stored one.
pub(crate) fn is_storage(kind: &Kind) -> bool {
    kind.stored_api_version().is_none()
}

/// From the stored version to the kind's.
pub(crate) fn from_storage(kind: &Kind, mut value: Value) -> Result<Value, Status> {
    if is_storage(kind) {
        return Ok(value);
    }
    if matches!(kind.body, Body::Event) {
        kinds::event::to_events(&mut value);
        return Ok(value);
    }
    convert(value, &kind.api_version())
}

/// From the kind's version to the stored one.
pub(crate) fn to_storage(kind: &Kind, mut value: Value) -> Result<Value, Status> {
    let Some(stored) = kind.stored_api_version() else { return Ok(value) };
    if matches!(kind.body, Body::Event) {
        kinds::event::to_core(&mut value);
        return Ok(value);
    }
    convert(value, &stored)
}

/// Puts the status of the stored object back into a new value of it (in its storage version), where a write of anything
/// else went through a version that cannot hold all of it.
pub(crate) fn keep_status(kind: &Kind, new: &mut Value, stored: &[u8]) -> Result<(), Status> {
    if is_storage(kind) || kind.custom().is_none() || !kind.has_status() {
        return Ok(());
    }
    let mut stored: Value = serde_json::from_slice(stored)
        .map_err(|error| Status::internal(format!("stored object: {error}")))?;
    match stored["status"].take() {
        Value::Null => new.as_object_mut().map(|new| new.remove("status")),
        status => new.as_object_mut().map(|new| new.insert("status".to_owned(), status)),
    };
    Ok(())
}

fn convert(value: Value, api_version: &str) -> Result<Value, Status> {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    crd::convert(value, api_version)
        .map_err(|error| Status::internal(format!("conversion of {kind} to {api_version} failed: {error}")))
}
