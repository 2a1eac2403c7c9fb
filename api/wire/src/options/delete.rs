//! Options of delete: a body wins over the query.

use serde_json::Value;

use super::{DeleteOptions, Propagation, Query, dry_run, invalid};
use crate::field::FieldError;
use crate::{Status, golang};

impl DeleteOptions {
    /// Reads a delete's options: from the body if there is one (JSON), else from the query.
    ///
    /// # Errors
    /// 400 for a body that is no `DeleteOptions`, 422 for values that Kubernetes refuses.
    pub fn from_request(query: &Query, body: &[u8]) -> Result<DeleteOptions, Status> {
        let body = match body {
            [] => from_query(query)?,
            bytes => serde_json::from_slice(bytes).map_err(|e| undecodable(&e.to_string()))?,
        };
        DeleteOptions::from_value(&body)
    }

    /// Reads a decoded body.
    ///
    /// # Errors
    /// As [`DeleteOptions::from_request`].
    pub fn from_value(body: &Value) -> Result<DeleteOptions, Status> {
        if !body.is_object() {
            return Err(undecodable(
                "json: cannot unmarshal the body into Go value of type v1.DeleteOptions",
            ));
        }
        if let Some(kind) = body.get("kind").and_then(Value::as_str).filter(|kind| *kind != "DeleteOptions") {
            let why = format!("decoded object cannot be converted to DeleteOptions: {}", golang::quote(kind));
            return Err(Status::bad_request(why));
        }
        let mut errors = Vec::new();
        let propagation = propagation(body, &mut errors);
        let texts = body.get("dryRun").and_then(Value::as_array).into_iter().flatten();
        let dry_run = dry_run(&texts.filter_map(Value::as_str).collect::<Vec<_>>(), &mut errors);
        invalid("DeleteOptions", &errors)?;
        Ok(DeleteOptions {
            dry_run,
            grace_period_seconds: grace(body)?,
            propagation,
            orphan_dependents: body.get("orphanDependents").and_then(Value::as_bool),
            uid: text(body, "/preconditions/uid")?,
            resource_version: text(body, "/preconditions/resourceVersion")?,
        })
    }
}

/// The query as the body it stands for.
fn from_query(query: &Query) -> Result<Value, Status> {
    let mut body = serde_json::Map::new();
    if let Some(seconds) = query.integer("gracePeriodSeconds")? {
        body.insert("gracePeriodSeconds".to_owned(), seconds.into());
    }
    if let Some(policy) = query.non_empty("propagationPolicy") {
        body.insert("propagationPolicy".to_owned(), policy.into());
    }
    if let Some(orphan) = query.flag_if_present("orphanDependents") {
        body.insert("orphanDependents".to_owned(), orphan.into());
    }
    let dry_run: Vec<Value> = query.all("dryRun").filter(|v| !v.is_empty()).map(Value::from).collect();
    body.insert("dryRun".to_owned(), dry_run.into());
    Ok(Value::Object(body))
}

fn propagation(body: &Value, errors: &mut Vec<FieldError>) -> Option<Propagation> {
    const FIELD: &str = "propagationPolicy";
    let orphan = body.get("orphanDependents").and_then(Value::as_bool);
    let policy = body.get(FIELD).filter(|policy| !policy.is_null());
    if let (Some(_), Some(policy)) = (orphan, policy) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(FIELD, policy.clone(), why));
    }
    match (policy.map(|policy| policy.as_str().unwrap_or_default()), orphan) {
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) => Some(Propagation::Background),
        (Some("Orphan"), _) => Some(Propagation::Orphan),
        (Some(other), _) => {
            let valid = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(FIELD, other, &valid));
            None
        }
        (None, Some(true)) => Some(Propagation::Orphan),
        (None, Some(false)) => Some(Propagation::Background),
        (None, None) => None,
    }
}

fn grace(body: &Value) -> Result<Option<i64>, Status> {
    match body.get("gracePeriodSeconds") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            // Negative means at once, as it does in Kubernetes.
            Some(seconds) => Ok(Some(if seconds < 0 { 1 } else { seconds })),
            None => Err(undecodable("json: cannot unmarshal gracePeriodSeconds into Go value of type int64")),
        },
    }
}

fn text(body: &Value, pointer: &str) -> Result<Option<String>, Status> {
    match body.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(undecodable("json: cannot unmarshal preconditions into Go value of type string")),
    }
}

fn undecodable(why: &str) -> Status {
    Status::undecodable("DeleteOptions", "v1", why)
}
