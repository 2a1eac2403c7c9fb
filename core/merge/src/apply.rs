//! Server-side apply, and the tracking of owners under every other write.

use schema::{Kind, Schema, Zero};
use serde_json::{Map, Value};

use crate::fields::FieldSet;
use crate::managed::{self, Entry, Manager, Operation};
use crate::typed::{self, Comparison};

mod check;

pub use check::check;

/// Who owns the fields of an object that was there before anybody applied.
const BEFORE: &str = "before-first-apply";

/// A field that somebody else owns and the applied configuration would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner, as Kubernetes prints it: `"kubectl" using v1`.
    pub manager: String,
    /// The field: `.spec.containers[name="a"].image`.
    pub path: String,
}

/// Applies a configuration to what is there.
///
/// Fields that the manager applied last time, does not apply now, and that nobody else owns, are removed. Without
/// `force`, changing a field that somebody else owns is a conflict and nothing is done. The result carries the new
/// `managedFields`; it equals `live` exactly if nothing changed.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    applied: &Value,
    manager: &Manager,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let mut old = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    let mut entries = managed::take(&mut old);
    if live.is_some() && entries.is_empty() {
        entries.push(before_first_apply(schema, &old, manager));
    }
    let mut config = applied.clone();
    managed::take(&mut config);
    if let Some(fields) = config.as_object_mut() {
        fields.retain(|name, _| !manager.reset.contains(name));
    }
    let given = typed::field_set(schema, &config);
    let mut mine = Entry::new(manager, Operation::Apply, given.clone());
    managed::strip(&mut mine.fields, manager);
    let last = entries.iter().position(|entry| entry.is_same(&mine)).map(|at| entries.remove(at));

    let time = last.as_ref().and_then(|last| last.time.clone());
    let mut new = typed::merge(schema, &old, &config);
    if let Some(last) = &last {
        new = prune(schema, new, &last.fields, &given, &entries);
    }
    let change = typed::compare(schema, &old, &new);
    take_over(&mut entries, &change, force)?;
    let unchanged = last.filter(|last| change.is_empty() && last.fields == mine.fields);
    if unchanged.as_ref().is_some_and(|last| last.api_version == mine.api_version)
        && let Some(live) = live
    {
        return Ok(live.clone());
    }
    // An apply that changes no value is no write: its entry keeps its time, and a new one gets none.
    let time = if change.is_empty() { time } else { mine.time.clone() };
    entries.push(Entry { time, ..mine });
    managed::put(&mut new, entries);
    Ok(new)
}

/// Records that `manager` made `new` out of `old` by a write that is not an apply: it owns what it changed.
///
/// A request that carries `managedFields` sets them, one that carries `[{}]` forgets all; otherwise those of `old`
/// go on.
pub fn track_update(schema: &Schema, old: Option<&Value>, new: &mut Value, manager: &Manager) {
    if managed::is_reset(new) {
        managed::take(new);
        return;
    }
    let given = managed::take(new);
    let mut before = old.cloned().unwrap_or_else(|| blank(schema));
    let kept = managed::take(&mut before);
    let from_request = !given.is_empty() && manager.subresource.is_none();
    let mut entries = if from_request { given } else { kept };
    let mut change = typed::compare(schema, &before, new);
    for fields in [&mut change.added, &mut change.modified, &mut change.removed] {
        managed::strip(fields, manager);
    }
    let mut mine = Entry::new(manager, Operation::Update, FieldSet::default());
    let last = entries.iter().position(|entry| entry.is_same(&mine)).map(|at| entries.remove(at));
    release(&mut entries, &change.modified);
    release(&mut entries, &change.added);
    release(&mut entries, &change.removed);
    let owned = last.as_ref().map(|last| last.fields.clone()).unwrap_or_default();
    mine.fields = owned.difference(&change.removed).union(&change.modified).union(&change.added);
    entries.push(match last {
        Some(last) if last.fields == mine.fields => last,
        _ => mine,
    });
    managed::put(new, entries);
}

/// What a built-in kind's object has before anybody sets anything: what Go writes though it is zero. Who creates an object
/// changes, and owns, only what differs from that. A custom kind's object has nothing.
fn blank(schema: &Schema) -> Value {
    let field = |field: &schema::Field| {
        let value = match (field.zero()?, field.schema().kind()) {
            (Zero::Null, _) => Value::Null,
            (Zero::Value, Kind::String) => "".into(),
            (Zero::Value, Kind::Integer | Kind::Number) => 0.into(),
            (Zero::Value, Kind::Boolean) => false.into(),
            (Zero::Value, _) => blank(field.schema()),
        };
        Some((field.name().to_owned(), value))
    };
    Value::Object(schema.fields().iter().filter_map(field).collect())
}

/// The message of a refused apply, as Kubernetes words it.
pub fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path);
    }
    let mut managers: Vec<&str> = conflicts.iter().map(|conflict| conflict.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let paths = conflicts.iter().filter(|conflict| conflict.manager == manager);
        lines.extend(paths.map(|conflict| format!("- {}", conflict.path)));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

fn before_first_apply(schema: &Schema, live: &Value, manager: &Manager) -> Entry {
    let mut fields = typed::field_set(schema, live);
    let anybody = Manager { name: BEFORE.to_owned(), subresource: None, ..manager.clone() };
    managed::strip(&mut fields, &Manager { reset: Vec::new(), ..anybody.clone() });
    Entry::new(&anybody, Operation::Update, fields)
}

/// Removes what the manager applied last time and now neither it nor anybody else owns. `now` is all that the
/// configuration gives, names included: they are nobody's, and yet must not go with the rest of the metadata.
fn prune(schema: &Schema, merged: Value, last: &FieldSet, now: &FieldSet, entries: &[Entry]) -> Value {
    let known = |set: &FieldSet| typed::named(Some(schema), set);
    let mut owned = known(now);
    for entry in entries {
        owned = owned.union(&known(&entry.fields));
    }
    let last = known(last);
    let mut pruned = merged.clone();
    typed::remove(schema, &mut pruned, &last);
    let all = known(&typed::field_set(schema, &merged));
    // Add back what is still owned by somebody: a removed item takes along fields that others put into it.
    let left = known(&typed::field_set(schema, &pruned));
    let mut kept = merged.clone();
    typed::remove(schema, &mut kept, &all.difference(&left.union(&owned)));
    // Add back what the manager did not own in the first place.
    let left = known(&typed::field_set(schema, &kept));
    let mut out = merged;
    typed::remove(schema, &mut out, &all.difference(&left).intersection(&last));
    out
}

/// Takes changed fields from their owners, or says who they are.
fn take_over(entries: &mut [Entry], change: &Comparison, force: bool) -> Result<(), Vec<Conflict>> {
    let touched = change.modified.clone().union(&change.added);
    let conflict = |entry: &Entry| {
        let manager = entry.show();
        let paths = entry.fields.intersection(&touched).paths().into_iter();
        paths.map(move |path| Conflict { manager: manager.clone(), path }).collect::<Vec<_>>()
    };
    let conflicts: Vec<Conflict> = entries.iter().flat_map(conflict).collect();
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    release(entries, &touched);
    release(entries, &change.removed);
    Ok(())
}

fn release(entries: &mut [Entry], fields: &FieldSet) {
    if !fields.is_empty() {
        entries.iter_mut().for_each(|entry| entry.fields = entry.fields.difference(fields));
    }
}
