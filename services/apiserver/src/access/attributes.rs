//! A request as the rules of access see it.

use std::borrow::Cow;

use access::{Request, Resource};
use http::Method;
use wire::{FieldSelector, Qualified, Query, Status, status::Attempt};

use crate::route::Target;

/// What a request for a resource wants.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: Cow<'a, str>,
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// Of a request for a kind that is served.
    pub(crate) fn of(target: &'a Target, verb: &'a str, query: &Query) -> Self {
        let own = target.kind.group.is_empty() && target.kind.plural == "namespaces";
        // Fact: a request about a namespace is one in that namespace, so a role there may allow it.
        let namespace = if own { &target.name } else { &target.namespace };
        let mut name = Cow::Borrowed(target.name.as_str());
        // Fact: a list of one name is about that name, so a rule with resourceNames may allow it.
        if name.is_empty() && matches!(verb, "list" | "watch" | "deletecollection") {
            let selector = query.get("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
            let exact = selector.as_ref().and_then(|selector| selector.exact("metadata.name"));
            name = exact.map_or(name, |exact| Cow::Owned(exact.to_owned()));
        }
        Self {
            verb,
            group: &target.kind.group,
            resource: &target.kind.plural,
            subresource: &target.subresource,
            namespace,
            name,
        }
    }

    /// Of a path below an API group that names nothing we serve; none if it does not even look like a resource.
    pub(crate) fn of_unknown(path: &'a str, method: &Method, watch: bool) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (old_watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let [resource, rest @ ..] = rest else { return None };
        let name = rest.first().copied().unwrap_or_default();
        let verb = match *method {
            Method::GET | Method::HEAD if old_watch || (watch && name.is_empty()) => "watch",
            Method::GET | Method::HEAD if name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => "",
        };
        let subresource = rest.get(1).copied().unwrap_or_default();
        Some(Self { verb, group, resource, subresource, namespace, name: name.into() })
    }

    /// The same with another verb.
    pub(crate) fn with_verb(&self, verb: &'a str) -> Self {
        Self { verb, name: self.name.clone(), ..*self }
    }

    /// As the policy is asked.
    pub(crate) fn request(&self) -> Request<'_> {
        Request::on(
            self.verb,
            Resource {
                group: self.group,
                resource: self.resource,
                subresource: self.subresource,
                namespace: self.namespace,
                name: &self.name,
            },
        )
    }

    /// 403 in Kubernetes' words.
    pub(crate) fn refused(&self, user: &str, reason: &str) -> Status {
        let denied = Status::denied(&Attempt {
            user,
            verb: self.verb,
            resource: Qualified::new(self.group, self.resource),
            subresource: self.subresource,
            namespace: self.namespace,
            name: &self.name,
        });
        because(denied, reason)
    }
}

/// A refusal with its reason, if there is one.
pub(super) fn because(mut denied: Status, reason: &str) -> Status {
    if !reason.is_empty() {
        denied.message.push_str(": ");
        denied.message.push_str(reason);
    }
    denied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(method: &Method, path: &str) -> Option<String> {
        let found = Attributes::of_unknown(path, method, false)?;
        Some(format!(
            "{} {}.{}/{} {} {}",
            found.verb, found.resource, found.group, found.subresource, found.namespace, found.name
        ))
    }

    #[test]
    fn what_is_not_served_is_read_as_if_it_were() {
        for (method, path, want) in [
            (Method::GET, "/api/v1/widgets", "list widgets./  "),
            (Method::POST, "/apis/x.io/v1/namespaces/n/widgets", "create widgets.x.io/ n "),
            (Method::DELETE, "/apis/x.io/v1/namespaces/n/widgets/w", "delete widgets.x.io/ n w"),
            (Method::PUT, "/apis/x.io/v1/widgets/w/status", "update widgets.x.io/status  w"),
            (Method::GET, "/apis/x.io/v1/watch/widgets", "watch widgets.x.io/  "),
        ] {
            assert_eq!(unknown(&method, path).as_deref(), Some(want), "{path}");
        }
        assert_eq!(unknown(&Method::GET, "/nowhere"), None);
    }
}
