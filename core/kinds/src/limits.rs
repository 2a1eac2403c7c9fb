//! Limit ranges: what they add to new pods, and what they refuse, in the words of Kubernetes' LimitRanger.

use serde_json::{Value, json};
use wire::Quantity;

use crate::quota::{Amounts, amounts, pod_totals};
use crate::value::{field, items, items_mut, object, set, text};

#[cfg(test)]
mod tests;

/// Tells what was added.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Gives the containers of a new pod what the ranges of its namespace say by default.
pub fn fill(ranges: &[Value], pod: &mut Value) {
    let of = |name: &str| {
        let mut sum = Amounts::new();
        for limit in ranges.iter().flat_map(|range| items(range, "/spec/limits")) {
            if text(limit, "/type") == "Container" {
                sum.extend(amounts(limit, name));
            }
        }
        sum
    };
    let (requests, limits) = (of("/defaultRequest"), of("/default"));
    let mut told = Vec::new();
    for (list, what) in [("/spec/containers", "container"), ("/spec/initContainers", "init container")] {
        for container in items_mut(pod, list) {
            for (amounts, of, word) in [(&requests, "requests", "request"), (&limits, "limits", "limit")] {
                if let Some(names) = fill_list(container, of, amounts) {
                    told.push(format!("{} {word} for {what} {}", names.join(", "), text(container, "/name")));
                }
            }
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        object(field(pod, "metadata"), "annotations").insert(ANNOTATION.to_owned(), text.into());
    }
}

/// The names of what was added.
fn fill_list(container: &mut Value, list: &str, defaults: &Amounts) -> Option<Vec<String>> {
    let known = amounts(container, &format!("/resources/{list}"));
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| !known.contains_key(*name)).collect();
    if missing.is_empty() {
        return None;
    }
    object(container, "resources");
    object(field(container, "resources"), list);
    for (name, amount) in &missing {
        set(field(field(container, "resources"), list), name, json!(amount.to_string()));
    }
    Some(missing.into_iter().map(|(name, _)| name.clone()).collect())
}

/// Why a new object of the core group is outside of a range; none if it is inside of all, or its kind has none.
pub fn refusal(ranges: &[Value], plural: &str, object: &Value) -> Option<String> {
    for range in ranges {
        let mut problems = Vec::new();
        for limit in items(range, "/spec/limits") {
            match (plural, text(limit, "/type")) {
                ("pods", "Container") => {
                    for container in
                        items(object, "/spec/containers").chain(items(object, "/spec/initContainers"))
                    {
                        let requests = amounts(container, "/resources/requests");
                        let limits = amounts(container, "/resources/limits");
                        Bounds { limit, kind: "Container", requests, limits }.check(&mut problems);
                    }
                }
                ("pods", "Pod") => {
                    let totals = pod_totals(object);
                    let (requests, limits) = (totals.requests, totals.limits);
                    Bounds { limit, kind: "Pod", requests, limits }.check(&mut problems);
                }
                ("persistentvolumeclaims", kind @ "PersistentVolumeClaim") => {
                    let requests = amounts(object, "/spec/resources/requests");
                    Bounds { limit, kind, requests, limits: Amounts::new() }.check_request(&mut problems);
                }
                _ => {}
            }
        }
        match problems.as_slice() {
            [] => {}
            [one] => return Some(one.clone()),
            several => return Some(format!("[{}]", several.join(", "))),
        }
    }
    None
}

/// One entry of a range, and what it is held against.
struct Bounds<'a> {
    limit: &'a Value,
    kind: &'a str,
    requests: Amounts,
    limits: Amounts,
}

// === impl Bounds ===

impl Bounds<'_> {
    fn check(&self, problems: &mut Vec<String>) {
        for (name, min) in amounts(self.limit, "/min") {
            problems.extend(self.below(&name, min));
        }
        for (name, max) in amounts(self.limit, "/max") {
            problems.extend(self.above(&name, max));
        }
        for (name, ratio) in amounts(self.limit, "/maxLimitRequestRatio") {
            problems.extend(self.apart(&name, ratio));
        }
    }

    /// Claims have no limits.
    fn check_request(&self, problems: &mut Vec<String>) {
        for (name, min) in amounts(self.limit, "/min") {
            problems.extend(self.below(&name, min));
        }
        for (name, max) in amounts(self.limit, "/max") {
            let rule = format!("maximum {name} usage per {} is {max}", self.kind);
            match self.requests.get(&name) {
                None => problems.push(format!("{rule}.  No request is specified")),
                Some(has) if *has > max => problems.push(format!("{rule}, but request is {has}")),
                Some(_) => {}
            }
        }
    }

    fn below(&self, name: &str, min: Quantity) -> Option<String> {
        let rule = format!("minimum {name} usage per {} is {min}", self.kind);
        match (self.requests.get(name), self.limits.get(name)) {
            (None, _) => Some(format!("{rule}.  No request is specified")),
            (Some(has), _) if *has < min => Some(format!("{rule}, but request is {has}")),
            (_, Some(has)) if *has < min => Some(format!("{rule}, but limit is {has}")),
            _ => None,
        }
    }

    fn above(&self, name: &str, max: Quantity) -> Option<String> {
        let rule = format!("maximum {name} usage per {} is {max}", self.kind);
        match (self.requests.get(name), self.limits.get(name)) {
            (_, None) => Some(format!("{rule}.  No limit is specified")),
            (_, Some(has)) if *has > max => Some(format!("{rule}, but limit is {has}")),
            (Some(has), _) if *has > max => Some(format!("{rule}, but request is {has}")),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "Kubernetes divides floating point numbers, too")]
    fn apart(&self, name: &str, ratio: Quantity) -> Option<String> {
        let rule = format!("{name} max limit to request ratio per {} is {ratio}", self.kind);
        let amount = |list: &Amounts| list.get(name).copied().filter(|amount| !amount.is_zero());
        let Some(request) = amount(&self.requests) else {
            return Some(format!("{rule}, but no request is specified or request is 0"));
        };
        let Some(limit) = amount(&self.limits) else {
            return Some(format!("{rule}, but no limit is specified or limit is 0"));
        };
        let found = limit.milli_value() as f64 / request.milli_value() as f64;
        (found * 1000.0 > ratio.milli_value() as f64)
            .then(|| format!("{rule}, but provided ratio is {found:.6}"))
    }
}
