//! `Status`: what the API answers when there is no object to answer with, word for word as Kubernetes does.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::field::{self, FieldError};

mod build;

#[cfg(test)]
mod tests;

/// A kind or plural with its API group; prints `pods`, `deployments.apps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qualified<'a> {
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Plural (`pods`) or kind (`Pod`), as the message needs.
    pub name: &'a str,
}

/// `meta/v1 Status`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `Failure` or `Success`.
    pub status: String,
    /// For people.
    pub message: String,
    /// For programs.
    pub reason: Option<Reason>,
    /// What the status is about.
    pub details: Option<Box<Details>>,
    /// HTTP status code.
    pub code: u16,
    /// Where an expired list can go on, at another revision (`metadata.continue`).
    #[serde(skip)]
    pub continue_token: Option<String>,
}

/// What a `Status` is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural of the kind, or the kind itself in `Invalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry for each thing that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds to wait before trying again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Machine-readable kind of the cause.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Why, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are Kubernetes' own and say all there is
pub enum Reason {
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
    #[serde(untagged)]
    Other(String),
}

/// Who wanted to do what, for the text of a refusal by RBAC.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Name of the user.
    pub user: &'a str,
    /// `get`, `list`, ...
    pub verb: &'a str,
    /// Plural with its group.
    pub resource: Qualified<'a>,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace; empty means the cluster scope.
    pub namespace: &'a str,
    /// Object name, or empty.
    pub name: &'a str,
}

fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

// === impl Qualified ===

impl<'a> Qualified<'a> {
    /// A name in a group (empty: core).
    pub const fn new(group: &'a str, name: &'a str) -> Self {
        Qualified { group, name }
    }
}

impl fmt::Display for Qualified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

// === impl Status ===

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "Status")?;
        map.serialize_entry("apiVersion", "v1")?;
        let mut metadata = serde_json::Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        map.serialize_entry("metadata", &metadata)?;
        map.serialize_entry("status", &self.status)?;
        if !self.message.is_empty() {
            map.serialize_entry("message", &self.message)?;
        }
        if let Some(reason) = &self.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(details) = &self.details {
            map.serialize_entry("details", details)?;
        }
        if self.code != 0 {
            map.serialize_entry("code", &self.code)?;
        }
        map.end()
    }
}

impl Status {
    /// Whether this is a failure with the given reason.
    pub fn is(&self, reason: &Reason) -> bool {
        self.reason.as_ref() == Some(reason)
    }

    /// The causes, or none.
    pub fn causes(&self) -> &[Cause] {
        self.details.as_ref().map_or(&[], |details| &details.causes)
    }

    /// As JSON bytes.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<&FieldError> for Cause {
    fn from(error: &FieldError) -> Cause {
        Cause { reason: error.kind.reason().to_owned(), message: error.body(), field: error.path.clone() }
    }
}

/// The causes and the text after `is invalid: ` for a list of errors.
fn explain(errors: &[FieldError]) -> (Vec<Cause>, String) {
    (errors.iter().map(Cause::from).collect(), field::aggregate(errors))
}
