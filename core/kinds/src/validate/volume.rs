//! Volumes and where containers mount them.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, Quantity};

use super::{Errors, downward, label, one_of, required, storage};
use crate::value::{flag, items, missing, number, text};

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// Volume sources, in the order in which Kubernetes looks for them.
const SOURCES: [&str; 31] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
    "local",
];

/// The volumes of a pod; answers those that are in order, by name.
pub(super) fn volumes<'v>(
    spec: &'v Value,
    path: &Path<'_>,
    errors: &mut Errors,
) -> Vec<(&'v str, &'v Value)> {
    let mut valid: Vec<(&str, &Value)> = Vec::new();
    for (index, volume) in items(spec, "/volumes").enumerate() {
        let at = path.index(index);
        let mut own = Errors::new();
        sources(volume, &at, &mut own);
        let name = text(volume, "/name");
        required(&mut own, &at.child("name"), name);
        label(&mut own, &at.child("name"), name);
        if valid.iter().any(|(other, _)| *other == name) {
            own.push(FieldError::duplicate(at.child("name"), name));
        }
        if own.is_empty() {
            valid.push((name, volume));
        } else {
            errors.extend(own);
        }
    }
    valid
}

fn sources(volume: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in SOURCES {
        let Some(source) = volume.get(kind) else { continue };
        let at = path.child(kind);
        if found {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 volume type"));
            continue;
        }
        found = true;
        source_of(kind, source, &at, errors);
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn source_of(kind: &str, source: &Value, path: &Path<'_>, errors: &mut Errors) {
    match kind {
        "emptyDir" => {
            let limit = source.get("sizeLimit").map(Quantity::from_value);
            if limit.is_some_and(|limit| limit.is_ok_and(|limit| limit.sign() < 0)) {
                let why = "SizeLimit field must be a valid resource quantity";
                errors.push(FieldError::forbidden(path.child("sizeLimit"), why));
            }
        }
        "hostPath" => host_path(source, path, errors),
        "secret" => {
            required(errors, &path.child("secretName"), text(source, "/secretName"));
            files(source, path, errors);
        }
        "configMap" => {
            required(errors, &path.child("name"), text(source, "/name"));
            files(source, path, errors);
        }
        "persistentVolumeClaim" => {
            required(errors, &path.child("claimName"), text(source, "/claimName"));
        }
        "downwardAPI" => {
            mode(source, "defaultMode", path, errors);
            downward_files(source, path, errors);
        }
        "projected" => {
            mode(source, "defaultMode", path, errors);
            projected(source, path, errors);
        }
        "ephemeral" => {
            let template = path.child("volumeClaimTemplate");
            match source.get("volumeClaimTemplate") {
                None => errors.push(FieldError::required(template, "")),
                Some(claim) => storage::claim_spec(claim, &template.child("spec"), errors),
            }
        }
        _ => {}
    }
}

/// A path on the host.
pub(super) fn host_path(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    match text(source, "/path") {
        "" => errors.push(FieldError::required(path.child("path"), "")),
        own => no_backsteps(own, &path.child("path"), errors),
    }
    let kind = text(source, "/type");
    if !kind.is_empty() && !HOST_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(path.child("type"), kind, &HOST_TYPES));
    }
}

/// Mode and items of a volume made from an object's keys.
fn files(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let list = path.child("items");
    for (index, item) in items(source, "/items").enumerate() {
        key_to_path(item, &list.index(index), errors);
    }
}

fn key_to_path(item: &Value, path: &Path<'_>, errors: &mut Errors) {
    required(errors, &path.child("key"), text(item, "/key"));
    required(errors, &path.child("path"), text(item, "/path"));
    local_path(text(item, "/path"), &path.child("path"), errors);
    mode(item, "mode", path, errors);
}

fn downward_files(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    for item in items(source, "/items") {
        required(errors, &path.child("path"), text(item, "/path"));
        local_path(text(item, "/path"), &path.child("path"), errors);
        match (item.get("fieldRef"), item.get("resourceFieldRef")) {
            (Some(_), Some(_)) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", why));
            }
            (None, None) => {
                let why = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(path, why));
            }
            (Some(field), None) => downward::field(field, downward::FILE, &path.child("fieldRef"), errors),
            (None, Some(resource)) => {
                downward::resource(resource, true, &path.child("resourceFieldRef"), errors);
            }
        }
        mode(item, "mode", path, errors);
    }
}

