//! Labels and annotations of the Pod: those of the template, ours, and what is left of earlier templates.
//!
//! The Pod itself records which keys came from the template, so that a key removed there is removed here, and a key
//! set by somebody else stays. Reserved keys of a template are never passed on.

use super::Snapshot;
use super::children::tracking_label;
use super::view::Meta;
use crd::names::{annotation, created_by, is_reserved_annotation, is_reserved_label, label};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

type Pairs = BTreeMap<String, String>;

/// Labels that follow the Sandbox's: removed from the Pod where the Sandbox gives none.
const MANAGED_LABELS: [&str; 4] =
    [label::WARM_POOL, label::TEMPLATE_REF_HASH, label::CLAIM_UID, label::CREATED_BY];

/// What the Pod's metadata should be.
pub(super) struct Wanted {
    /// From the template.
    labels: Pairs,
    annotations: Pairs,
    /// The label that ties the Pod to the Sandbox.
    tracking: (String, String),
    /// Those of [`MANAGED_LABELS`] that apply.
    managed: Pairs,
}

// === impl Wanted ===

impl Wanted {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let template = snapshot.sandbox.spec.pod_template.metadata.clone().unwrap_or_default();
        let mut labels = template.labels.unwrap_or_default();
        labels.retain(|key, _| !is_reserved_label(key));
        let mut annotations = template.annotations.unwrap_or_default();
        annotations.retain(|key, _| !is_reserved_annotation(key));
        Self { labels, annotations, tracking: tracking_label(snapshot), managed: managed_labels(snapshot) }
    }

    /// The labels of a new Pod.
    pub(super) fn all_labels(&self) -> Pairs {
        let mut labels = self.labels.clone();
        labels.extend([self.tracking.clone()]);
        labels.extend(self.managed.clone());
        labels
    }

    /// The annotations of a new Pod.
    pub(super) fn all_annotations(&self) -> Pairs {
        let mut annotations = self.annotations.clone();
        for (key, pairs) in self.records() {
            if !pairs.is_empty() {
                annotations.insert(key.to_owned(), keys(pairs));
            }
        }
        annotations
    }

    fn records(&self) -> [(&'static str, &Pairs); 2] {
        [
            (annotation::PROPAGATED_LABELS, &self.labels),
            (annotation::PROPAGATED_ANNOTATIONS, &self.annotations),
        ]
    }
}

/// The merge patch that makes `meta` as wanted; none if it is.
pub(super) fn patch(wanted: &Wanted, meta: &Meta) -> Option<Value> {
    let recorded = |key: &str| meta.annotations.get(key).map(String::as_str).unwrap_or_default();

    let mut labels = meta.labels.clone();
    drop_stale(&mut labels, recorded(annotation::PROPAGATED_LABELS), &wanted.labels);
    labels.retain(|key, _| !MANAGED_LABELS.contains(&key.as_str()));
    labels.extend(wanted.all_labels());

    let mut annotations = meta.annotations.clone();
    drop_stale(&mut annotations, recorded(annotation::PROPAGATED_ANNOTATIONS), &wanted.annotations);
    annotations.extend(wanted.annotations.clone());
    for (key, pairs) in wanted.records() {
        if recorded(key) == keys(pairs) {
            // An absent record is an empty one; it is put back in case it named itself.
            annotations
                .extend(meta.annotations.get_key_value(key).map(|(key, value)| (key.clone(), value.clone())));
        } else {
            annotations.insert(key.to_owned(), keys(pairs));
        }
    }

    let mut metadata = Map::new();
    for (field, now, then) in
        [("labels", &meta.labels, &labels), ("annotations", &meta.annotations, &annotations)]
    {
        let changes = difference(now, then);
        if !changes.is_empty() {
            metadata.insert(field.to_owned(), Value::Object(changes));
        }
    }
    (!metadata.is_empty()).then(|| json!({ "metadata": metadata }))
}

/// Labels that the Sandbox itself or its owner give the Pod.
fn managed_labels(snapshot: &Snapshot) -> Pairs {
    let mut managed = Pairs::new();
    if let Some(raw) = snapshot.label(label::CREATED_BY).filter(|raw| !raw.is_empty()) {
        managed.insert(label::CREATED_BY.to_owned(), created_by(raw).to_owned());
    }
    let owners = snapshot.sandbox.metadata.owner_references.iter().flatten();
    let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) else { return managed };
    if owner.api_version.split('/').next() != Some(crd::EXTENSIONS_GROUP) {
        return managed;
    }
    let keys: &[&str] = match owner.kind.as_str() {
        "SandboxWarmPool" => &[label::WARM_POOL, label::TEMPLATE_REF_HASH],
        "SandboxClaim" => &[label::CLAIM_UID, label::TEMPLATE_REF_HASH],
        _ => &[],
    };
    let present = keys.iter().filter_map(|key| Some(((*key).to_owned(), snapshot.label(key)?.to_owned())));
    managed.extend(present);
    managed
}

/// Drops keys that an earlier template gave and this one does not, and reserved keys that slipped through once.
fn drop_stale(pairs: &mut Pairs, recorded: &str, wanted: &Pairs) {
    for key in recorded.split(',').map(str::trim).filter(|key| !key.is_empty()) {
        if !wanted.contains_key(key) {
            pairs.remove(key);
        }
    }
}

/// The keys of `pairs`, sorted and comma-joined.
fn keys(pairs: &Pairs) -> String {
    pairs.keys().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// What a merge patch says to get from `now` to `then`.
fn difference(now: &Pairs, then: &Pairs) -> Map<String, Value> {
    let set = then.iter().filter(|(key, value)| now.get(*key) != Some(value));
    let set = set.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    let removed = now.keys().filter(|key| !then.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    set.chain(removed).collect()
}
