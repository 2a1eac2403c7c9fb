//! The rows of claims, volumes and storage classes.

use jiff::Timestamp;
use serde_json::{Value, json};
use wire::Column;

use super::{AGE, NAME, age, name, or, shown, wide};
use crate::value::{flag, items, text};

const CLASS_COLUMN: Column = shown("StorageClass", "string", "Class of the storage.");
const ATTRIBUTES: Column = shown("VolumeAttributesClass", "string", "Class of the volume's attributes.");
const MODE: Column = wide("VolumeMode", "string", "File system or block device.");

pub(super) const VOLUME: &[Column] = &[
    NAME,
    shown("Capacity", "string", "Size of the volume."),
    shown("Access Modes", "string", "Ways in which the volume can be mounted."),
    shown("Reclaim Policy", "string", "What becomes of the volume when its claim is gone."),
    shown("Status", "string", "Whether the volume is bound."),
    shown("Claim", "string", "Claim that the volume is bound to."),
    CLASS_COLUMN,
    ATTRIBUTES,
    shown("Reason", "string", "Why the volume failed."),
    AGE,
    MODE,
];
pub(super) const CLAIM: &[Column] = &[
    NAME,
    shown("Status", "string", "Whether the claim is bound."),
    shown("Volume", "string", "Volume that the claim is bound to."),
    shown("Capacity", "string", "Size of the volume."),
    shown("Access Modes", "string", "Ways in which the volume can be mounted."),
    CLASS_COLUMN,
    ATTRIBUTES,
    AGE,
    MODE,
];
pub(super) const CLASS: &[Column] = &[
    NAME,
    shown("Provisioner", "string", "What makes volumes of the class."),
    shown("ReclaimPolicy", "string", "What becomes of volumes when their claim is gone."),
    shown("VolumeBindingMode", "string", "When volumes are made and bound."),
    shown("AllowVolumeExpansion", "string", "Whether volumes can grow."),
    AGE,
];

pub(super) fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match volume.pointer("/spec/claimRef") {
        Some(claim) => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")),
        None => String::new(),
    };
    vec![
        name(volume),
        json!(amount(volume, "/spec/capacity/storage")),
        json!(modes(volume, "/spec/accessModes")),
        json!(text(volume, "/spec/persistentVolumeReclaimPolicy")),
        json!(phase(volume)),
        json!(claim),
        json!(class_name(volume)),
        json!(or(volume, "/spec/volumeAttributesClassName", "<unset>")),
        json!(text(volume, "/status/reason")),
        age(volume, now),
        json!(or(volume, "/spec/volumeMode", "<unset>")),
    ]
}

pub(super) fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let bound = !text(claim, "/spec/volumeName").is_empty();
    let capacity = if bound { amount(claim, "/status/capacity/storage") } else { "" };
    let modes = if bound { modes(claim, "/status/accessModes") } else { String::new() };
    vec![
        name(claim),
        json!(phase(claim)),
        json!(text(claim, "/spec/volumeName")),
        json!(capacity),
        json!(modes),
        json!(class_name(claim)),
        json!(or(claim, "/spec/volumeAttributesClassName", "<unset>")),
        age(claim, now),
        json!(or(claim, "/spec/volumeMode", "<unset>")),
    ]
}

pub(super) fn class(class: &Value, now: Timestamp) -> Vec<Value> {
    let annotation = |key: &str| {
        class.pointer("/metadata/annotations").and_then(|a| a.get(key)).and_then(Value::as_str)
            == Some("true")
    };
    let default = annotation("storageclass.kubernetes.io/is-default-class")
        || annotation("storageclass.beta.kubernetes.io/is-default-class");
    let suffix = if default { " (default)" } else { "" };
    vec![
        json!(format!("{}{suffix}", text(class, "/metadata/name"))),
        json!(text(class, "/provisioner")),
        json!(or(class, "/reclaimPolicy", "Delete")),
        json!(or(class, "/volumeBindingMode", "Immediate")),
        json!(flag(class, "/allowVolumeExpansion")),
        age(class, now),
    ]
}

fn phase(object: &Value) -> &str {
    if text(object, "/metadata/deletionTimestamp").is_empty() {
        text(object, "/status/phase")
    } else {
        "Terminating"
    }
}

/// A quantity that is not there is zero.
fn amount<'v>(object: &'v Value, pointer: &str) -> &'v str {
    or(object, pointer, "0")
}

/// The class, which an old annotation may name.
fn class_name(object: &Value) -> &str {
    let annotation = object
        .pointer("/metadata/annotations")
        .and_then(|a| a.get("volume.beta.kubernetes.io/storage-class"))
        .and_then(Value::as_str);
    annotation.unwrap_or_else(|| text(object, "/spec/storageClassName"))
}

fn modes(object: &Value, pointer: &str) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| items(object, pointer).any(|m| m == mode);
    let present: Vec<&str> =
        short.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect();
    present.join(",")
}
