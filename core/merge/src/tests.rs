//! The crate's promises on Kubernetes' own kinds. The judge is the API documentation and structured-merge-diff.

use std::sync::Arc;

use schema::{Document, Schema};
use serde_json::{Value, json};

mod applying;
mod models;
mod patching;
mod properties;

fn kind(group: &str, kind: &str) -> Arc<Schema> {
    Document::bundled().schema(group, "v1", kind).unwrap()
}
