//! Strategic merge patch: a merge patch that can merge lists, as Kubernetes defines it for its own kinds.

use schema::{Field, Schema, Strategy};
use serde_json::{Map, Value};

use crate::PatchError;

mod order;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;
type Result<T> = std::result::Result<T, PatchError>;

/// Applies a strategic merge patch. On an error the object may be half changed.
pub fn strategic(schema: &Schema, object: &mut Value, patch: &Value) -> Result<()> {
    let Value::Object(patch) = patch else {
        // A null is read as a patch without fields.
        let found = wire::type_name(patch);
        let why = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
        return if patch.is_null() { Ok(()) } else { Err(malformed(why)) };
    };
    let live = object.as_object_mut().ok_or_else(|| malformed("only objects can be patched"))?;
    let merged = merge_map(Some(schema), std::mem::take(live), patch.clone())?;
    *object = merged.into();
    Ok(())
}

fn malformed(detail: impl Into<String>) -> PatchError {
    PatchError::Malformed(detail.into())
}

/// Merges a patch into an object. Fields that the schema does not know are merged like maps and replaced otherwise.
fn merge_map(schema: Option<&Schema>, mut live: Object, mut patch: Object) -> Result<Object> {
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::new()),
            _ => {
                let shown = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
                patch.insert(PATCH.to_owned(), directive);
                Err(PatchError::Directive { directive: shown, place: Value::Object(patch) })
            }
        };
    }
    retain_keys(&mut live, &mut patch)?;
    ordered_lists(schema, &mut live, &mut patch)?;
    for (name, change) in patch {
        let (name, deletes) = match name.strip_prefix(DELETE_FROM) {
            Some(list) => (list.to_owned(), true),
            None => (name, false),
        };
        if change.is_null() {
            live.remove(&name);
            continue;
        }
        let field = schema.and_then(|schema| schema.field(&name));
        let inner = schema.and_then(|schema| schema.child(&name));
        let merged = match (live.remove(&name), change) {
            (None, _) if deletes => continue,
            (None, change) if change.get(PATCH).is_some_and(|directive| directive == "delete") => continue,
            (Some(Value::Array(live)), Value::Array(items)) if deletes => {
                Value::Array(live.into_iter().filter(|item| !items.contains(item)).collect())
            }
            (Some(live), _) if deletes => live,
            (Some(Value::Object(live)), Value::Object(change)) if !replaces(field) => {
                merge_map(inner, live, change)?.into()
            }
            (Some(Value::Array(live)), Value::Array(items)) if merges(field) => {
                merge_list(inner, merge_key(field), live, items)?.into()
            }
            (_, change) => without_directives(change),
        };
        live.insert(name, merged);
    }
    Ok(live)
}

fn strategy(field: Option<&Field>) -> Option<&Strategy> {
    field.and_then(Field::strategy)
}

fn replaces(field: Option<&Field>) -> bool {
    strategy(field).is_some_and(|strategy| strategy.replace)
}

fn merges(field: Option<&Field>) -> bool {
    strategy(field).is_some_and(|strategy| strategy.merge)
}

fn merge_key(field: Option<&Field>) -> Option<&str> {
    strategy(field).and_then(|strategy| strategy.merge_key.as_deref())
}

/// Drops what `$retainKeys` does not name. A patch must not change a field that it does not retain.
fn retain_keys(live: &mut Object, patch: &mut Object) -> Result<()> {
    let Some(retained) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(retained) = retained else { return Err(malformed("$retainKeys must be a list")) };
    let keeps = |name: &str| retained.iter().any(|kept| kept == name);
    for (name, change) in patch.iter() {
        if !change.is_null() && !name.starts_with(DELETE_FROM) && !name.starts_with(SET_ORDER) && !keeps(name)
        {
            return Err(malformed(format!("the field {name:?} is not in the list of $retainKeys")));
        }
    }
    live.retain(|name, _| keeps(name));
    Ok(())
}

/// Handles the lists whose order the patch gives with `$setElementOrder`.
fn ordered_lists(schema: Option<&Schema>, live: &mut Object, patch: &mut Object) -> Result<()> {
    let orders: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in orders {
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(malformed(format!("{directive} must be a list")));
        };
        let name = &directive[SET_ORDER.len()..];
        let field = schema.and_then(|schema| schema.field(name));
        let key = merge_key(field);
        let inner = schema.and_then(|schema| schema.child(name));
        let mut deletions = patch.remove(&format!("{DELETE_FROM}{name}"));
        let changed = match patch.remove(name) {
            None => None,
            Some(Value::Array(items)) => Some(items),
            Some(other) => {
                patch.insert(name.to_owned(), other);
                continue;
            }
        };
        if let Some(changed) = &changed {
            follows(changed, &order, key)?;
        }
        let before = live.get(name).and_then(Value::as_array).cloned();
        let Some(mut server) = before.as_ref().or(changed.as_ref()).cloned() else { continue };
        if let (Some(changed), Some(key)) = (&changed, key) {
            fill_gaps(&mut server, changed, key);
        }
        let mut merged = match (before, changed) {
            (Some(before), Some(changed)) => merge_list(inner, key, before, changed)?,
            (Some(before), None) => before,
            (None, changed) => changed.into_iter().flatten().filter_map(new_item).collect(),
        };
        if let Some(Value::Array(gone)) = deletions.take() {
            merged.retain(|item| !gone.contains(item));
        }
        let (mine, others) = order::partition(merged, &order, key);
        let sorted = order::arrange(mine, others, &order, &server, key);
        live.insert(name.to_owned(), sorted.into());
    }
    Ok(())
}

