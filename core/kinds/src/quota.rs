//! Quotas: what an object uses of a namespace, and whether a quota still has room for it, in the words of Kubernetes' admission.
//!
//! Kinds are named by group and plural, so that those of CRDs count as well (`count/<plural>.<group>`).

use std::collections::BTreeMap;

use serde_json::Value;
use wire::Quantity;

use crate::value::{entries, items, text};

mod scope;
mod usage;

#[cfg(test)]
mod tests;

pub use scope::covers;
pub use usage::{Totals, pod_totals, provides, usage, uses_only_counts};

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Resources that every container has to name when a quota limits them.
const NAMED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// What a quota allows.
pub fn hard(quota: &Value) -> Amounts {
    amounts(quota, "/spec/hard")
}

/// The list at a pointer; what is no quantity is left out.
pub(crate) fn amounts(object: &Value, pointer: &str) -> Amounts {
    let read = |(name, amount): (&String, &Value)| Some((name.clone(), Quantity::from_value(amount).ok()?));
    entries(object, pointer).filter_map(read).collect()
}

/// Adds amounts up.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = entry.plus(*amount);
    }
}

/// Only the resources that are in both, with the amounts of the first.
pub fn mask(amounts: &Amounts, names: &Amounts) -> Amounts {
    amounts
        .iter()
        .filter(|(name, _)| names.contains_key(*name))
        .map(|(name, amount)| (name.clone(), *amount))
        .collect()
}

/// Why a quota of which `used` is taken has no room for `asked`; none if it has.
pub fn refusal(quota: &Value, used: &Amounts, asked: &Amounts) -> Option<String> {
    let hard = hard(quota);
    let asked: Amounts = mask(asked, &hard).into_iter().filter(|(_, amount)| amount.sign() > 0).collect();
    let taken = |name: &str| used.get(name).copied().unwrap_or(Quantity::ZERO);
    let over: Vec<&String> = asked
        .iter()
        .filter(|(name, amount)| taken(name).plus(**amount) > hard[*name])
        .map(|(name, _)| name)
        .collect();
    if over.is_empty() {
        return None;
    }
    let print = |of: &dyn Fn(&str) -> Quantity| {
        over.iter().map(|name| format!("{name}={}", of(name))).collect::<Vec<_>>().join(",")
    };
    Some(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        text(quota, "/metadata/name"),
        print(&|name| asked[name]),
        print(&taken),
        print(&|name| hard[name])
    ))
}

/// Which containers of a new pod do not name what a quota limits; none if all do.
pub fn unnamed(quota: &Value, pod: &Value) -> Option<String> {
    let hard = hard(quota);
    let required: Vec<&str> = NAMED.into_iter().filter(|name| hard.contains_key(*name)).collect();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for container in items(pod, "/spec/containers").chain(items(pod, "/spec/initContainers")) {
        for name in required.iter().filter(|name| !names(container, name)) {
            missing.entry(name).or_default().push(text(container, "/name"));
        }
    }
    if missing.is_empty() {
        return None;
    }
    let told = missing.into_iter().map(|(name, mut containers)| {
        containers.sort_unstable();
        format!("{name} for: {}", containers.join(","))
    });
    let told: Vec<String> = told.collect();
    Some(format!("failed quota: {}: must specify {}", text(quota, "/metadata/name"), told.join("; ")))
}

fn names(container: &Value, resource: &str) -> bool {
    let (list, name) = match resource.split_once('.') {
        Some((list, name)) => (list, name),
        None => ("requests", resource),
    };
    container.pointer(&format!("/resources/{list}/{name}")).is_some()
}
