//! The shapes that cross the Kubernetes API's wire, apart from the objects themselves: `Status` answers and
//! field errors, selectors, request options, tables, quantities, names, times.
//!
//! **Invariants.** Pure data and pure functions: no I/O, no async, no clock (`now` is an argument). Texts that a
//! client can see are Kubernetes' own, because kubectl, the client libraries and people's scripts compare them.
//! Where a text depends on the release, it is that of Kubernetes 1.36.

pub mod field;
pub mod fields;
pub mod intstr;
pub mod labels;
pub mod names;
pub mod options;
pub mod quantity;
pub mod status;
pub mod table;
pub mod time;

mod golang;

pub use field::{FieldError, Path};
pub use fields::FieldSelector;
pub use golang::{parse_unsigned, quote, type_name};
pub use intstr::IntOrString;
pub use labels::LabelSelector;
pub use options::{
    CreateOptions, DeleteOptions, FieldValidation, GetOptions, ListOptions, PatchKind, PatchOptions,
    Propagation, Query, UpdateOptions,
};
pub use quantity::Quantity;
pub use status::{Cause, Details, Qualified, Reason, Status};
pub use table::{Column, Row, Table};
pub use time::{human_age, human_duration};
