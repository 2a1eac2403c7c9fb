//! ClusterRoles that are made of other ClusterRoles by label.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{objects::ClusterRole, rule::Rule};

/// The rules of every ClusterRole, those of the ones that are made of others put together.
///
/// Aggregates may be made of aggregates (`admin` of `edit` of `view`): rounds go on until nothing is added. Rules are
/// only ever added, and each comes from a role with rules of its own, so this ends.
pub(crate) fn resolve(roles: &BTreeMap<String, Arc<ClusterRole>>) -> HashMap<String, Arc<[Rule]>> {
    let mut resolved: HashMap<String, Arc<[Rule]>> = HashMap::with_capacity(roles.len());
    for (name, role) in roles {
        let rules = if role.made_of.is_some() { Arc::from([]) } else { Arc::clone(&role.rules) };
        resolved.insert(name.clone(), rules);
    }
    let made: Vec<(&String, &Arc<ClusterRole>)> =
        roles.iter().filter(|(_, role)| role.made_of.is_some()).collect();
    loop {
        let mut changed = false;
        for (name, role) in &made {
            let rules = gather(name, role, roles, &resolved);
            if resolved.get(*name).is_none_or(|old| **old != *rules) {
                resolved.insert((*name).clone(), rules.into());
                changed = true;
            }
        }
        if !changed {
            return resolved;
        }
    }
}

/// The rules of all roles that are selected, in the order of their names, each rule once.
fn gather(
    own: &str,
    role: &ClusterRole,
    roles: &BTreeMap<String, Arc<ClusterRole>>,
    resolved: &HashMap<String, Arc<[Rule]>>,
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let selectors = role.made_of.as_deref().unwrap_or_default();
    let selected = roles.iter().filter(|(name, other)| {
        name.as_str() != own
            && selectors.iter().any(|selector| selector.matches_map(other.labels.as_object()))
    });
    for rule in selected.filter_map(|(name, _)| resolved.get(name)).flat_map(|rules| rules.iter()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}
