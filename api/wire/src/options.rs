//! What a request asks for besides its object: the options of each verb, read from the query string (and, for
//! deletes, the body), with Kubernetes' defaults and refusals.

use serde_json::Value;

use crate::field::FieldError;
use crate::{FieldSelector, LabelSelector, Qualified, Status};

mod delete;
mod list;
mod query;
mod write;

#[cfg(test)]
mod tests;

pub use query::Query;
pub use write::default_manager;

/// Options of get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// The object must be at least this new; 0 and absent mean any.
    pub resource_version: Option<u64>,
}

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListOptions {
    /// Selects by labels.
    pub labels: LabelSelector,
    /// Selects by fields; which ones exist depends on the kind.
    pub fields: FieldSelector,
    /// Whether this is a watch.
    pub watch: bool,
    /// Whether the watcher wants bookmarks.
    pub bookmarks: bool,
    /// `resourceVersion`; absent when empty.
    pub resource_version: Option<u64>,
    /// How `resource_version` is meant.
    pub version_match: Option<VersionMatch>,
    /// Seconds after which a watch or list ends.
    pub timeout_seconds: Option<u64>,
    /// Most items to answer with; 0 is no limit.
    pub limit: usize,
    /// Where the previous page ended, opaque.
    pub continue_token: Option<String>,
    /// Whether a watch first sends what exists, then a bookmark.
    pub send_initial_events: Option<bool>,
}

/// How the `resourceVersion` of a list is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that revision.
    Exact,
    /// That revision or a newer one.
    NotOlderThan,
}

/// Options of create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Do everything but store.
    pub dry_run: bool,
    /// Who writes, for managed fields; empty when not given.
    pub field_manager: String,
    /// What to do about unknown and duplicate fields.
    pub field_validation: FieldValidation,
}

/// Options of update: the same as of create.
pub type UpdateOptions = CreateOptions;

/// Options of patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchOptions {
    /// What update has too.
    pub write: CreateOptions,
    /// Whether an apply takes fields that others own.
    pub force: bool,
}

/// What to do about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so in a `Warning` header (the default).
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// The kinds of patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Merge that follows list keys.
    Strategic,
    /// Server-side apply, JSON or YAML.
    Apply,
}

/// What becomes of dependents when their owner is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without the owner reference.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// Options of delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Do everything but delete.
    pub dry_run: bool,
    /// Seconds to end in peace; absent leaves it to the object.
    pub grace_period_seconds: Option<i64>,
    /// Absent leaves it to the kind.
    pub propagation: Option<Propagation>,
    /// What was said in the old way, which is also in `propagation`.
    pub orphan_dependents: Option<bool>,
    /// The object must have this uid.
    pub uid: Option<String>,
    /// The object must be at this revision.
    pub resource_version: Option<String>,
}

impl PatchKind {
    /// From a content type without its parameters; `None` if it is no patch.
    pub fn from_content_type(media_type: &str) -> Option<PatchKind> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence {
            "application/json-patch+json" => Some(PatchKind::Json),
            "application/merge-patch+json" => Some(PatchKind::Merge),
            "application/strategic-merge-patch+json" => Some(PatchKind::Strategic),
            "application/apply-patch+yaml" | "application/apply-patch+json" => Some(PatchKind::Apply),
            _ => None,
        }
    }
}

/// The refusal of options: `<kind>.meta.k8s.io "" is invalid: ...`.
fn invalid(kind: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(Qualified::new("meta.k8s.io", kind), "", errors))
}

/// `dryRun` may only hold `All`.
fn dry_run(values: &[&str], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        let shown: Vec<Value> = values.iter().map(|value| Value::from(*value)).collect();
        errors.push(FieldError::not_supported("dryRun", shown, &["All"]));
    }
    !values.is_empty()
}
