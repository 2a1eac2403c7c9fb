//! Who is asking, and whether they may.
//!
//! **Invariant:** an `Identity` is made only from a certificate that our own CA signed, or by code in this process.

use std::sync::Arc;

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";

/// The user behind a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Arc<str>,
    groups: Arc<[String]>,
    agent: Arc<str>,
    internal: bool,
}

// === impl Identity ===

impl Identity {
    /// A part of this process, such as `controller`. It may do everything and is known to other users as a
    /// service account of `kube-system`; `name` is also its default field manager.
    pub fn component(name: &str) -> Self {
        let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
        Self {
            user: format!("system:serviceaccount:kube-system:{name}").into(),
            groups: groups.iter().map(ToString::to_string).collect(),
            agent: name.into(),
            internal: true,
        }
    }

    /// A user named by a certificate: common name and organisations.
    pub fn user(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let groups = groups.into_iter().chain(["system:authenticated".to_owned()]);
        Self { user: name.into(), groups: groups.collect(), agent: "unknown".into(), internal: false }
    }

    /// The user name.
    pub fn name(&self) -> &str {
        &self.user
    }

    /// The groups, `system:authenticated` among them.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The field manager of this identity's writes when the request names none.
    pub(crate) fn agent(&self) -> &str {
        &self.agent
    }

    /// Whether it may do everything.
    pub(crate) fn may_do_everything(&self) -> bool {
        self.internal || self.groups.iter().any(|group| group == MASTERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_masters_and_parts_of_this_process_may_do_everything() {
        assert!(Identity::component("controller").may_do_everything());
        assert!(Identity::user("kubernetes-admin", [MASTERS.to_owned()]).may_do_everything());
        assert!(!Identity::user("jane", ["developers".to_owned()]).may_do_everything());
    }
}
