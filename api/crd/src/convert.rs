//! Converts documents of our kinds between `v1alpha1` and `v1beta1`.
//!
//! Works on JSON values, so that a field this build does not know survives. What `v1beta1` cannot hold travels in
//! an annotation named after the kind. It has the shape of a `v1alpha1` object with only those fields in it: other
//! readers of the annotation parse it, and it stays below 200 bytes whatever the size of the object.
//!
//! **Invariant:** only labels, annotations, `spec` and `status` differ afterwards. Converting a `v1alpha1` document
//! up and down again gives the same document, but for `status.replicas` of a Sandbox, which is derived from the
//! wanted mode at the time of reading, because a remembered number would be stale.

mod claim;
mod pool;
mod sandbox;
mod template;

#[cfg(test)]
mod tests;

use crate::{EXTENSIONS_GROUP, GROUP};
use serde_json::{Map, Value, json};

/// Why a document could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The document is not an object with `apiVersion` and `kind`.
    #[error("object to convert has no apiVersion and kind")]
    Untyped,
    /// There is no conversion between the two.
    #[error("cannot convert {kind} from {from} to {to}")]
    Unsupported {
        /// Kind of the document.
        kind: String,
        /// Its `apiVersion`.
        from: String,
        /// The `apiVersion` asked for.
        to: String,
    },
    /// The annotation that holds the rest of a `v1alpha1` object was damaged.
    #[error("failed to unmarshal v1alpha1 {kind} state: {source}")]
    State {
        /// Kind of the document, in lower case.
        kind: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The annotation that holds the volume claim policy of a template has a value that is no policy.
    #[error("invalid VolumeClaimTemplatesPolicy annotation value: \"{0}\"")]
    Policy(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Alpha,
    Beta,
}

/// Converts `value` to `to_api_version` (group and version). The same version comes back unchanged.
pub fn convert(mut value: Value, to_api_version: &str) -> Result<Value, ConvertError> {
    let (Some(from), Some(kind)) = (text(&value, "/apiVersion"), text(&value, "/kind")) else {
        return Err(ConvertError::Untyped);
    };
    if from == to_api_version {
        return Ok(value);
    }
    let (from, kind) = (from.to_owned(), kind.to_owned());
    let group = if kind == "Sandbox" { GROUP } else { EXTENSIONS_GROUP };
    let direction = (version(&from, group), version(to_api_version, group));
    let up = matches!(direction, (Some(Version::Alpha), Some(Version::Beta)));
    let down = matches!(direction, (Some(Version::Beta), Some(Version::Alpha)));
    match kind.as_str() {
        "Sandbox" if up => sandbox::up(&mut value),
        "Sandbox" if down => sandbox::down(&mut value)?,
        "SandboxClaim" if up => claim::up(&mut value),
        "SandboxClaim" if down => claim::down(&mut value)?,
        "SandboxTemplate" if up => template::up(&mut value)?,
        "SandboxTemplate" if down => template::down(&mut value),
        "SandboxWarmPool" if up => pool::up(&mut value),
        "SandboxWarmPool" if down => pool::down(&mut value),
        _ => return Err(ConvertError::Unsupported { kind, from, to: to_api_version.to_owned() }),
    }
    value["apiVersion"] = Value::from(to_api_version);
    Ok(value)
}

fn version(api_version: &str, group: &str) -> Option<Version> {
    match api_version.strip_prefix(group)? {
        "/v1alpha1" => Some(Version::Alpha),
        "/v1beta1" => Some(Version::Beta),
        _ => None,
    }
}

/// The string at a JSON pointer, if there is one.
fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// The object under `key`, made if it is missing or something else.
fn object<'a>(parent: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !parent.get(key).is_some_and(Value::is_object) {
        parent[key] = json!({});
    }
    parent[key].as_object_mut().expect("an object was just put there")
}

/// Sets one annotation.
fn annotate(value: &mut Value, key: &str, text: String) {
    object(value, "metadata");
    object(&mut value["metadata"], "annotations").insert(key.to_owned(), Value::String(text));
}

/// Takes one annotation away, and the map with it when nothing else is in there.
fn take_annotation(value: &mut Value, key: &str) -> Option<String> {
    let annotations = value.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
    let taken = annotations.remove(key);
    if annotations.is_empty() && taken.is_some() {
        value["metadata"].as_object_mut()?.remove("annotations");
    }
    taken?.as_str().map(str::to_owned)
}

/// Remembers `fields` of a `v1alpha1` object in the annotation `key`.
fn remember(value: &mut Value, key: &str, fields: Value) {
    let mut state = json!({ "apiVersion": value["apiVersion"], "kind": value["kind"] });
    if let (Some(state), Value::Object(fields)) = (state.as_object_mut(), fields) {
        state.extend(fields);
    }
    annotate(value, key, state.to_string());
}

/// Takes back what [`remember`] wrote (or an older controller: then it is a whole object).
fn recall(value: &mut Value, key: &str, kind: &'static str) -> Result<Option<Value>, ConvertError> {
    let Some(state) = take_annotation(value, key) else { return Ok(None) };
    let state: Value = serde_json::from_str(&state).map_err(|source| ConvertError::State { kind, source })?;
    Ok(Some(state))
}
