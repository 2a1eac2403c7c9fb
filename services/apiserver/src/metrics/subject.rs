//! What a request is counted under.

use http::{HeaderMap, Method};
use kinds::Text;
use wire::{PatchKind, Query};

use crate::{input, route::Target, verb};

/// Paths that are counted by their name.
const PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/api", "/apis"];

/// What a request is about.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(super) verb: &'static str,
    pub(super) dry_run: &'static str,
    pub(super) group: &'a Text,
    pub(super) version: &'a Text,
    pub(super) resource: &'a Text,
    pub(super) subresource: &'static str,
    pub(super) scope: &'static str,
}

/// What stands for the kind of a path that is none.
pub(super) const NONE: &Text = &Text::Borrowed("");

// === impl Subject ===

impl<'a> Subject<'a> {
    /// Of a request for a resource; none for a subresource that is not served.
    pub(crate) fn of(
        target: &'a Target,
        verb: &str,
        method: &Method,
        apply: bool,
        query: &Query,
    ) -> Option<Self> {
        let subresource = match target.subresource.as_str() {
            "" => "",
            name => target.kind.subresource(name)?.name,
        };
        let scope = match (target.name.is_empty() && *method != Method::POST, target.namespace.is_empty()) {
            (false, _) => "resource",
            (true, false) => "namespace",
            (true, true) => "cluster",
        };
        let verb = match verb {
            _ if verb::is_stream(target) => "CONNECT",
            "watch" => "WATCH",
            "get" | "list" if scope == "resource" => "GET",
            "get" | "list" => "LIST",
            "patch" if apply => "APPLY",
            _ => self::method(method),
        };
        let kind = &target.kind;
        let (group, version, resource) = (&kind.group, &kind.version, &kind.plural);
        Some(Self { verb, dry_run: dry_run(query), group, version, resource, subresource, scope })
    }

    /// Of a request for a path; none for those that are not told apart.
    pub(crate) fn of_path(path: &str, method: &Method) -> Option<Subject<'static>> {
        let subresource = *PATHS.iter().find(|known| **known == path)?;
        let (group, version, resource) = (NONE, NONE, NONE);
        Some(Subject {
            verb: self::method(method),
            dry_run: "",
            group,
            version,
            resource,
            subresource,
            scope: "",
        })
    }

    pub(super) fn is_long(&self) -> bool {
        matches!(self.verb, "WATCH" | "CONNECT")
    }
}

/// The verb of a method; what Kubernetes does not know is `other`, as it says.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn dry_run(query: &Query) -> &'static str {
    let asked = || query.all("dryRun");
    match asked().next() {
        None => "",
        Some(_) if asked().all(|value| value == "All") => "All",
        Some(_) => "invalid",
    }
}

/// Whether a request is a server-side apply.
pub(crate) fn is_apply(headers: &HeaderMap) -> bool {
    PatchKind::from_content_type(input::media_type(headers)) == Some(PatchKind::Apply)
}
