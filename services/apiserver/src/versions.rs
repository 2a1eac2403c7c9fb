//! Served versions and the one that is stored: sandbox kinds and events are served in two forms and stored in one, kinds of
//! foreign definitions in any number of forms, of which several may be stored.

use kinds::{Body, Kind};
use serde_json::Value;
use wire::Status;

use crate::registry::{Definition, KindRef};

/// Whether stored bytes are what clients of this kind get. Never so for foreign definitions: what they have stored may be of
/// any version, and fields may have got or lost a place or a default since.
pub(crate) fn is_as_stored(kind: &KindRef) -> bool {
    kind.definition().is_none() && kind.stored_api_version().is_none()
}

/// From the version in which the object was stored to the kind's.
pub(crate) fn from_storage(kind: &KindRef, mut value: Value) -> Result<Value, Status> {
    if let Some(definition) = kind.definition() {
        let value = completed(kind, value);
        if definition.webhook.is_some() && value["apiVersion"] != *kind.api_version() {
            return Err(Status::internal("an object was not converted by its webhook"));
        }
        return Ok(changed(definition, kind, value, &kind.version));
    }
    if kind.stored_api_version().is_none() {
        return Ok(value);
    }
    if matches!(kind.body, Body::Event) {
        kinds::event::to_events(&mut value);
        return Ok(value);
    }
    convert(value, &kind.api_version())
}

/// From the kind's version to the stored one.
pub(crate) fn to_storage(kind: &KindRef, mut value: Value) -> Result<Value, Status> {
    if let (Some(definition), Some(storage)) = (kind.definition(), &kind.storage) {
        return Ok(changed(definition, kind, value, &storage.version));
    }
    let Some(stored) = kind.stored_api_version() else { return Ok(value) };
    if matches!(kind.body, Body::Event) {
        kinds::event::to_core(&mut value);
        return Ok(value);
    }
    convert(value, &stored)
}

/// Puts the status of the stored object back into a new value of it (in its storage version), where a write of anything
/// else went through a version that cannot hold all of it. Only for our own kinds.
pub(crate) fn keep_status(kind: &KindRef, new: &mut Value, stored: &[u8]) -> Result<(), Status> {
    let lossy = kind.definition().is_none() && kind.custom().is_some() && kind.stored_api_version().is_some();
    if !lossy || !kind.has_status() {
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

/// A stored object of a foreign definition as its own version has it by now. Fact: defaults of reads are those of the stored
/// version, and what a version does not know is dropped, before and after conversion.
pub(crate) fn completed(kind: &KindRef, mut value: Value) -> Value {
    let found = value["apiVersion"].as_str().unwrap_or_default();
    let found = found.rsplit('/').next().unwrap_or_default();
    if let Some(schema) = kind.definition().and_then(|definition| definition.schema(found)) {
        schema::prune(schema, &mut value);
        schema::default(schema, &mut value);
    }
    value
}

/// An object of a foreign definition without the fields that its version does not know.
pub(crate) fn trimmed(kind: &KindRef, mut value: Value) -> Value {
    let found = value["apiVersion"].as_str().unwrap_or_default();
    let found = found.rsplit('/').next().unwrap_or_default();
    if let Some(schema) = kind.definition().and_then(|definition| definition.schema(found)) {
        schema::prune(schema, &mut value);
    }
    value
}

/// Conversion of the strategy `None`: another `apiVersion`, and without the fields that the version does not know.
fn changed(definition: &Definition, kind: &Kind, mut value: Value, version: &str) -> Value {
    let wanted = format!("{}/{version}", kind.group);
    if value["apiVersion"] != *wanted {
        value["apiVersion"] = wanted.into();
        if let Some(schema) = definition.schema(version) {
            schema::prune(schema, &mut value);
        }
    }
    value
}

fn convert(value: Value, api_version: &str) -> Result<Value, Status> {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    crd::convert(value, api_version)
        .map_err(|error| Status::internal(format!("conversion of {kind} to {api_version} failed: {error}")))
}