/// Checks that the order names every change, and in the order in which the patch has them.
fn follows(changes: &[Value], order: &[Value], key: Option<&str>) -> Result<()> {
    let same = |a: &Value, b: &Value| match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    };
    let mut rest = order.iter();
    let deletes = |item: &&Value| item.get(PATCH).is_some_and(|directive| directive == "delete");
    for change in changes.iter().filter(|item| !deletes(item)) {
        if !rest.any(|named| same(change, named)) {
            let (changes, order) = (Value::from(changes), Value::from(order));
            let detail = format!(
                "The order in patch list:\n{changes}\n doesn't match $setElementOrder list:\n{order}\n"
            );
            return Err(malformed(detail));
        }
    }
    Ok(())
}

/// The order on the server as Kubernetes takes it here: new items stand where deleted ones left room.
fn fill_gaps(server: &mut Vec<Value>, changes: &[Value], key: &str) {
    let size = server.len();
    let deletes = |item: &Value| {
        changes.iter().any(|change| {
            change.get(PATCH).is_some() && change.get(key).is_some() && change.get(key) == item.get(key)
        })
    };
    server.retain(|item| !deletes(item));
    for change in changes.iter().filter(|change| change.get(PATCH).is_none()) {
        if server.len() < size && !server.iter().any(|item| item.get(key) == change.get(key)) {
            server.push(change.clone());
        }
    }
}

/// Merges a list item by item: objects by their key, scalars as a set. What the patch names comes in its order.
fn merge_list(
    schema: Option<&Schema>,
    key: Option<&str>,
    live: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>> {
    let is_map = live.iter().chain(&patch).any(Value::is_object);
    let server = live.clone();
    let order: Vec<Value>;
    let mut merged;
    if is_map {
        let Some(key) = key else {
            return Err(malformed("cannot merge lists of objects without a merge key"));
        };
        let (kept, changes, replaced) = special_items(live, patch, key)?;
        if replaced {
            return Ok(changes.into_iter().map(without_directives).collect());
        }
        merged = kept;
        order = changes.clone();
        for change in changes {
            merge_item(schema, key, &mut merged, change)?;
        }
    } else {
        merged = live;
        order = patch.clone();
        merged.extend(patch);
        let mut seen = Vec::with_capacity(merged.len());
        merged.retain(|item| {
            let fresh = !seen.contains(item);
            seen.push(item.clone());
            fresh
        });
    }
    let (mine, others) = order::partition(merged, &order, key);
    Ok(order::arrange(mine, others, &order, &server, key))
}

fn merge_item(schema: Option<&Schema>, key: &str, live: &mut Vec<Value>, change: Value) -> Result<()> {
    let Value::Object(change) = change else { return Err(malformed("a list mixes objects and scalars")) };
    let Some(id) = change.get(key).cloned() else {
        return Err(malformed(format!(
            "map: {} does not contain declared merge key: {key}",
            Value::Object(change)
        )));
    };
    let inner = schema.and_then(Schema::items);
    let found = live.iter_mut().find(|item| item.get(key) == Some(&id));
    match found.map(|item| (item.as_object_mut().map(std::mem::take), item)) {
        Some((Some(before), item)) => *item = merge_map(inner, before, change)?.into(),
        _ => live.push(without_directives(change.into())),
    }
    Ok(())
}

/// Carries out the items that are directives: returns the live list without the deleted items, the items that
/// are changes, and whether they replace the list.
fn special_items(
    mut live: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>, bool)> {
    let mut changes = Vec::with_capacity(patch.len());
    let mut replaced = false;
    for item in patch {
        match item.get(PATCH).and_then(Value::as_str) {
            None => changes.push(item),
            Some("replace") => replaced = true,
            Some("delete") => {
                let Some(id) = item.get(key) else {
                    return Err(malformed("delete patch type with no merge key defined"));
                };
                live.retain(|candidate| candidate.get(key) != Some(id));
            }
            Some("merge") => return Err(malformed("merging lists cannot yet be specified in the patch")),
            Some(other) => return Err(malformed(format!("unknown patch type {other:?} in list"))),
        }
    }
    Ok((live, changes, replaced))
}

/// What a change brings where there was nothing: neither nulls nor directives.
fn without_directives(change: Value) -> Value {
    match change {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, value)| !value.is_null() && !is_directive(name));
            Value::Object(kept.map(|(name, value)| (name, without_directives(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().filter_map(new_item).collect()),
        scalar => scalar,
    }
}

/// An item of a new list; one that deletes or replaces has nothing to act on.
fn new_item(item: Value) -> Option<Value> {
    item.get(PATCH).is_none().then(|| without_directives(item))
}

fn is_directive(name: &str) -> bool {
    name == PATCH || name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER)
}
