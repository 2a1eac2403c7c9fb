//! Nobody gives away what he does not hold.

use std::collections::BTreeSet;

use crate::{
    policy::{Policy, together},
    rule::{Rule, quoted},
    subject::Who,
};

impl Policy {
    /// Whether `who` holds, in a namespace (empty: at the cluster scope), everything that `rules` allow.
    ///
    /// # Errors
    /// What is missing, in Kubernetes' words.
    pub fn may_grant(&self, who: &Who<'_>, namespace: &str, rules: &[Rule]) -> Result<(), String> {
        let (own, errors) = self.rules_for(who, namespace);
        let missing = uncovered(rules, &own);
        if missing.is_empty() {
            return Ok(());
        }
        let shown: BTreeSet<String> = compact(missing).iter().map(ToString::to_string).collect();
        let shown: Vec<String> = shown.into_iter().collect();
        let mut text = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            wire::quote(who.name),
            quoted(who.groups),
            shown.join("\n")
        );
        if !errors.is_empty() {
            text.push_str(&format!("; resolution errors: [{}]", together(&errors)));
        }
        Err(text)
    }

    /// Whether `who` may do everything everywhere, which is what it takes to write an aggregation rule.
    pub fn has_full_authority(&self, who: &Who<'_>) -> bool {
        let all = || vec!["*".to_owned()];
        let resources = Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() };
        let paths = Rule { verbs: all(), urls: all(), ..Rule::default() };
        self.may_grant(who, "", &[resources, paths]).is_ok()
    }
}

/// Whether all that a rule allows is allowed by others.
pub(crate) fn is_covered(rule: &Rule, own: &[Rule]) -> bool {
    uncovered(std::slice::from_ref(rule), &own.iter().collect::<Vec<_>>()).is_empty()
}

fn uncovered(rules: &[Rule], own: &[&Rule]) -> Vec<Rule> {
    let parts = rules.iter().flat_map(break_down);
    parts.filter(|part| !own.iter().any(|rule| rule.covers(part))).collect()
}

/// The rules of at most one group, resource, name and verb that a rule is made of.
fn break_down(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let names: Vec<Vec<String>> =
        if rule.names.is_empty() { vec![Vec::new()] } else { rule.names.iter().map(one).collect() };
    let mut parts = Vec::new();
    for group in &rule.groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                parts.extend(names.iter().map(|names| Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    names: names.clone(),
                    urls: Vec::new(),
                }));
            }
        }
    }
    for url in &rule.urls {
        let paths = rule.verbs.iter();
        parts.extend(paths.map(|verb| Rule { verbs: one(verb), urls: one(url), ..Rule::default() }));
    }
    parts
}

/// Puts the verbs on one resource together.
fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    for part in parts {
        let same = |other: &&mut Rule| {
            part.urls.is_empty()
                && other.urls.is_empty()
                && (&other.groups, &other.resources, &other.names)
                    == (&part.groups, &part.resources, &part.names)
        };
        match out.iter_mut().find(same) {
            Some(other) => other.verbs.extend(part.verbs),
            None => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests;
