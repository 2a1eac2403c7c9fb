//! Structural schemas: what an object of a kind may look like.
//!
//! ```text
//! bundled OpenAPI data ─┐                   ┌─ prune     drops what the schema does not know, and names it
//!                       ├─ compile ─ Schema ┼─ default   fills in what is absent
//! a CRD's openAPIV3 ────┘                   ├─ validate  types, limits, formats, list keys, CEL rules
//!                                           └─ accessors list and map types, patch strategies (merge walks them)
//! ```
//!
//! **Invariants.** Pure functions over JSON values: no I/O, no clock. Messages and paths are those of a Kubernetes
//! API server, because clients match on them. Compiled schemas are immutable, shared by `Arc`, and small:
//! equal parts exist once, and descriptions are never kept.

mod compile;
mod convert;
mod default;
mod definition;
mod document;
mod duplicate;
mod format;
mod node;
mod null;
pub mod openapi;
mod program;
mod prune;
mod rules;
mod structural;
mod validate;

pub use compile::{CompileError, Compiler};
pub use default::default;
pub use definition::check_versions;
pub use document::Document;
pub use duplicate::duplicates;
pub use node::{Field, Kind, ListType, Schema, Strategy, Zero};
pub use null::settle_nulls;
pub use prune::prune;
pub use structural::check_structural;
pub use validate::{check_types, validate};

#[cfg(test)]
mod tests;
