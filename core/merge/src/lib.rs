//! Merging: the four kinds of patch that a Kubernetes API server takes.
//!
//! JSON patch and JSON merge patch need the object only. Strategic merge patch and server-side apply follow the
//! schema, never field names: which lists are merged by which keys, which maps are one value, is the schema's to
//! say. [`apply`] also keeps `metadata.managedFields`, the record of who owns which field.
//!
//! **Invariant:** pure functions over JSON values. A patch that fails leaves the object as it was, or the object
//! is the caller's to throw away: nothing half-patched is ever returned as a success.

use serde_json::Value;

pub mod apply;
mod extent;
mod fields;
mod json;
mod managed;
mod strategic;
mod typed;

pub use extent::{Extent, MAX_DEPTH, measure};
pub use fields::FieldSet;
pub use json::{json_patch, merge_patch};
pub use managed::Manager;
pub use strategic::strategic;

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// The patch is no patch (400 BadRequest).
    #[error("{0}")]
    Malformed(String),
    /// The patch has a directive that is none (500 without a reason).
    #[error("unknown patch type: {directive} in map")]
    Directive {
        /// What it says.
        directive: String,
        /// Where: the part of the patch.
        place: Value,
    },
    /// The patch asks for more than is allowed (413).
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object (422 Invalid).
    #[error("{0}")]
    Unfit(String),
}

#[cfg(test)]
mod tests;
