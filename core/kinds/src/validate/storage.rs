//! Claims, volumes and storage classes.

use serde_json::Value;
use wire::{FieldError, Path, Quantity, names};

use super::{Errors, each, labels, one_of, pod_update, required, subdomain, volume as source};
use crate::prepare::equivalent;
use crate::value::{entries, items, missing, object, remove, set, text};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const RECLAIM: [&str; 3] = ["Delete", "Recycle", "Retain"];
const POSITIVE: &str = "must be greater than zero";
/// What a persistent volume can be made of.
const SOURCES: [&str; 8] = ["hostPath", "local", "csi", "nfs", "iscsi", "fc", "flexVolume", "rbd"];

/// A claim.
pub(super) fn claim(claim: &Value, errors: &mut Errors) {
    claim_spec(claim, &Path::root("spec"), errors);
}

/// The spec of a claim, or of a claim template; `holder` has the field `spec`.
pub(super) fn claim_spec(holder: &Value, path: &Path<'_>, errors: &mut Errors) {
    let spec = holder.get("spec").unwrap_or(&Value::Null);
    if items(spec, "/accessModes").len() == 0 {
        errors.push(FieldError::required(path.child("accessModes"), "at least 1 access mode is required"));
    }
    labels::selector(errors, &path.child("selector"), spec.get("selector"));
    access_modes(spec, path, errors);
    let resources = path.child("resources");
    let storage = resources.key("storage");
    match spec.pointer("/resources/requests/storage") {
        None => errors.push(FieldError::required(storage, "")),
        Some(amount) => positive(amount, &storage, errors),
    }
    subdomain(errors, &path.child("storageClassName"), text(spec, "/storageClassName"));
    volume_mode(spec, path, errors);
}

/// What may change in a claim: the volume once, the size when bound.
pub(super) fn claim_change(new: &Value, old: &Value, errors: &mut Errors) {
    let (Some(spec), Some(before)) = (new.get("spec"), old.get("spec")) else { return };
    let mut masked = spec.clone();
    for (name, free) in [
        ("volumeName", text(before, "/volumeName").is_empty()),
        ("storageClassName", before.get("storageClassName").is_none()),
        ("volumeAttributesClassName", text(new, "/status/phase") == "Bound"),
    ] {
        if free {
            put_back(&mut masked, before, name);
        }
    }
    let size = |spec: &Value| spec.pointer("/resources/requests/storage").cloned();
    if let Some(size) = size(before).filter(|_| text(new, "/status/phase") == "Bound") {
        let resources = crate::value::field(&mut masked, "resources");
        object(resources, "requests").insert("storage".to_owned(), size);
    }
    if !equivalent(&masked, before) {
        let changes = pod_update::differences("spec", before, &masked).join("\n");
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                   claims";
        errors.push(FieldError::forbidden("spec", format!("{why}\n{changes}")));
    }
    let amount =
        |value: Option<Value>| value.and_then(|v| Quantity::from_value(&v).ok()).unwrap_or(Quantity::ZERO);
    let (now, then) = (amount(size(spec)), amount(size(before)));
    let actual = amount(old.pointer("/status/capacity/storage").cloned());
    if now < then && now <= actual {
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", why));
    }
    if !equivalent(mode_of(new), mode_of(old)) {
        errors.push(FieldError::invalid("volumeMode", mode_of(new).clone(), super::IMMUTABLE));
    }
}

/// A volume.
pub(super) fn volume(volume: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = volume.get("spec").unwrap_or(&Value::Null);
    if items(spec, "/accessModes").len() == 0 {
        errors.push(FieldError::required(path.child("accessModes"), ""));
    }
    access_modes(spec, &path, errors);
    let capacity = path.child("capacity");
    if missing(spec, "/capacity") {
        errors.push(FieldError::required(capacity, ""));
    }
    if spec.pointer("/capacity/storage").is_none() || entries(spec, "/capacity").count() > 1 {
        let given = spec.get("capacity").cloned().unwrap_or_default();
        errors.push(FieldError::not_supported(capacity, given, &["storage"]));
    }
    for (name, amount) in entries(spec, "/capacity") {
        positive(amount, &capacity.key(name), errors);
    }
    let policy = text(spec, "/persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        one_of(errors, &path.child("persistentVolumeReclaimPolicy"), policy, &RECLAIM);
    }
    volume_source(spec, &path, errors);
    subdomain(errors, &path.child("storageClassName"), text(spec, "/storageClassName"));
    volume_mode(spec, &path, errors);
}

