//! `metadata.managedFields`: who owns which fields.

use serde_json::{Map, Value, json};

use crate::fields::FieldSet;

/// The most entries of operation Update; older ones are folded into one.
const MAX_UPDATERS: usize = 10;
/// Who owns the fields of folded entries.
const ANCIENT: &str = "ancient-changes";

/// Fields that every write carries and nobody owns.
const UNOWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Who writes.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    /// The field manager's name: the `fieldManager` parameter, or the client program's.
    pub name: String,
    /// The API version of the request, such as `v1` or `agents.x-k8s.io/v1beta1`.
    pub api_version: String,
    /// The subresource written to, if any.
    pub subresource: Option<String>,
    /// Now, as `2026-01-31T10:00:00Z`.
    pub time: String,
    /// Top-level fields that this endpoint does not write although a request may carry them: `status` for an
    /// object with a status subresource, `spec` for that subresource.
    pub reset: Vec<String>,
}

/// How an entry came to be. The order is that of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) fields: FieldSet,
}

// === impl Entry ===

impl Entry {
    pub(crate) fn new(manager: &Manager, operation: Operation, fields: FieldSet) -> Self {
        Self {
            manager: manager.name.clone(),
            operation,
            api_version: manager.api_version.clone(),
            subresource: manager.subresource.clone(),
            time: Some(manager.time.clone()),
            fields,
        }
    }

    /// Whether both are of the same manager. Who applies is told without the version.
    pub(crate) fn is_same(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The manager as conflicts name it.
    pub(crate) fn show(&self) -> String {
        let mut text = wire::quote(&self.manager);
        if let Some(subresource) = &self.subresource {
            text.push_str(&format!(" with subresource {}", wire::quote(subresource)));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let operation = match value["operation"].as_str() {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return None,
        };
        Some(Self {
            manager: text("manager").unwrap_or_default(),
            operation,
            api_version: text("apiVersion")?,
            subresource: text("subresource"),
            time: text("time"),
            fields: FieldSet::from_json(&value["fieldsV1"]),
        })
    }

    fn write(&self) -> Value {
        let mut out = json!({
            "manager": self.manager,
            "operation": if self.operation == Operation::Apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
        });
        if let Some(time) = &self.time {
            out["time"] = time.as_str().into();
        }
        if let Some(subresource) = &self.subresource {
            out["subresource"] = subresource.as_str().into();
        }
        out
    }
}

/// Takes the entries out of an object; it keeps none.
pub(crate) fn take(object: &mut Value) -> Vec<Entry> {
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    let entries = metadata.and_then(|metadata| metadata.remove("managedFields"));
    let entries = entries.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(Entry::read).collect()
}

/// Whether a request asks to forget all owners: a list with one empty entry.
pub(crate) fn is_reset(object: &Value) -> bool {
    object.pointer("/metadata/managedFields").is_some_and(|entries| *entries == json!([{}]))
}

/// Puts the entries into an object, in the order that Kubernetes gives them.
pub(crate) fn put(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    fold(&mut entries);
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| {
            let subresource = entry.subresource.clone();
            (
                entry.operation,
                entry.time.clone(),
                entry.manager.clone(),
                entry.api_version.clone(),
                subresource,
            )
        };
        key(a).cmp(&key(b))
    });
    if entries.is_empty() {
        return;
    }
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("managedFields".to_owned(), entries.iter().map(Entry::write).collect());
    }
}

/// Folds the oldest updaters into one entry per version if there are too many.
fn fold(entries: &mut Vec<Entry>) {
    let updaters = |entries: &[Entry]| entries.iter().filter(|it| it.operation == Operation::Update).count();
    let mut surplus = updaters(entries).saturating_sub(MAX_UPDATERS);
    if surplus == 0 {
        return;
    }
    entries.sort_by(|a, b| (a.operation, &a.time).cmp(&(b.operation, &b.time)));
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let mut folded: Vec<Entry> = Vec::new();
    // One more than the surplus goes, because what is folded needs an entry itself.
    surplus += 1;
    for entry in entries.drain(..) {
        let old = entry.operation == Operation::Update && entry.subresource.is_none() && surplus > 0;
        if !old {
            kept.push(entry);
            continue;
        }
        surplus -= 1;
        match folded.iter_mut().find(|known| known.api_version == entry.api_version) {
            Some(known) => {
                known.fields = std::mem::take(&mut known.fields).union(&entry.fields);
                known.time = entry.time;
            }
            None => folded.push(Entry { manager: ANCIENT.to_owned(), ..entry }),
        }
    }
    kept.append(&mut folded);
    *entries = kept;
}

/// Takes out what nobody owns and what the endpoint does not write.
pub(crate) fn strip(fields: &mut FieldSet, manager: &Manager) {
    UNOWNED.iter().for_each(|path| fields.remove(path));
    manager.reset.iter().for_each(|name| fields.remove_field(name));
}
