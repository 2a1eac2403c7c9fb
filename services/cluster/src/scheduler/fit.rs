//! Which node a pod gets, or why none, in the words of Kubernetes' scheduler. Pure.
use super::affinity::{is_tolerated, is_wanted};
use crate::view::{Amounts, NodeView, Pending};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::Quantity;

/// Everything a decision depends on.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) pending: &'a Pending,
    pub(super) needs: &'a Amounts,
    /// Each with what is taken of it.
    pub(super) nodes: &'a [(String, Arc<NodeView>, Amounts)],
    /// The pod's claims by name.
    pub(super) claims: &'a [(String, Claim)],
}

/// How far a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Bound,
    Unbound,
    Deleting,
    Missing,
}

/// Why a pod has no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) reason: String,
    pub(super) message: String,
    /// It waits for a claim, which is often bound a moment later.
    pub(super) for_claim: bool,
}

/// Whether making room could help.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Help {
    Room,
    None,
}

// === impl Unfit ===

impl Unfit {
    pub(super) fn new(reason: &str, message: impl Into<String>) -> Unfit {
        Unfit { reason: reason.to_owned(), message: message.into(), for_claim: false }
    }
}

/// The node with the most free memory of those that fit.
pub(super) fn choose(facts: &Facts<'_>) -> Result<String, Unfit> {
    let total = facts.nodes.len();
    if total == 0 {
        return Err(Unfit::new("Unschedulable", "no nodes available to schedule pods"));
    }
    if let Some(why) = unusable_claim(facts.claims) {
        let message = format!(
            "0/{total} nodes are available: {why}. preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
        );
        return Err(Unfit { for_claim: true, ..Unfit::new("Unschedulable", message) });
    }
    let judged = facts.nodes.iter().map(|node| (node, reasons(facts, node)));
    let (fit, unfit): (Vec<_>, Vec<_>) = judged.partition(|(_, (reasons, _))| reasons.is_empty());
    let best = fit
        .into_iter()
        .map(|(node, _)| node)
        .max_by_key(|(_, node, taken)| free(node, taken, "memory").map_or(i64::MAX, |free| free.value()));
    if let Some((name, ..)) = best {
        return Ok(name.clone());
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut preemption: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, (reasons, help)) in unfit {
        reasons.into_iter().for_each(|reason| *counts.entry(reason).or_default() += 1);
        let text = match help {
            Help::Room => "No preemption victims found for incoming pod",
            Help::None => "Preemption is not helpful for scheduling",
        };
        *preemption.entry(text).or_default() += 1;
    }
    let message = format!(
        "0/{total} nodes are available: {}. preemption: 0/{total} nodes are available: {}.",
        listed(counts.iter().map(|(reason, n)| (reason.as_str(), *n))),
        listed(preemption.into_iter())
    );
    Err(Unfit::new("Unschedulable", message))
}

/// Kubernetes sorts the counted reasons as text.
fn listed<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut lines: Vec<String> = counts.map(|(reason, n)| format!("{n} {reason}")).collect();
    lines.sort();
    lines.join(", ")
}

fn unusable_claim(claims: &[(String, Claim)]) -> Option<String> {
    let first = |wanted: Claim| claims.iter().find(|(_, claim)| *claim == wanted).map(|(name, _)| name);
    if let Some(name) = first(Claim::Missing) {
        return Some(format!("persistentvolumeclaim {} not found", wire::quote(name)));
    }
    if let Some(name) = first(Claim::Deleting) {
        return Some(format!("persistentvolumeclaim {} is being deleted", wire::quote(name)));
    }
    first(Claim::Unbound).map(|_| "pod has unbound immediate PersistentVolumeClaims".to_owned())
}

/// The first plugin that says no speaks, as in Kubernetes; only resources give several reasons.
fn reasons(facts: &Facts<'_>, (name, node, taken): &(String, Arc<NodeView>, Amounts)) -> (Vec<String>, Help) {
    if node.unschedulable {
        return (vec!["node(s) were unschedulable".to_owned()], Help::None);
    }
    if !is_tolerated(facts.pending, &node.taints) {
        return (vec!["node(s) had untolerated taint(s)".to_owned()], Help::None);
    }
    if !is_wanted(facts.pending, name, node) {
        return (vec!["node(s) didn't match Pod's node affinity/selector".to_owned()], Help::None);
    }
    let one = Quantity::units(1);
    let pods = std::iter::once(("pods", &one));
    let needs = pods.chain(facts.needs.iter().map(|(name, amount)| (name.as_str(), amount)));
    let short: Vec<_> = needs.filter(|(name, amount)| lacks(node, taken, name, amount)).collect();
    let whole = |name: &str| node.allocatable.get(name).copied().unwrap_or(Quantity::units(0));
    // More than the node has at all: no victim could help.
    let help =
        if short.iter().any(|(name, amount)| **amount > whole(name)) { Help::None } else { Help::Room };
    let text =
        |name: &str| if name == "pods" { "Too many pods".to_owned() } else { format!("Insufficient {name}") };
    (short.into_iter().map(|(name, _)| text(name)).collect(), help)
}

