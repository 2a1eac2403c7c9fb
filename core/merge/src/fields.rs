//! Sets of fields, in the form in which `managedFields` carries them.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// A set of paths. A path's steps are `f:<name>` (field), `k:<keys>` (item of an associative list), `v:<value>`
/// (item of a set) and `i:<index>`; a step is kept as the text that the wire has for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    nodes: BTreeMap<String, Node>,
}

/// What is known of one step: whether the path that ends here is in the set, and the longer ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

/// The step to a field.
pub(crate) fn field_step(name: &str) -> String {
    format!("f:{name}")
}

/// The step to an item of a set.
pub(crate) fn value_step(value: &Value) -> String {
    format!("v:{value}")
}

/// The step to an item of an associative list.
pub(crate) fn key_step(keys: Map<String, Value>) -> String {
    format!("k:{}", Value::Object(keys))
}

// === impl FieldSet ===

impl FieldSet {
    /// Reads a `fieldsV1` value. What is no object is the empty set.
    pub fn from_json(value: &Value) -> Self {
        let mut set = Self::default();
        for (step, inner) in value.as_object().into_iter().flatten().filter(|(step, _)| *step != ".") {
            let below = Self::from_json(inner);
            let member = below.nodes.is_empty() || inner.get(".").is_some();
            set.nodes.insert(canonical(step), Node { member, below });
        }
        set
    }

    /// The `fieldsV1` value.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        for (step, node) in &self.nodes {
            let mut inner = node.below.to_json();
            if node.member && !node.below.nodes.is_empty() {
                inner["."] = Value::Object(Map::new());
            }
            out.insert(step.clone(), inner);
        }
        out.into()
    }

    /// Whether there is no path in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a path.
    pub(crate) fn insert(&mut self, path: &[String]) {
        let Some((step, rest)) = path.split_first() else { return };
        let node = self.nodes.entry(step.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Removes a path; longer ones stay.
    pub(crate) fn remove(&mut self, path: &[&str]) {
        let Some((step, rest)) = path.split_first() else { return };
        let step = field_step(step);
        let Some(node) = self.nodes.get_mut(&step) else { return };
        if rest.is_empty() {
            node.member = false;
        } else {
            node.below.remove(rest);
        }
        if !node.member && node.below.is_empty() {
            self.nodes.remove(&step);
        }
    }

    /// Removes a field and all below it.
    pub(crate) fn remove_field(&mut self, name: &str) {
        self.nodes.remove(&field_step(name));
    }

    /// Whether the path of this one step is in the set.
    pub(crate) fn has(&self, step: &str) -> bool {
        self.nodes.get(step).is_some_and(|node| node.member)
    }

    /// The paths below a step, if there are any.
    pub(crate) fn below(&self, step: &str) -> Option<&FieldSet> {
        self.nodes.get(step).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// All steps, with whether each is in the set itself and what is below.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, bool, &FieldSet)> {
        self.nodes.iter().map(|(step, node)| (step.as_str(), node.member, &node.below))
    }

    /// Adds a step with what is below it.
    pub(crate) fn add(&mut self, step: &str, member: bool, below: &FieldSet) {
        if member || !below.is_empty() {
            let node = self.nodes.entry(step.to_owned()).or_default();
            node.member |= member;
            node.below = std::mem::take(&mut node.below).union(below);
        }
    }

    /// Paths in either set.
    #[must_use]
    pub fn union(mut self, other: &FieldSet) -> FieldSet {
        for (step, node) in &other.nodes {
            let mine = self.nodes.entry(step.clone()).or_default();
            mine.member |= node.member;
            mine.below = std::mem::take(&mut mine.below).union(&node.below);
        }
        self
    }

    /// Paths in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet::default();
        for (step, member, below) in self.steps() {
            match other.nodes.get(step) {
                Some(theirs) => out.add(step, member && !theirs.member, &below.difference(&theirs.below)),
                None => out.add(step, member, below),
            }
        }
        out
    }

    /// Paths in both sets.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet::default();
        for (step, member, below) in self.steps() {
            if let Some(theirs) = other.nodes.get(step) {
                out.add(step, member && theirs.member, &below.intersection(&theirs.below));
            }
        }
        out
    }

    /// The paths as people read them: `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut String, out: &mut Vec<String>) {
        for (step, member, below) in self.steps() {
            let length = prefix.len();
            show_step(prefix, step);
            if member {
                out.push(prefix.clone());
            }
            below.collect(prefix, out);
            prefix.truncate(length);
        }
    }
}

/// Writes a step as Kubernetes prints it in conflicts.
pub(crate) fn show_step(out: &mut String, step: &str) {
    let (kind, rest) = step.split_at(step.len().min(2));
    let _ = match kind {
        "f:" => write!(out, ".{rest}"),
        "v:" => write!(out, "[={rest}]"),
        "i:" => write!(out, "[{rest}]"),
        _ => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(out, "[{}]", keys.join(","))
        }
    };
}

/// A step from outside, its JSON spelled as ours.
fn canonical(step: &str) -> String {
    let (kind, rest) = step.split_at_checked(2).unwrap_or((step, ""));
    match (kind, serde_json::from_str::<Value>(rest)) {
        ("k:" | "v:", Ok(value)) => format!("{kind}{value}"),
        _ => step.to_owned(),
    }
}