fn projected(source: &Value, path: &Path<'_>, errors: &mut Errors) {
    let sources = path.child("sources");
    let mut paths = BTreeSet::new();
    for (index, projection) in items(source, "/sources").enumerate() {
        let at = sources.index(index);
        for kind in ["secret", "configMap"] {
            if let Some(own) = projection.get(kind) {
                let at = at.child(kind);
                required(errors, &at.child("name"), text(own, "/name"));
                files(own, &at, errors);
            }
        }
        if let Some(own) = projection.get("downwardAPI") {
            downward_files(own, &at.child("downwardAPI"), errors);
        }
        if let Some(token) = projection.get("serviceAccountToken") {
            let seconds = at.child("serviceAccountToken");
            let lifetime = number(token, "/expirationSeconds");
            if lifetime < 600 {
                let why = "may not specify a duration less than 10 minutes";
                errors.push(FieldError::invalid(seconds.child("expirationSeconds"), lifetime, why));
            }
            required(errors, &path.child("path"), text(token, "/path"));
            local_path(text(token, "/path"), &path.child("path"), errors);
        }
        for kind in ["secret", "configMap", "downwardAPI"] {
            for item in projection.get(kind).map(|own| items(own, "/items")).unwrap_or_default() {
                let own = text(item, "/path");
                if !own.is_empty() && !paths.insert(own) {
                    let shown = projection.get(kind).map_or(own, |s| text(s, "/name"));
                    errors.push(FieldError::invalid(path, shown, "conflicting duplicate paths"));
                }
            }
        }
        let kinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"];
        if kinds.iter().filter(|kind| projection.get(**kind).is_some()).count() > 1 {
            let why = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(at, why));
        }
    }
}

fn mode(source: &Value, name: &str, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = source.get(name).and_then(Value::as_i64).filter(|m| !(0..=0o777).contains(m)) {
        errors.push(FieldError::invalid(path.child(name), mode, MODE));
    }
}

/// The mounts of a container.
pub(super) fn mounts(container: &Value, volumes: &[(&str, &Value)], path: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, mount) in items(container, "/volumeMounts").enumerate() {
        let at = path.index(index);
        let (name, place) = (text(mount, "/name"), text(mount, "/mountPath"));
        required(errors, &at.child("name"), name);
        if !volumes.iter().any(|(volume, _)| *volume == name) {
            errors.push(FieldError::not_found(at.child("name"), name));
        }
        required(errors, &at.child("mountPath"), place);
        if !seen.insert(place) {
            errors.push(FieldError::invalid(at.child("mountPath"), place, "must be unique"));
        }
        let expression = text(mount, "/subPathExpr");
        if !expression.is_empty() && !missing(mount, "/subPath") {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(at.child("subPathExpr"), expression, why));
        }
        let propagation = text(mount, "/mountPropagation");
        if !propagation.is_empty() {
            let valid = ["Bidirectional", "HostToContainer", "None"];
            one_of(errors, &path.child("mountPropagation"), propagation, &valid);
            if propagation == "Bidirectional" && !flag(container, "/securityContext/privileged") {
                let why = "Bidirectional mount propagation is available only to privileged containers";
                errors.push(FieldError::forbidden(path.child("mountPropagation"), why));
            }
        }
        // Kubernetes names the list here, not the mount.
        for (field, value) in [("subPath", text(mount, "/subPath")), ("subPathExpr", expression)] {
            descending(value, &path.child(field), errors);
        }
    }
}

fn local_path(value: &str, path: &Path<'_>, errors: &mut Errors) {
    descending(value, path, errors);
    if value.starts_with("..") && value != ".." && !value.starts_with("../") {
        errors.push(FieldError::invalid(path, value, "must not start with '..'"));
    }
}

fn descending(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(value, path, errors);
}

fn no_backsteps(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}
