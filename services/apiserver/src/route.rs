//! What a URL names: a resource of a kind that is served, or a path that is none.

use std::borrow::Cow;

use http::Method;

use crate::registry::{KindRef, Registry};

/// What a request is about.
#[derive(Debug)]
pub(crate) enum Route {
    /// An object, a collection or a subresource.
    Resource(Target),
    /// Anything else: discovery, health, version.
    Path,
    /// A path below an API group that names nothing we serve.
    Unknown,
}

/// A resource named by a URL.
#[derive(Debug)]
pub(crate) struct Target {
    /// The kind, in the version asked for.
    pub(crate) kind: KindRef,
    /// Empty for cluster-scoped kinds and for lists over all namespaces.
    pub(crate) namespace: String,
    /// Empty for collections.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    /// What follows the subresource, as it was sent (only `proxy` has it).
    pub(crate) rest: String,
    /// Whether the URL used the old `/watch/` form.
    pub(crate) watch: bool,
}

/// Reads a path.
pub(crate) fn parse(registry: &Registry, path: &str) -> Route {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Route::Path,
    };
    match rest {
        [] | [""] => Route::Path,
        rest => target(registry, group, version, rest).map_or(Route::Unknown, Route::Resource),
    }
}

fn target(registry: &Registry, group: &str, version: &str, segments: &[&str]) -> Option<Target> {
    let (watch, segments) = match segments {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let (namespace, segments) = match segments {
        // `/namespaces/<name>/status` is about the namespace itself.
        ["namespaces", _, "status" | "finalize", ..] => ("", segments),
        ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | [""]) => (*namespace, rest),
        rest => ("", rest),
    };
    let (plural, name, subresource, rest) = match segments {
        [plural] | [plural, ""] => (plural, "", "", &[][..]),
        [plural, name] | [plural, name, ""] => (plural, *name, "", &[][..]),
        [plural, name, subresource, rest @ ..] => (plural, *name, *subresource, rest),
        [] => return None,
    };
    let kind = registry.lookup(group, version, plural)?;
    let scoped = !namespace.is_empty();
    let fits = if kind.namespaced { scoped || name.is_empty() } else { !scoped };
    let tail_fits = rest.is_empty() || subresource == "proxy";
    (fits && tail_fits).then(|| Target {
        kind,
        namespace: decoded(namespace),
        name: decoded(name),
        subresource: subresource.to_owned(),
        rest: rest.join("/"),
        watch,
    })
}

/// The verb of a method on a target, as authorisation and discovery name it.
pub(crate) fn verb(method: &Method, target: &Target, watch: bool) -> &'static str {
    let collection = target.name.is_empty();
    match *method {
        // `?watch=true` turns lists into watches; an object that is named is only got.
        Method::GET | Method::HEAD if target.watch || (watch && collection) => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// Undoes percent-encoding; what is not valid stays as it is.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    // A query value decodes the same way, but for `+`, which a path keeps.
    let escaped: Cow<'_, str> = text.replace('+', "%2B").into();
    wire::Query::parse(&format!("v={escaped}")).get("v").unwrap_or_default().to_owned()
}

// === impl Target ===

impl Target {
    /// The plural with its group, for messages.
    pub(crate) fn resource(&self) -> wire::Qualified<'_> {
        self.kind.resource()
    }

    /// The kind with its group, for messages.
    pub(crate) fn kind_name(&self) -> wire::Qualified<'_> {
        self.kind.qualified_kind()
    }
}
