//! What somebody wants to do.

/// A verb on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `get`, `list`, `impersonate`, ...; for a path the HTTP method in small letters.
    pub verb: &'a str,
    /// On what.
    pub target: Target<'a>,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// An object, a collection or a subresource.
    Resource(Resource<'a>),
    /// A path that is none of these, such as `/version`.
    Path(&'a str),
}

/// A resource as authorisation sees it. Empty fields mean: not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource<'a> {
    /// API group; empty is the core group.
    pub group: &'a str,
    /// `pods`.
    pub resource: &'a str,
    /// `log`.
    pub subresource: &'a str,
    /// Empty: the cluster scope.
    pub namespace: &'a str,
    /// Name of one object.
    pub name: &'a str,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// A verb on a resource.
    pub fn on(verb: &'a str, resource: Resource<'a>) -> Self {
        Request { verb, target: Target::Resource(resource) }
    }

    /// A verb on a path.
    pub fn path(verb: &'a str, path: &'a str) -> Self {
        Request { verb, target: Target::Path(path) }
    }

    /// The namespace; empty for the cluster scope and for paths.
    pub fn namespace(&self) -> &'a str {
        match self.target {
            Target::Resource(resource) => resource.namespace,
            Target::Path(_) => "",
        }
    }
}
