//! Fields of Jobs that change what is run and that are not carried out here: refused by name rather than ignored.

use serde_json::Value;
use wire::Status;

use crate::{object, route::Target};

const FIELDS: [&str; 5] =
    ["podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes", "managedBy"];

/// Refuses a new Job that asks for what is not done.
pub(super) fn admit(target: &Target, job: &Value) -> Result<(), Status> {
    let asked = FIELDS.iter().find(|field| job["spec"].get(**field).is_some_and(|value| !value.is_null()));
    match asked {
        Some(field) => {
            let why = format!("spec.{field} is not supported by this server: leave it out");
            Err(Status::forbidden(target.resource(), object::name(job), why))
        }
        None => Ok(()),
    }
}
