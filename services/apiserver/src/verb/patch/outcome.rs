//! What Kubernetes says of a patch that is none, does not fit, or makes something that is no object of its kind.

use std::fmt::Write as _;

use kinds::Kind;
use merge::PatchError;
use serde_json::Value;
use wire::{FieldError, FieldValidation, PatchKind, Qualified, Reason, Status, status::Details};

use crate::input;

/// The text of every patch that does not fit, whatever the cause (`NewGenericServerResponse`).
const UNFIT: &str = "the server rejected our request due to an error in our request";
/// The fields of an operation of a JSON patch.
const OPERATION: [&str; 4] = ["op", "path", "from", "value"];

/// A failed patch as a status.
pub(in crate::verb) fn refused(error: PatchError) -> Status {
    match error {
        PatchError::Malformed(why) => Status::bad_request(why),
        PatchError::Directive { directive, place } => {
            Status::unexplained(format!("unknown patch type: {directive} in map: {}", printed(&place)))
        }
        PatchError::TooLarge(what) => Status::too_large(what),
        PatchError::Unfit(why) => {
            tracing::debug!(%why, "patch does not fit");
            Status::failure(422, Reason::Invalid, UNFIT).with(Details::default())
        }
    }
}

/// What strict decoding finds in the patch itself: fields given twice, and in a JSON patch, unknown ones.
pub(super) fn problems(
    kind: PatchKind,
    body: &[u8],
    patch: &Value,
    validation: FieldValidation,
) -> Vec<String> {
    if validation == FieldValidation::Ignore {
        return Vec::new();
    }
    let prefix = if kind == PatchKind::Json { "json patch " } else { "" };
    let mut found: Vec<String> = schema::duplicates(body)
        .iter()
        .map(|path| format!("{prefix}duplicate field {}", wire::quote(path)))
        .collect();
    if kind == PatchKind::Json {
        let operations = patch.as_array().into_iter().flatten().enumerate();
        for (index, operation) in operations {
            let names = operation.as_object().into_iter().flatten().map(|(name, _)| name);
            for name in names.filter(|name| !OPERATION.contains(&name.as_str())) {
                found.push(format!("json patch unknown field {}", wire::quote(&format!("[{index}].{name}"))));
            }
        }
    }
    found
}

/// Refuses an outcome that is not an object.
pub(super) fn object(kind: PatchKind, patch: &Value, patched: &Value) -> Result<(), Status> {
    let found = match wire::type_name(patched) {
        "object" => return Ok(()),
        other => other,
    };
    let why = format!(
        "couldn't get version/kind; json parse error: json: cannot unmarshal {found} {}",
        input::TYPE_META
    );
    Err(invalid(kind, patch, patched, &why))
}

/// Refuses an outcome of another built-in kind. Custom kinds are told apart later, when the outcome is validated.
pub(super) fn kind(kind: &Kind, patch: PatchKind, value: &Value, patched: &Value) -> Result<(), Status> {
    let found = patched["kind"].as_str().unwrap_or_default();
    if found == kind.kind || kind.custom().is_some() {
        return Ok(());
    }
    let why = format!(
        "no kind {} is registered for version {}",
        wire::quote(found),
        wire::quote(&kind.api_version())
    );
    Err(invalid(patch, value, patched, &why))
}

/// How Kubernetes refuses a patch whose outcome strict decoding finds something wrong with.
pub(super) fn strict(kind: PatchKind, patch: &Value, patched: &Value, problems: &[String]) -> Status {
    invalid(kind, patch, patched, &format!("strict decoding error: {}", problems.join(", ")))
}

/// How Kubernetes refuses a patch whose outcome is not what it should be: on a field named `patch`, with what was
/// patched, or for strategic patches the patch as Go prints maps.
pub(super) fn invalid(kind: PatchKind, patch: &Value, patched: &Value, why: &str) -> Status {
    let shown = match kind {
        PatchKind::Strategic => printed(patch),
        _ => patched.to_string(),
    };
    Status::invalid(Qualified::new("", ""), "", &[FieldError::invalid("patch", shown, why)])
}

/// A value as Go's `%+v` prints it.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            let mut out = "map[".to_owned();
            for (index, name) in names.into_iter().enumerate() {
                let blank = if index > 0 { " " } else { "" };
                let _ = write!(out, "{blank}{name}:{}", printed(&fields[name]));
            }
            out + "]"
        }
        other => other.to_string(),
    }
}