/// What may change in a volume: not what it is made of.
pub(super) fn volume_change(new: &Value, old: &Value, errors: &mut Errors) {
    let (a, b) = (new.get("spec").unwrap_or(&Value::Null), old.get("spec").unwrap_or(&Value::Null));
    let null = Value::Null;
    let changed =
        SOURCES.iter().any(|name| !equivalent(a.get(*name).unwrap_or(&null), b.get(*name).unwrap_or(&null)));
    if changed {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", why));
    }
    if !equivalent(mode_of(new), mode_of(old)) {
        errors.push(FieldError::invalid("volumeMode", mode_of(new).clone(), super::IMMUTABLE));
    }
}

/// A storage class.
pub(super) fn class(class: &Value, errors: &mut Errors) {
    let provisioner = text(class, "/provisioner");
    let path = Path::root("provisioner");
    required(errors, &path, provisioner);
    if !provisioner.is_empty() {
        each(errors, &path, provisioner, names::qualified_name(&provisioner.to_lowercase()));
    }
    let policy = text(class, "/reclaimPolicy");
    one_of(errors, &Path::root("reclaimPolicy"), policy, &["Delete", "Retain"]);
    let mode = text(class, "/volumeBindingMode");
    one_of(errors, &Path::root("volumeBindingMode"), mode, &["Immediate", "WaitForFirstConsumer"]);
}

fn access_modes(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let at = path.child("accessModes");
    let modes: Vec<&str> = items(spec, "/accessModes").filter_map(Value::as_str).collect();
    for mode in modes.iter().filter(|mode| !MODES.contains(mode)) {
        errors.push(FieldError::not_supported(at, *mode, &MODES));
    }
    let exclusive = modes.contains(&"ReadWriteOncePod");
    if exclusive && modes.iter().any(|mode| *mode != "ReadWriteOncePod" && MODES.contains(mode)) {
        errors.push(FieldError::forbidden(at, "may not use ReadWriteOncePod with other access modes"));
    }
}

fn volume_mode(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = spec.get("volumeMode").and_then(Value::as_str) {
        one_of(errors, &path.child("volumeMode"), mode, &VOLUME_MODES);
    }
}

fn volume_source(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut found = false;
    for kind in SOURCES {
        let Some(own) = spec.get(kind) else { continue };
        let at = path.child(kind);
        if found {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 volume type"));
            continue;
        }
        found = true;
        match kind {
            "hostPath" => source::host_path(own, &at, errors),
            "local" => {
                required(errors, &at.child("path"), text(own, "/path"));
                if missing(spec, "/nodeAffinity/required") {
                    let why = "Local volume requires node affinity";
                    errors.push(FieldError::required(path.child("nodeAffinity"), why));
                }
            }
            "csi" => {
                required(errors, &at.child("driver"), text(own, "/driver"));
                required(errors, &at.child("volumeHandle"), text(own, "/volumeHandle"));
            }
            _ => {}
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn positive(amount: &Value, path: &Path<'_>, errors: &mut Errors) {
    match Quantity::from_value(amount) {
        Ok(amount) if amount.sign() > 0 => {}
        Ok(amount) => errors.push(FieldError::invalid(path, amount.to_string(), POSITIVE)),
        Err(why) => errors.push(FieldError::invalid(path, amount.clone(), why.to_string())),
    }
}

fn mode_of(object: &Value) -> &Value {
    object.pointer("/spec/volumeMode").unwrap_or(&Value::Null)
}

fn put_back(new: &mut Value, old: &Value, name: &str) {
    match old.get(name) {
        Some(value) => set(new, name, value.clone()),
        None => {
            remove(new, name);
        }
    }
}
