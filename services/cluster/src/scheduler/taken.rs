//! What is taken of each node, kept up to date pod by pod: nobody walks all pods to place one.

use crate::view::{Amounts, PodView, add};
use std::collections::HashMap;
use wire::Quantity;

/// Sums by node.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(HashMap<String, Amounts>);

// === impl Taken ===

impl Taken {
    /// A pod is no longer as it was.
    pub(super) fn follow(&mut self, old: Option<&PodView>, new: Option<&PodView>) {
        let place = |pod: &&PodView| !pod.node.is_empty() && !pod.over;
        let (old, new) = (old.filter(place), new.filter(place));
        let same = |(old, new): (&PodView, &PodView)| old.node == new.node && old.requests == new.requests;
        if old.zip(new).is_some_and(same) {
            return;
        }
        if let Some(old) = old {
            self.give_back(&old.node, &old.requests);
        }
        if let Some(new) = new {
            self.take(&new.node, &new.requests);
        }
    }

    /// Adds a pod with these needs to a node.
    pub(super) fn take(&mut self, node: &str, needs: &Amounts) {
        let sum = self.0.entry(node.to_owned()).or_default();
        add(sum, needs);
        add(sum, &one_pod());
    }

    /// What is taken of a node.
    pub(super) fn of(&mut self, node: &str) -> Amounts {
        self.0.remove(node).unwrap_or_default()
    }

    fn give_back(&mut self, node: &str, needs: &Amounts) {
        let Some(sum) = self.0.get_mut(node) else { return };
        for (name, amount) in needs.iter().chain(&one_pod()) {
            if let Some(entry) = sum.get_mut(name) {
                *entry = entry.minus(*amount);
            }
        }
        sum.retain(|_, amount| !amount.is_zero());
        if sum.is_empty() {
            self.0.remove(node);
        }
    }
}

fn one_pod() -> Amounts {
    Amounts::from([("pods".to_owned(), Quantity::units(1))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str, cpu: &str, over: bool) -> PodView {
        let requests = Amounts::from([("cpu".to_owned(), Quantity::parse(cpu).unwrap())]);
        PodView { node: node.to_owned(), requests, over, ..PodView::default() }
    }

    fn amounts(pods: i64, cpu: &str) -> Amounts {
        let cpu = Quantity::parse(cpu).unwrap();
        Amounts::from([("pods".to_owned(), Quantity::units(pods)), ("cpu".to_owned(), cpu)])
    }

    #[test]
    fn sums_follow_pods_that_come_change_end_and_go() {
        let mut taken = Taken::default();
        let (a, b) = (pod("n", "100m", false), pod("n", "1", false));
        let waiting = pod("", "100m", false);
        taken.follow(None, Some(&waiting));
        assert_eq!(taken.clone().of("n"), Amounts::new());
        taken.follow(Some(&waiting), Some(&a));
        taken.follow(None, Some(&b));
        assert_eq!(taken.clone().of("n"), amounts(2, "1100m"));
        taken.follow(Some(&a), Some(&pod("n", "300m", false)));
        assert_eq!(taken.clone().of("n"), amounts(2, "1300m"));
        taken.follow(Some(&b), Some(&pod("n", "1", true)));
        assert_eq!(taken.clone().of("n"), amounts(1, "300m"));
        taken.follow(Some(&pod("n", "1", true)), None);
        taken.follow(Some(&pod("n", "300m", false)), None);
        assert_eq!(taken.clone().of("n"), Amounts::new());
        assert!(taken.0.is_empty());
    }
}
