//! Defaults of volumes.

use serde_json::{Value, json};

use super::{container, quantity, storage};
use crate::value::{items_mut, set, set_default, text};

/// Mode of files in volumes made from objects: 0644.
const FILE_MODE: i64 = 0o644;
const TOKEN_SECONDS: i64 = 3600;

/// A volume of a pod. One without a source is an empty directory.
pub(super) fn volume(volume: &mut Value) {
    let bare = volume.as_object().is_some_and(|map| map.keys().all(|key| key == "name"));
    if bare {
        set(volume, "emptyDir", json!({}));
    }
    for name in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(name) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    for item in items_mut(volume, "/downwardAPI/items") {
        container::field_source(item);
    }
    for source in items_mut(volume, "/projected/sources") {
        projection(source);
    }
    if let Some(path) = volume.get_mut("hostPath") {
        set_default(path, "type", "");
    }
    if let Some(limit) = volume.pointer_mut("/emptyDir/sizeLimit") {
        quantity::canonical(limit);
    }
    if let Some(spec) = volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec") {
        storage::claim_spec(spec);
    }
    if let Some(image) = volume.get_mut("image") {
        let policy = container::pull_policy(text(image, "/reference"));
        set_default(image, "pullPolicy", policy);
    }
}

fn projection(source: &mut Value) {
    if let Some(token) = source.get_mut("serviceAccountToken") {
        set_default(token, "expirationSeconds", TOKEN_SECONDS);
    }
    for item in items_mut(source, "/downwardAPI/items") {
        container::field_source(item);
    }
}
