//! What Kubernetes does with each kind that is served: names and verbs, defaults, preparation of writes, validation,
//! columns, field selectors. Pure functions over `serde_json::Value`, so that the API server needs one path per verb.
//!
//! **Invariants.** No I/O, no clock (`now` is an argument), no typed structs. A rule that Kubernetes has is copied
//! with its words and its path; a rule that it has not is not here. Schemas (unknown fields, types, required) are the
//! business of crate `schema`, which runs before these rules; nothing here panics on values of the wrong type.
//!
//! Order on a write: decode - prune and check by schema - [`default`] - `prepare_*` - `validate_*` - store.
//!
//! Where things are, one file for each subject:
//! `table/` kinds, names, verbs, subresources; `custom.rs` kinds from CRDs; `definition.rs` what becomes of CRDs; `default/` defaults; `prepare/` what a
//! write may touch; `validate/` refusals; `print/` columns and rows; `jsonpath.rs` kubectl's JSONPath; `select.rs`
//! field selectors; `quota/` what objects use of a quota; `limits.rs` limit ranges; `event.rs` the two forms of events; `value.rs` reading JSON.

pub mod custom;
pub mod definition;
pub mod event;
pub mod jsonpath;
pub mod limits;
pub mod quota;
pub mod table;

mod default;
mod prepare;
mod print;
mod select;
mod validate;
mod value;

pub use custom::{Custom, compare_versions};
pub use default::default;
pub use jsonpath::JsonPath;
pub use prepare::{counts_generations, equivalent, grace_period, prepare_create, prepare_update, qos_class};
pub use print::{columns, row};
pub use select::{check_fields, select_field};
pub use table::{Body, Kind, Storage, Subresource, Text, by_kind, lookup, table};
pub use validate::{validate_create, validate_update};