fn lacks(node: &NodeView, taken: &Amounts, name: &str, amount: &Quantity) -> bool {
    if amount.is_zero() {
        return false;
    }
    match free(node, taken, name) {
        Some(free) => *amount > free,
        // A node that does not count its pods takes any number.
        None => name != "pods",
    }
}

fn free(node: &NodeView, taken: &Amounts, name: &str) -> Option<Quantity> {
    let all = *node.allocatable.get(name)?;
    Some(taken.get(name).map_or(all, |taken| all.minus(*taken)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(list: &[(&str, &str)]) -> Amounts {
        list.iter().map(|(name, text)| ((*name).to_owned(), Quantity::parse(text).unwrap())).collect()
    }

    fn node() -> NodeView {
        NodeView {
            allocatable: amounts(&[("cpu", "2"), ("memory", "4Gi"), ("pods", "3")]),
            ..NodeView::default()
        }
    }

    fn check(
        node: NodeView,
        taken: &[(&str, &str)],
        needs: &[(&str, &str)],
        claims: &[(&str, Claim)],
    ) -> Result<String, String> {
        let nodes = [("host".to_owned(), Arc::new(node), amounts(taken))];
        let claims: Vec<_> = claims.iter().map(|(name, claim)| ((*name).to_owned(), *claim)).collect();
        let pending = Pending::default();
        let facts = Facts { pending: &pending, needs: &amounts(needs), nodes: &nodes, claims: &claims };
        choose(&facts).map_err(|why| why.message)
    }

    const NOT_HELPFUL: &str =
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    const NO_VICTIMS: &str =
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

    #[test]
    fn a_pod_that_fits_gets_the_node() {
        let full = [("cpu", "1500m"), ("memory", "1Gi"), ("pods", "2")];
        assert_eq!(
            check(node(), &full, &[("cpu", "500m"), ("memory", "3Gi")], &[("c", Claim::Bound)]),
            Ok("host".to_owned())
        );
    }

    #[test]
    fn what_is_missing_is_said_in_the_schedulers_words() {
        let said =
            |reason: &str, preemption: &str| Err(format!("0/1 nodes are available: {reason}. {preemption}"));
        assert_eq!(
            check(node(), &[("cpu", "1600m")], &[("cpu", "500m")], &[]),
            said("1 Insufficient cpu", NO_VICTIMS)
        );
        assert_eq!(
            check(node(), &[], &[("cpu", "3"), ("memory", "5Gi")], &[]),
            said("1 Insufficient cpu, 1 Insufficient memory", NOT_HELPFUL)
        );
        assert_eq!(check(node(), &[("pods", "3")], &[], &[]), said("1 Too many pods", NO_VICTIMS));
        assert_eq!(check(node(), &[], &[("gpu", "1")], &[]), said("1 Insufficient gpu", NOT_HELPFUL));
        let off = NodeView { unschedulable: true, ..node() };
        assert_eq!(check(off, &[], &[], &[]), said("1 node(s) were unschedulable", NOT_HELPFUL));
        let unbound = "pod has unbound immediate PersistentVolumeClaims";
        assert_eq!(check(node(), &[], &[], &[("c", Claim::Unbound)]), said(unbound, NOT_HELPFUL));
        let missing = "persistentvolumeclaim \"c\" not found";
        assert_eq!(
            check(node(), &[], &[], &[("d", Claim::Unbound), ("c", Claim::Missing)]),
            said(missing, NOT_HELPFUL)
        );
    }

    #[test]
    fn without_a_node_the_reason_is_that() {
        let facts = Facts { pending: &Pending::default(), needs: &Amounts::new(), nodes: &[], claims: &[] };
        assert_eq!(choose(&facts).unwrap_err().message, "no nodes available to schedule pods");
    }

    #[test]
    fn the_emptier_of_two_nodes_is_taken() {
        let nodes = [
            ("a".to_owned(), Arc::new(node()), amounts(&[("memory", "2Gi")])),
            ("b".to_owned(), Arc::new(node()), amounts(&[("memory", "1Gi")])),
        ];
        let facts =
            Facts { pending: &Pending::default(), needs: &Amounts::new(), nodes: &nodes, claims: &[] };
        assert_eq!(choose(&facts), Ok("b".to_owned()));
    }
}
