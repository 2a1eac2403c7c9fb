//! The kinds of the table, each with an object to begin with: `kinds.yaml`.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// A kind and what cells need to know of it. Texts may hold the placeholders of `step`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The column's name in the table; the resource's name, with its version where that is not the only one.
    pub name: String,
    /// `api/v1`, `apis/apps/v1`.
    pub path: String,
    /// `configmaps`.
    pub resource: String,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// The name of a cell's object; `it` when not given (cluster-scoped kinds: the cell's own name).
    #[serde(default)]
    pub object_name: Option<String>,
    /// Groups of kinds that rows of the table name.
    #[serde(default)]
    pub sets: Vec<String>,
    /// The object that a cell creates.
    pub object: Value,
    /// A merge patch that changes it.
    pub edit: Value,
    /// A merge patch that makes it something the kind's own rules refuse.
    pub bad: Value,
}

/// The kinds, in the order of the table's columns.
///
/// # Errors
/// A file that says something else.
pub fn load(text: &str) -> Result<Vec<Sample>> {
    serde_saphyr::from_str(text).context("kinds.yaml")
}

// === impl Sample ===

impl Sample {
    /// Whether a word of a row's kinds means this one: its name, its scope, a set of it, or all of them.
    pub fn is(&self, word: &str) -> bool {
        let scope = if self.namespaced { "namespaced" } else { "cluster" };
        word == "all" || word == self.name || word == scope || self.sets.iter().any(|set| set == word)
    }
}
