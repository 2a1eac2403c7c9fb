//! What becomes of a CustomResourceDefinition: which of its names are accepted, whether it is established, how it ends
//! (Kubernetes' naming, establishing, non-structural-schema and finalizing controllers, as pure functions).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::table::table;
use crate::value::{field, items, items_mut, set, text};

/// Keeps a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Names that are in use in an API group.
#[derive(Clone, Debug, Default)]
pub struct Names {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

// === impl Names ===

impl Names {
    /// Those of the kinds that exist without a definition.
    pub fn built_in(group: &str) -> Names {
        let mut names = Names::default();
        for kind in table().iter().filter(|kind| kind.group == group) {
            names.resources.extend([kind.plural.to_string(), kind.singular.to_string()]);
            names.resources.extend(kind.short_names.iter().map(ToString::to_string));
            names.kinds.extend([kind.kind.to_string(), kind.list_kind.to_string()]);
        }
        names
    }

    /// Adds the `status.acceptedNames` of a definition.
    pub fn take(&mut self, accepted: &Value) {
        let own = ["/plural", "/singular"].map(|name| text(accepted, name));
        let short = items(accepted, "/shortNames").filter_map(Value::as_str);
        self.resources.extend(own.into_iter().chain(short).map(str::to_owned));
        self.kinds.extend(["/kind", "/listKind"].map(|name| text(accepted, name).to_owned()));
        // A definition of which nothing is accepted yet uses no name.
        self.resources.remove("");
        self.kinds.remove("");
    }
}

/// The status that a definition should have; none if it has it. `used`: the names of others in its group.
///
/// Facts: a name that was accepted stays accepted; one that another definition has is refused until that one goes, and the
/// definition stays established once it was.
pub fn settled(crd: &Value, used: &Names, now: Timestamp) -> Option<Value> {
    let mut new = crd.clone();
    let (names, conflict) = accepted(crd, used);
    set(field(&mut new, "status"), "acceptedNames", names);
    match &conflict {
        None => set_condition(&mut new, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
        Some((reason, why)) => set_condition(&mut new, "NamesAccepted", "False", reason, why, now),
    }
    if !is_established(crd) {
        if conflict.is_none() {
            let why = "the initial names have been accepted";
            set_condition(&mut new, "Established", "True", "InitialNamesAccepted", why, now);
        } else {
            let why = "not all names are accepted";
            set_condition(&mut new, "Established", "False", "NotAccepted", why, now);
        }
    }
    // Definitions with a schema that is not structural are refused; the condition is one that an older server wrote.
    let conditions = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    conditions.into_iter().for_each(|list| list.retain(|c| text(c, "/type") != "NonStructuralSchema"));
    let status = new.get_mut("status").map(Value::take)?;
    (crd.get("status") != Some(&status)).then_some(status)
}

/// Whether the kinds of a definition are served.
pub fn is_served(crd: &Value) -> bool {
    is_established(crd) || holds(crd, "NamesAccepted")
}

/// Whether a definition has ever been served.
pub fn is_established(crd: &Value) -> bool {
    holds(crd, "Established")
}

/// Marks a definition that is to be deleted: it waits for its objects to go.
pub fn begin_deletion(crd: &mut Value, now: Timestamp) {
    let finalizers = field(field(crd, "metadata"), "finalizers");
    if !finalizers.is_array() {
        *finalizers = json!([]);
    }
    if let Some(list) = finalizers.as_array_mut().filter(|list| !list.iter().any(|f| f == FINALIZER)) {
        list.push(FINALIZER.into());
    }
    let why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(crd, "Terminating", "True", "InstanceDeletionPending", why, now);
}

/// A definition some of whose objects still wait for their finalizers; none if it says so already.
pub fn emptying(crd: &Value, now: Timestamp) -> Option<Value> {
    let mut new = crd.clone();
    let why = "CustomResource deletion is in progress";
    set_condition(&mut new, "Terminating", "True", "InstanceDeletionInProgress", why, now);
    (new != *crd).then_some(new)
}

/// A definition that has no objects any more, without its finalizer.
pub fn emptied(mut crd: Value, established: bool, now: Timestamp) -> Value {
    let (reason, why) = if established {
        ("InstanceDeletionCompleted", "removed all instances")
    } else {
        ("NeverEstablished", "resource was never established")
    };
    set_condition(&mut crd, "Terminating", "False", reason, why, now);
    let finalizers = crd.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut);
    finalizers.into_iter().for_each(|list| list.retain(|f| f != FINALIZER));
    crd
}

/// The names that are accepted, and the last conflict.
fn accepted(crd: &Value, used: &Names) -> (Value, Option<(&'static str, String)>) {
    let wanted = crd.pointer("/spec/names").cloned().unwrap_or_else(|| json!({}));
    let before = crd.pointer("/status/acceptedNames").cloned().unwrap_or_else(|| json!({}));
    let mut names = before.clone();
    let mut conflict = None;
    for (name, reason, taken) in [
        ("plural", "PluralConflict", &used.resources),
        ("singular", "SingularConflict", &used.resources),
        ("shortNames", "ShortNamesConflict", &used.resources),
        ("kind", "KindConflict", &used.kinds),
        ("listKind", "ListKindConflict", &used.kinds),
    ] {
        let had = spoken(&before, name);
        let fresh = |name: &&str| had.contains(name) || !taken.contains(*name);
        let refused: Vec<String> = spoken(&wanted, name)
            .into_iter()
            .filter(|name| !fresh(name))
            .map(|name| format!("{} is already in use", wire::quote(name)))
            .collect();
        match refused.as_slice() {
            [] => carry(&mut names, &wanted, name),
            [one] => conflict = Some((reason, one.clone())),
            many => conflict = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    carry(&mut names, &wanted, "categories");
    // The schema requires both.
    for name in ["kind", "plural"] {
        crate::value::set_default(&mut names, name, "");
    }
    (names, conflict)
}

/// A name, or the names of a list.
fn spoken<'v>(names: &'v Value, name: &str) -> Vec<&'v str> {
    match names.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn carry(names: &mut Value, wanted: &Value, name: &str) {
    match wanted.get(name) {
        Some(value) => set(names, name, value.clone()),
        None => {
            crate::value::remove(names, name);
        }
    }
}

fn holds(crd: &Value, kind: &str) -> bool {
    items(crd, "/status/conditions").any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
}

/// Sets a condition; the time of its last transition is that of a change of `status`.
fn set_condition(crd: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = field(field(crd, "status"), "conditions");
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let mut new = json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": wire::time::seconds(now)});
    let status_of = &mut *field(crd, "status");
    if let Some(old) = items_mut(status_of, "/conditions").find(|c| text(c, "/type") == kind) {
        if text(old, "/status") == status {
            new["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
        *old = new;
    } else if let Some(list) = status_of.pointer_mut("/conditions").and_then(Value::as_array_mut) {
        list.push(new);
    }
}

#[cfg(test)]
mod tests;
