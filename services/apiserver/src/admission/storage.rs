//! Claims and volumes: protected while in use, from the moment they are made; and which claims may grow.

use serde_json::{Value, json};
use store::Store;
use wire::{Qualified, Quantity, Status};

use crate::object;

/// Keeps a claim while a pod uses it.
pub(super) const CLAIM: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while it is bound.
pub(super) const VOLUME: &str = "kubernetes.io/pv-protection";
const CLASSES: &str = "storage.k8s.io/storageclasses//";

/// Adds the finalizer of protection.
pub(super) fn protect(new: &mut Value, finalizer: &str) {
    let mut finalizers: Vec<String> = object::finalizers(new).into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push(finalizer.to_owned());
        object::set(new, "finalizers", json!(finalizers));
    }
}

/// Refuses a claim that would grow beyond what its class allows.
pub(super) fn growth(store: &Store, resource: Qualified<'_>, new: &Value, old: &Value) -> Result<(), Status> {
    let size = |claim: &Value| {
        let amount = claim.pointer("/spec/resources/requests/storage");
        amount.and_then(|amount| Quantity::from_value(amount).ok())
    };
    if size(new) <= size(old) {
        return Ok(());
    }
    let refused = |why: &str| Err(Status::forbidden(resource, object::name(new), why));
    if old["status"]["phase"] != "Bound" {
        return refused("Only bound persistent volume claims can be expanded");
    }
    let class =
        old["spec"]["storageClassName"].as_str().and_then(|class| store.get(&format!("{CLASSES}{class}")));
    let class = class.and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
    if class.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    refused(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}
