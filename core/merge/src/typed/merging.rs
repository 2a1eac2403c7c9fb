//! Merging what was applied into what is there.

use schema::{ListType, Schema};
use serde_json::{Map, Value};

use super::{all_steps, is_atomic_map, list_type, steps};

/// Merges `applied` into `live`: maps and associative lists item by item, all else replaced.
pub(crate) fn merge(schema: &Schema, live: &Value, applied: &Value) -> Value {
    node(Some(schema), live, applied)
}

fn node(schema: Option<&Schema>, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !is_atomic_map(schema) => {
            let mut out: Map<String, Value> = live.clone();
            for (name, change) in applied {
                let inner = schema.and_then(|schema| schema.child(name));
                let merged = match live.get(name) {
                    Some(live) => node(inner, live, change),
                    None => change.clone(),
                };
                out.insert(name.clone(), merged);
            }
            out.into()
        }
        (Value::Array(live), Value::Array(applied)) if *list_type(schema) != ListType::Atomic => {
            list(schema, live, applied).into()
        }
        // A null says nothing about what is inside.
        (Value::Object(_), Value::Null) if !is_atomic_map(schema) => live.clone(),
        (Value::Array(_), Value::Null) if *list_type(schema) != ListType::Atomic => live.clone(),
        _ => applied.clone(),
    }
}

/// The applied items in their order. The live ones that were not applied keep their places as far as that order
/// allows: before the shared item that they stood before.
fn list(schema: Option<&Schema>, live: &[Value], applied: &Vec<Value>) -> Vec<Value> {
    let (live, applied) = (all_steps(schema, live), steps(schema, Some(applied)));
    let in_live = |step: &str| live.iter().find(|(other, _)| other == step);
    let in_applied = |step: &str| applied.iter().any(|(other, _)| other == step);
    let inner = schema.and_then(Schema::items);
    let mut out = Vec::with_capacity(live.len() + applied.len());
    let mut rest = live.iter().peekable();
    for (index, (step, change)) in applied.iter().enumerate() {
        let next_shared = applied[index..].iter().map(|(step, _)| step).find(|step| in_live(step).is_some());
        // A shared item that is not the next one has been or will be placed by the applied order.
        while let Some((other, item)) = rest.next_if(|(other, _)| Some(other) != next_shared) {
            if !in_applied(other) {
                out.push((*item).clone());
            }
        }
        rest.next_if(|(other, _)| other == step);
        out.push(in_live(step).map_or_else(|| (*change).clone(), |(_, live)| node(inner, live, change)));
    }
    out.extend(rest.filter(|(step, _)| !in_applied(step)).map(|(_, item)| (*item).clone()));
    out
}
