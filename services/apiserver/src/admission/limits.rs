//! Limit ranges: what a namespace adds to new pods, and what it refuses.

use kinds::Body;
use serde_json::Value;
use store::Store;
use wire::Status;

use crate::{object, route::Target};

const RANGES: &str = "core/limitranges/";

/// Completes a new pod or claim by the ranges of its namespace, or refuses it.
pub(super) fn admit(store: &Store, target: &Target, new: &mut Value) -> Result<(), Status> {
    let entries = store.list(&format!("{RANGES}{}/", target.namespace), None, 0).entries;
    if entries.is_empty() {
        return Ok(());
    }
    let ranges: Vec<Value> =
        entries.iter().filter_map(|entry| serde_json::from_slice(&entry.value).ok()).collect();
    if matches!(target.kind.body, Body::Pod) {
        kinds::limits::fill(&ranges, new);
        new["status"]["qosClass"] = kinds::qos_class(new).into();
    }
    match kinds::limits::refusal(&ranges, &target.kind.plural, new) {
        Some(why) => Err(Status::forbidden(target.resource(), object::name(new), why)),
        None => Ok(()),
    }
}
