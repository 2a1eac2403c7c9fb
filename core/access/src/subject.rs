//! Who asks, and whom a binding names.

use serde_json::Value;

const PREFIX: &str = "system:serviceaccount:";

/// Somebody who has proved who he is.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// User name.
    pub name: &'a str,
    /// Groups.
    pub groups: &'a [String],
}

/// A subject of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user by name.
    User(String),
    /// All members of a group.
    Group(String),
    /// A service account; without a namespace that of the binding is meant.
    ServiceAccount {
        /// Namespace, or empty.
        namespace: String,
        /// Name.
        name: String,
    },
}

/// The user name of a service account.
pub fn service_account_name(namespace: &str, name: &str) -> String {
    format!("{PREFIX}{namespace}:{name}")
}

/// The groups that every service account of a namespace is in.
pub fn service_account_groups(namespace: &str) -> [String; 2] {
    ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// Namespace and name of a service account, from its user name.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(PREFIX)?.split_once(':')?;
    let plain = |text: &str| !text.is_empty() && !text.contains(':');
    (plain(namespace) && plain(name)).then_some((namespace, name))
}

// === impl Subject ===

impl Subject {
    /// Reads a subject; a kind that does not exist is nobody.
    pub(crate) fn read(value: &Value) -> Option<Subject> {
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        match value["kind"].as_str()? {
            "User" => Some(Subject::User(text("name"))),
            "Group" => Some(Subject::Group(text("name"))),
            "ServiceAccount" => {
                Some(Subject::ServiceAccount { namespace: text("namespace"), name: text("name") })
            }
            _ => None,
        }
    }

    /// Whether `who` is meant. `home` is the binding's namespace.
    pub(crate) fn means(&self, who: &Who<'_>, home: &str) -> bool {
        match self {
            Subject::User(name) => name == who.name,
            Subject::Group(name) => who.groups.contains(name),
            Subject::ServiceAccount { namespace, name } => {
                let namespace = if namespace.is_empty() { home } else { namespace };
                !namespace.is_empty() && split_service_account(who.name) == Some((namespace, name.as_str()))
            }
        }
    }

    /// As a reason names it.
    pub(crate) fn describe(&self, home: &str) -> String {
        match self {
            Subject::User(name) => format!("User {}", wire::quote(name)),
            Subject::Group(name) => format!("Group {}", wire::quote(name)),
            Subject::ServiceAccount { namespace, name } => {
                let namespace = if namespace.is_empty() { home } else { namespace };
                format!("ServiceAccount {}", wire::quote(&format!("{name}/{namespace}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_service_accounts_come_apart_again() {
        assert_eq!(split_service_account(&service_account_name("n", "a")), Some(("n", "a")));
        for other in
            ["jane", "system:serviceaccount:n", "system:serviceaccount::a", "system:serviceaccount:n:a:b"]
        {
            assert_eq!(split_service_account(other), None, "{other}");
        }
    }

    #[test]
    fn a_service_account_without_a_namespace_lives_where_its_binding_does() {
        let own = Subject::ServiceAccount { namespace: String::new(), name: "a".to_owned() };
        let who = |name| Who { name, groups: &[] };
        assert!(own.means(&who("system:serviceaccount:n:a"), "n"));
        assert!(!own.means(&who("system:serviceaccount:n:a"), "other"));
        assert!(!own.means(&who("system:serviceaccount::a"), ""));
    }
}
