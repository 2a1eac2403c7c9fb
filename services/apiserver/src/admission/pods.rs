//! What a new pod must be able to rely on: its priority class, its runtime class.

use serde_json::{Value, json};
use store::Store;
use wire::{Quantity, Status};

use super::account;
use crate::{object, route::Target, stored};

const PRIORITIES: &str = "scheduling.k8s.io/priorityclasses//";
const RUNTIMES: &str = "node.k8s.io/runtimeclasses//";

/// Completes a new pod from what it names, or refuses it.
pub(super) fn admit(store: &Store, target: &Target, pod: &mut Value) -> Result<(), Status> {
    let name = object::name(pod).to_owned();
    let refused = |why: String| Status::forbidden(target.resource(), &name, why);
    account::admit(store, &target.namespace, pod).map_err(refused)?;
    let (priority, class) = priority(store, pod).map_err(refused)?;
    let overhead = overhead(store, pod).map_err(refused)?;
    let spec = &mut pod["spec"];
    spec["priority"] = priority.into();
    if let Some(class) = class {
        spec["priorityClassName"] = class["metadata"]["name"].clone();
        spec["preemptionPolicy"] =
            class["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority").into();
    }
    if let Some(overhead) = overhead {
        spec["overhead"] = overhead;
    }
    Ok(())
}

fn read(store: &Store, key: &str) -> Option<Value> {
    serde_json::from_slice(&store.get(key)?.value).ok()
}

/// The pod's priority, and the class that gives it.
fn priority(store: &Store, pod: &Value) -> Result<(i64, Option<Value>), String> {
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default();
    let class = if name.is_empty() {
        default_class(store)
    } else {
        let found = read(store, &format!("{PRIORITIES}{name}"));
        Some(found.ok_or_else(|| format!("no PriorityClass with name {name} was found"))?)
    };
    let priority = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    // Zero may be the default that was set before.
    match pod["spec"]["priority"].as_i64().filter(|given| *given != 0 && *given != priority) {
        None => Ok((priority, class)),
        Some(given) => Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        )),
    }
}

/// The class for pods that name none: of several the one with the lowest value.
fn default_class(store: &Store) -> Option<Value> {
    let classes = store.list(PRIORITIES, None, 0).entries.into_iter();
    let classes = classes.filter_map(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
    classes.filter(|class| class["globalDefault"] == true).min_by_key(|class| class["value"].as_i64())
}

/// What running the pod costs besides its containers, as its RuntimeClass says. A class that does not exist is refused with
/// those that do; before a node has brought its classes there are none, and the node decides.
fn overhead(store: &Store, pod: &Value) -> Result<Option<Value>, String> {
    let own = pod["spec"].get("overhead").filter(|own| own.as_object().is_some_and(|own| !own.is_empty()));
    let fixed = match pod["spec"]["runtimeClassName"].as_str() {
        None => None,
        Some(name) => match read(store, &format!("{RUNTIMES}{name}")) {
            Some(mut class) => class.pointer_mut("/overhead/podFixed").map(Value::take),
            None => unknown_class(store, name).map(|()| None)?,
        },
    };
    match (fixed.filter(|fixed| !fixed.is_null()), own) {
        (None, None) => Ok(None),
        (Some(fixed), None) => Ok(Some(fixed)),
        (Some(fixed), Some(own)) if same_amounts(&fixed, own) => Ok(Some(fixed)),
        (Some(_), Some(_)) => {
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned())
        }
        (None, Some(_)) => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                .to_owned())
        }
    }
}

fn unknown_class(store: &Store, name: &str) -> Result<(), String> {
    let found = store.list(RUNTIMES, None, 20).entries;
    let names: Vec<&str> = found.iter().map(|entry| stored::name_of(&entry.key).1).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(format!("pod rejected: RuntimeClass {name:?} not found; there are: {}", names.join(", ")))
}

fn same_amounts(a: &Value, b: &Value) -> bool {
    let amounts = |value: &Value| -> Vec<(String, Option<Quantity>)> {
        let fields = value.as_object().into_iter().flatten();
        let mut amounts: Vec<_> =
            fields.map(|(name, amount)| (name.clone(), Quantity::from_value(amount).ok())).collect();
        amounts.sort_by(|a, b| a.0.cmp(&b.0));
        amounts
    };
    amounts(a) == amounts(b)
}

/// The two classes that always exist.
pub(crate) fn system_classes() -> [Value; 2] {
    let class = |name: &str, value: i64, description: &str| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "description": description, "preemptionPolicy": "PreemptLowerPriority",
        })
    };
    [
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ]
}
