//! Acting as somebody else, for those who may: `Impersonate-User`, `-Group`, `-Uid`, `-Extra-<key>`.
//!
//! **Invariant:** every single thing that is asked for is allowed by a rule of its own before anything is believed.

use access::{AUTHENTICATED, service_account_groups, split_service_account};
use http::{HeaderMap, HeaderName};
use wire::{Query, Status};

use super::{Access, Attributes};
use crate::identity::{Extra, Identity};

const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";
/// The group of those without a name, which can be played although nobody is in it here.
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";

/// What the headers ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: Extra,
}

/// The identity to act as, if any is asked for and allowed. The headers are gone then.
pub(super) fn act(
    access: &Access,
    identity: &Identity,
    headers: &mut HeaderMap,
) -> Result<Option<Identity>, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(None);
    }
    let asked = read(headers)?;
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    if asked.user.is_empty() {
        return Ok(None);
    }
    check(access, identity, &asked)?;
    Ok(Some(asked.identity()))
}

fn read(headers: &HeaderMap) -> Result<Asked, Status> {
    let mut asked = Asked::default();
    for (name, value) in headers {
        let Some(what) = name.as_str().strip_prefix(PREFIX) else { continue };
        let value = value.to_str();
        let value = value.map_err(|_| Status::bad_request(format!("header {name} is not plain text")))?;
        match name.as_str() {
            USER if asked.user.is_empty() => value.clone_into(&mut asked.user),
            GROUP => asked.groups.push(value.to_owned()),
            UID => value.clone_into(&mut asked.uid),
            _ => {
                if let Some(key) = name.as_str().strip_prefix(EXTRA) {
                    asked.extra.entry(unescaped(key)).or_default().push(value.to_owned());
                } else {
                    tracing::debug!(what, "unknown impersonation header");
                }
            }
        }
    }
    let more = !asked.groups.is_empty() || !asked.uid.is_empty() || !asked.extra.is_empty();
    if asked.user.is_empty() && more {
        let what: Vec<&str> = [
            ("groups", !asked.groups.is_empty()),
            ("uid", !asked.uid.is_empty()),
            ("extra", !asked.extra.is_empty()),
        ]
        .into_iter()
        .filter_map(|(what, asked)| asked.then_some(what))
        .collect();
        return Err(Status::internal(format!("requested {what:?} without impersonating a user")));
    }
    Ok(asked)
}

/// A key as it was before it had to be a header's name.
fn unescaped(key: &str) -> String {
    let escaped = key.replace('+', "%2B");
    Query::parse(&format!("v={escaped}")).get("v").unwrap_or(key).to_owned()
}

fn check(access: &Access, identity: &Identity, asked: &Asked) -> Result<(), Status> {
    let require = |group, resource, subresource, namespace, name: &str| {
        let wanted =
            Attributes { verb: "impersonate", group, resource, subresource, namespace, name: name.into() };
        access.require(identity, &wanted)
    };
    match split_service_account(&asked.user) {
        Some((namespace, name)) => require("", "serviceaccounts", "", namespace, name)?,
        None => require("", "users", "", "", &asked.user)?,
    }
    for group in &asked.groups {
        require("", "groups", "", "", group)?;
    }
    for (key, values) in &asked.extra {
        for value in values {
            require(AUTHENTICATION, "userextras", key, "", value)?;
        }
    }
    if !asked.uid.is_empty() {
        require(AUTHENTICATION, "uids", "", "", &asked.uid)?;
    }
    Ok(())
}

// === impl Asked ===

impl Asked {
    fn identity(self) -> Identity {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, _)) = split_service_account(&self.user)
        {
            groups.extend(service_account_groups(namespace));
        }
        let told = groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED);
        if !told {
            let group = if self.user == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
            groups.push(group.to_owned());
        }
        Identity::as_told(&self.user, groups, self.uid, self.extra)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn headers_say_user_groups_uid_and_extra() {
        let asked = read(&headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-scopes%2fx", "1"),
            ("accept", "x"),
        ]));
        let asked = asked.unwrap();
        assert_eq!((asked.user.as_str(), asked.uid.as_str()), ("jane", "7"));
        assert_eq!(asked.extra.get("scopes/x"), Some(&vec!["1".to_owned()]));
        assert_eq!(asked.identity().groups(), ["a", "b", AUTHENTICATED]);
    }

    // Fact: groups without a user are an error of the client, answered 500 as in Kubernetes.
    #[test]
    fn a_group_without_a_user_is_refused() {
        let refused = read(&headers(&[("impersonate-group", "a")])).unwrap_err();
        assert_eq!(refused.code, 500);
        assert!(refused.message.contains("without impersonating a user"), "{}", refused.message);
    }

    #[test]
    fn a_service_account_brings_its_groups() {
        let asked = Asked { user: "system:serviceaccount:n:a".to_owned(), ..Asked::default() };
        let want = ["system:serviceaccounts", "system:serviceaccounts:n", AUTHENTICATED];
        assert_eq!(asked.identity().groups(), want);
        let anonymous = Asked { user: ANONYMOUS.to_owned(), ..Asked::default() };
        assert_eq!(anonymous.identity().groups(), [UNAUTHENTICATED]);
    }
}
