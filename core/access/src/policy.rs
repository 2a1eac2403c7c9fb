//! All rights at one moment, and what they say of a request.

use std::{collections::HashMap, sync::Arc};

use crate::{
    objects::{Binding, Objects},
    request::Request,
    rule::Rule,
    subject::{Subject, Who},
};

/// All rights at one moment. Reading needs no lock: a change makes another policy.
#[derive(Debug, Default)]
pub struct Policy {
    cluster_roles: HashMap<String, Arc<[Rule]>>,
    /// By namespace, then name.
    roles: HashMap<String, HashMap<String, Arc<[Rule]>>>,
    cluster_bindings: Vec<Arc<Binding>>,
    /// By namespace.
    bindings: HashMap<String, Vec<Arc<Binding>>>,
}

/// What the policy says of a request.
#[derive(Debug)]
pub enum Decision<'p> {
    /// A rule allows it, through this binding and this subject of it.
    Allowed(Grant<'p>),
    /// No rule does; roles that bindings name and that could not be found.
    Denied(Vec<String>),
}

/// A binding with the subject by which it applies.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'p> {
    binding: &'p Binding,
    subject: &'p Subject,
}

// === impl Policy ===

impl Policy {
    pub(crate) fn new(objects: &Objects, cluster_roles: HashMap<String, Arc<[Rule]>>) -> Policy {
        let mut policy = Policy {
            cluster_roles,
            cluster_bindings: objects.cluster_bindings.values().cloned().collect(),
            ..Policy::default()
        };
        for ((namespace, name), rules) in &objects.roles {
            policy.roles.entry(namespace.clone()).or_default().insert(name.clone(), Arc::clone(rules));
        }
        for ((namespace, _), binding) in &objects.bindings {
            policy.bindings.entry(namespace.clone()).or_default().push(Arc::clone(binding));
        }
        policy
    }

    /// Whether `who` may do what the request says.
    pub fn decide(&self, who: &Who<'_>, request: &Request<'_>) -> Decision<'_> {
        let mut missing = Vec::new();
        for grant in self.grants(who, request.namespace()) {
            match self.rules_of(grant.binding) {
                Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => {
                    return Decision::Allowed(grant);
                }
                Ok(_) => {}
                Err(why) => missing.push(why),
            }
        }
        Decision::Denied(missing)
    }

    /// Every rule that applies to `who` in a namespace (empty: at the cluster scope), and what could not be found.
    pub fn rules_for(&self, who: &Who<'_>, namespace: &str) -> (Vec<&Rule>, Vec<String>) {
        let (mut rules, mut missing) = (Vec::new(), Vec::new());
        for grant in self.grants(who, namespace) {
            match self.rules_of(grant.binding) {
                Ok(found) => rules.extend(found),
                Err(why) => missing.push(why),
            }
        }
        (rules, missing)
    }

    /// The rules of the role that a binding in `namespace` names.
    ///
    /// # Errors
    /// There is no such role.
    pub fn role(&self, kind: &str, name: &str, namespace: &str) -> Result<&[Rule], String> {
        let found = match kind {
            "Role" => self.roles.get(namespace).and_then(|roles| roles.get(name)),
            "ClusterRole" => self.cluster_roles.get(name),
            other => return Err(format!("unsupported role reference kind: {}", wire::quote(other))),
        };
        let missing = || format!("{}.{} {} not found", kind.to_lowercase(), crate::GROUP, wire::quote(name));
        found.map(|rules| &**rules).ok_or_else(missing)
    }

    fn rules_of(&self, binding: &Binding) -> Result<&[Rule], String> {
        self.role(&binding.role_kind, &binding.role, &binding.namespace)
    }

    /// The bindings that apply: those of the cluster, then those of the namespace.
    fn grants<'p, 'w>(
        &'p self,
        who: &'w Who<'w>,
        namespace: &str,
    ) -> impl Iterator<Item = Grant<'p>> + use<'p, 'w> {
        let local = self.bindings.get(namespace).filter(|_| !namespace.is_empty()).into_iter().flatten();
        self.cluster_bindings.iter().chain(local).filter_map(move |binding| {
            let subject = binding.subjects.iter().find(|subject| subject.means(who, &binding.namespace))?;
            Some(Grant { binding, subject })
        })
    }
}

// === impl Decision ===

impl Decision<'_> {
    /// Whether it is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed(_))
    }

    /// Why, as Kubernetes says it; empty when there is nothing to say.
    pub fn reason(&self) -> String {
        match self {
            Decision::Allowed(grant) => format!("RBAC: allowed by {}", grant.describe()),
            Decision::Denied(missing) => match together(missing) {
                text if text.is_empty() => text,
                text => format!("RBAC: {text}"),
            },
        }
    }
}

// === impl Grant ===

impl Grant<'_> {
    fn describe(&self) -> String {
        let Binding { name, namespace, role_kind, role, .. } = self.binding;
        let (kind, name) = if namespace.is_empty() {
            ("ClusterRoleBinding", wire::quote(name))
        } else {
            ("RoleBinding", wire::quote(&format!("{name}/{namespace}")))
        };
        format!("{kind} {name} of {role_kind} {} to {}", wire::quote(role), self.subject.describe(namespace))
    }
}

/// Several errors as one text, as Go's aggregate prints them.
pub(crate) fn together(errors: &[String]) -> String {
    let mut unique: Vec<&str> = Vec::new();
    for error in errors {
        if !unique.contains(&error.as_str()) {
            unique.push(error);
        }
    }
    match unique.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests;
