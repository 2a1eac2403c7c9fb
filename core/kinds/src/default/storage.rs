//! Defaults of claims, volumes and storage classes.

use serde_json::Value;

use super::quantity;
use crate::value::{object, set_default};

/// A persistent volume.
pub(super) fn volume(volume: &mut Value) {
    object(volume, "status");
    if let Some(status) = volume.get_mut("status") {
        set_default(status, "phase", "Pending");
    }
    object(volume, "spec");
    let Some(spec) = volume.get_mut("spec") else { return };
    set_default(spec, "persistentVolumeReclaimPolicy", "Retain");
    set_default(spec, "volumeMode", "Filesystem");
    quantity::resource_list(spec, "/capacity");
    if let Some(path) = spec.get_mut("hostPath") {
        set_default(path, "type", "");
    }
}

/// A persistent volume claim.
pub(super) fn claim(claim: &mut Value) {
    object(claim, "status");
    if let Some(status) = claim.get_mut("status") {
        set_default(status, "phase", "Pending");
        quantity::resource_list(status, "/capacity");
    }
    object(claim, "spec");
    if let Some(spec) = claim.get_mut("spec") {
        claim_spec(spec);
    }
}

/// The spec of a claim, or of a claim template.
pub(super) fn claim_spec(spec: &mut Value) {
    set_default(spec, "volumeMode", "Filesystem");
    quantity::resource_list(spec, "/resources/requests");
    quantity::resource_list(spec, "/resources/limits");
}

/// A storage class.
pub(super) fn class(class: &mut Value) {
    set_default(class, "reclaimPolicy", "Delete");
    set_default(class, "volumeBindingMode", "Immediate");
}
