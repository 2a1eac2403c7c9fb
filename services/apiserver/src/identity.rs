//! Who is asking.
//!
//! **Invariant:** an `Identity` is made only from a certificate that our own CA signed, from a token that was checked, from
//! a user who may impersonate it, or by code in this process.

use std::{collections::BTreeMap, sync::Arc};

use access::{AUTHENTICATED, Who};
use serde_json::{Value, json};

/// The group whose members may do everything.
pub const MASTERS: &str = access::MASTERS;

/// What is known of a user beyond name and groups.
pub(crate) type Extra = BTreeMap<String, Vec<String>>;

/// The user behind a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Arc<str>,
    groups: Arc<[String]>,
    agent: Arc<str>,
    internal: bool,
    detail: Option<Arc<Detail>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Detail {
    uid: String,
    extra: Extra,
}

// === impl Identity ===

impl Identity {
    /// A part of this process, such as `controller`. It may do everything and is known to other users as a
    /// service account of `kube-system`; `name` is also its default field manager.
    pub fn component(name: &str) -> Self {
        let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", AUTHENTICATED];
        Self {
            user: access::service_account_name("kube-system", name).into(),
            groups: groups.iter().map(ToString::to_string).collect(),
            agent: name.into(),
            internal: true,
            detail: None,
        }
    }

    /// A user named by a certificate: common name and organisations.
    pub fn user(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let groups = groups.into_iter().chain([AUTHENTICATED.to_owned()]);
        Self::as_told(name, groups, String::new(), Extra::new())
    }

    /// A user in exactly these groups.
    pub(crate) fn as_told(
        name: &str,
        groups: impl IntoIterator<Item = String>,
        uid: String,
        extra: Extra,
    ) -> Self {
        let detail = (!uid.is_empty() || !extra.is_empty()).then(|| Arc::new(Detail { uid, extra }));
        Self {
            user: name.into(),
            groups: groups.into_iter().collect(),
            agent: "unknown".into(),
            internal: false,
            detail,
        }
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

    /// Whether it is a part of this process.
    pub(crate) fn is_internal(&self) -> bool {
        self.internal
    }

    /// Whether it is an administrator of everything.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    /// Whether it may do everything.
    pub(crate) fn may_do_everything(&self) -> bool {
        self.internal || self.is_master()
    }

    /// As the rules of access know it.
    pub(crate) fn who(&self) -> Who<'_> {
        Who { name: &self.user, groups: &self.groups }
    }

    /// As `UserInfo` shows it.
    pub(crate) fn user_info(&self) -> Value {
        let mut info = json!({"username": self.name(), "groups": self.groups()});
        if let Some(detail) = &self.detail {
            if !detail.uid.is_empty() {
                info["uid"] = detail.uid.as_str().into();
            }
            if !detail.extra.is_empty() {
                info["extra"] = json!(detail.extra);
            }
        }
        info
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
