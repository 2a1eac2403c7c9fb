//! What one object uses.

use serde_json::Value;
use wire::Quantity;

use super::{Amounts, add, amounts};
use crate::value::{items, text};

/// Kinds of the core group that are counted under their plain name, too.
const PLAIN: [&str; 7] = [
    "pods",
    "services",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "resourcequotas",
    "replicationcontrollers",
];
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Requests and limits of a whole pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// What it asks for.
    pub requests: Amounts,
    /// What it may use.
    pub limits: Amounts,
}

/// Whether objects of a kind use a resource that a quota names.
pub fn provides(group: &str, plural: &str, resource: &str) -> bool {
    if resource == count_of(group, plural) {
        return true;
    }
    if !group.is_empty() {
        return false;
    }
    let storage = resource == "requests.storage" || resource.contains(BY_CLASS);
    match plural {
        "pods" => {
            let listed = ["pods", "cpu", "memory", "ephemeral-storage"].contains(&resource);
            let prefixed =
                ["requests.", "limits.", "hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
            listed || (prefixed && !storage)
        }
        "persistentvolumeclaims" => storage || resource == plural,
        "services" => resource == plural || resource.starts_with("services."),
        _ => PLAIN.contains(&plural) && resource == plural,
    }
}

/// Whether all that an object of a kind uses is its being there.
pub fn uses_only_counts(group: &str, plural: &str) -> bool {
    !(group.is_empty() && ["pods", "persistentvolumeclaims", "services"].contains(&plural))
}

/// What an object uses. A pod that has ended uses nothing but its place among the objects.
pub fn usage(group: &str, plural: &str, object: &Value) -> Amounts {
    let one = Quantity::units(1);
    let mut used = Amounts::from([(count_of(group, plural), one)]);
    if !group.is_empty() {
        return used;
    }
    match plural {
        "pods" if matches!(text(object, "/status/phase"), "Succeeded" | "Failed") => return used,
        "pods" => used.extend(pod(object)),
        "persistentvolumeclaims" => used.extend(claim(object)),
        "services" => used.extend(service(object)),
        _ => {}
    }
    if PLAIN.contains(&plural) {
        used.insert(plural.to_owned(), one);
    }
    used
}

fn count_of(group: &str, plural: &str) -> String {
    if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") }
}

fn pod(pod: &Value) -> Amounts {
    let totals = pod_totals(pod);
    let mut used = Amounts::new();
    for (name, amount) in totals.requests {
        used.insert(format!("requests.{name}"), amount);
        if ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name, amount);
        }
    }
    used.extend(totals.limits.into_iter().map(|(name, amount)| (format!("limits.{name}"), amount)));
    used
}

/// Containers together with sidecars, or the largest init container with the sidecars before it; and the overhead.
pub fn pod_totals(pod: &Value) -> Totals {
    let total = |list: &str| {
        let of = |container: &Value| amounts(container, &format!("/resources/{list}"));
        let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
        for init in items(pod, "/spec/initContainers") {
            let mut now = sidecars.clone();
            add(&mut now, &of(init));
            if text(init, "/restartPolicy") == "Always" {
                sidecars.clone_from(&now);
            }
            raise(&mut most, now);
        }
        items(pod, "/spec/containers").for_each(|container| add(&mut sidecars, &of(container)));
        raise(&mut most, sidecars);
        most
    };
    let overhead = amounts(pod, "/spec/overhead");
    let mut totals = Totals { requests: total("requests"), limits: total("limits") };
    add(&mut totals.requests, &overhead);
    let limited = super::mask(&overhead, &totals.limits);
    add(&mut totals.limits, &limited);
    totals
}

fn raise(most: &mut Amounts, other: Amounts) {
    for (name, amount) in other {
        let entry = most.entry(name).or_insert(amount);
        *entry = (*entry).max(amount);
    }
}

fn claim(claim: &Value) -> Amounts {
    let size =
        claim.pointer("/spec/resources/requests/storage").and_then(|size| Quantity::from_value(size).ok());
    let size = size.unwrap_or(Quantity::ZERO);
    let mut used = Amounts::from([("requests.storage".to_owned(), size)]);
    let class = text(claim, "/spec/storageClassName");
    if !class.is_empty() {
        used.insert(format!("{class}{BY_CLASS}requests.storage"), size);
        used.insert(format!("{class}{BY_CLASS}persistentvolumeclaims"), Quantity::units(1));
    }
    used
}

fn service(service: &Value) -> Amounts {
    let kind = text(service, "/spec/type");
    let ports = i64::try_from(items(service, "/spec/ports").len()).unwrap_or(0);
    let (balancers, node_ports) = match kind {
        "LoadBalancer" => (1, ports),
        "NodePort" => (0, ports),
        _ => (0, 0),
    };
    Amounts::from([
        ("services.loadbalancers".to_owned(), Quantity::units(balancers)),
        ("services.nodeports".to_owned(), Quantity::units(node_ports)),
    ])
}
