//! The roles and bindings that exist, kept up to date one by one.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use wire::LabelSelector;

use crate::{aggregate, policy::Policy, rule::Rule, subject::Subject};

/// Which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plural {
    /// `clusterroles`
    ClusterRoles,
    /// `clusterrolebindings`
    ClusterRoleBindings,
    /// `roles`
    Roles,
    /// `rolebindings`
    RoleBindings,
}

/// Everything that rights are made of.
#[derive(Debug, Default)]
pub struct Objects {
    pub(crate) cluster_roles: BTreeMap<String, Arc<ClusterRole>>,
    pub(crate) roles: BTreeMap<(String, String), Arc<[Rule]>>,
    pub(crate) cluster_bindings: BTreeMap<String, Arc<Binding>>,
    pub(crate) bindings: BTreeMap<(String, String), Arc<Binding>>,
}

/// A ClusterRole.
#[derive(Debug)]
pub(crate) struct ClusterRole {
    /// Its own rules; not used where it is made of others.
    pub(crate) rules: Arc<[Rule]>,
    /// Its labels as they are.
    pub(crate) labels: Value,
    /// The roles it is made of, if it is.
    pub(crate) made_of: Option<Vec<LabelSelector>>,
}

/// A binding of either scope.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    /// Empty for ClusterRoleBindings.
    pub(crate) namespace: String,
    /// `Role` or `ClusterRole`.
    pub(crate) role_kind: String,
    pub(crate) role: String,
    pub(crate) subjects: Vec<Subject>,
}

// === impl Objects ===

impl Objects {
    /// Takes in an object as it is now.
    pub fn put(&mut self, plural: Plural, namespace: &str, name: &str, value: &Value) {
        let key = || (namespace.to_owned(), name.to_owned());
        match plural {
            Plural::ClusterRoles => {
                self.cluster_roles.insert(name.to_owned(), Arc::new(ClusterRole::read(value)));
            }
            Plural::Roles => {
                self.roles.insert(key(), Rule::read_all(value).into());
            }
            Plural::ClusterRoleBindings => {
                self.cluster_bindings.insert(name.to_owned(), Arc::new(Binding::read("", name, value)));
            }
            Plural::RoleBindings => {
                self.bindings.insert(key(), Arc::new(Binding::read(namespace, name, value)));
            }
        }
    }

    /// Forgets all objects of a kind.
    pub fn clear(&mut self, plural: Plural) {
        match plural {
            Plural::ClusterRoles => self.cluster_roles.clear(),
            Plural::Roles => self.roles.clear(),
            Plural::ClusterRoleBindings => self.cluster_bindings.clear(),
            Plural::RoleBindings => self.bindings.clear(),
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, plural: Plural, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        match plural {
            Plural::ClusterRoles => drop(self.cluster_roles.remove(name)),
            Plural::Roles => drop(self.roles.remove(&key)),
            Plural::ClusterRoleBindings => drop(self.cluster_bindings.remove(name)),
            Plural::RoleBindings => drop(self.bindings.remove(&key)),
        }
    }

    /// What follows from all of them.
    pub fn policy(&self) -> Policy {
        Policy::new(self, aggregate::resolve(&self.cluster_roles))
    }

    /// The ClusterRoles that are made of others and do not show it: names, and the rules that they should hold.
    pub fn stale_aggregates(&self) -> Vec<(String, Vec<Rule>)> {
        let resolved = aggregate::resolve(&self.cluster_roles);
        let made = self.cluster_roles.iter().filter(|(_, role)| role.made_of.is_some());
        made.filter_map(|(name, role)| {
            let rules = resolved.get(name)?;
            (**rules != *role.rules).then(|| (name.clone(), rules.to_vec()))
        })
        .collect()
    }
}

// === impl ClusterRole ===

impl ClusterRole {
    fn read(value: &Value) -> ClusterRole {
        let selectors = value["aggregationRule"]["clusterRoleSelectors"].as_array();
        // A selector that cannot be read selects nothing: no right comes of it.
        let made_of = selectors.filter(|list| !list.is_empty()).map(|list| {
            list.iter().filter_map(|selector| LabelSelector::from_value(Some(selector)).ok()).collect()
        });
        ClusterRole {
            rules: Rule::read_all(value).into(),
            labels: value["metadata"]["labels"].clone(),
            made_of,
        }
    }
}

// === impl Binding ===

impl Binding {
    fn read(namespace: &str, name: &str, value: &Value) -> Binding {
        let role = |field: &str| value["roleRef"][field].as_str().unwrap_or_default().to_owned();
        let subjects = value["subjects"].as_array().into_iter().flatten();
        Binding {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            role_kind: role("kind"),
            role: role("name"),
            subjects: subjects.filter_map(Subject::read).collect(),
        }
    }
}
