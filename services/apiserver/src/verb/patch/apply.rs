//! Server-side apply.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use wire::{FieldValidation, PatchOptions, Reason, Status};

use crate::{
    body::Reply,
    input::{self, Language},
    object,
    ownership::Writer,
    verb::{
        Call, create, draft,
        modify::{self, Edit},
    },
};

/// Applies a configuration, to what is there or to nothing.
pub(super) async fn apply(
    call: &mut Call<'_>,
    body: &[u8],
    options: &PatchOptions,
    writer: Writer,
) -> Result<Reply, Status> {
    let applied = read(call, body, options.write.field_validation)?;
    for _ in 0..draft::ATTEMPTS {
        if call.core.store.get(&call.key()).is_some() {
            match to_live(call, &applied, options, &writer).await {
                // Deleted meanwhile: create it.
                Err(status) if status.is(&Reason::NotFound) => {}
                answer => return call.reply(StatusCode::OK, answer?).await,
            }
        } else if !call.target.subresource.is_empty() {
            return Err(call.not_found());
        } else {
            match to_nothing(call, &applied, options, &writer).await {
                // Created meanwhile: merge into it.
                Err(status) if status.is(&Reason::AlreadyExists) => {}
                answer => return call.reply(StatusCode::CREATED, answer?).await,
            }
        }
    }
    Err(Status::modified(call.target.resource(), &call.target.name))
}

/// Reads a configuration. An unknown field is not dropped with a warning here: whoever applies it would own it.
fn read(call: &mut Call<'_>, body: &[u8], validation: FieldValidation) -> Result<Value, Status> {
    let bad = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let mut applied = input::parse(body, Language::Yaml).map_err(bad)?;
    if applied.is_null() {
        applied = Value::Object(serde_json::Map::new());
    }
    if !applied.is_object() {
        return Err(bad("json: cannot unmarshal into Go value of type map[string]interface {}".to_owned()));
    }
    typed(call, &applied)?;
    repeated(call, body, validation)?;
    // Nulls and what only a default could tell are dealt with as in every other body.
    call.core.rules.trim(call.kind(), &mut applied)?;
    // What is there has its name, whether or not the configuration repeats it.
    if object::name(&applied).is_empty() && call.core.store.get(&call.key()).is_some() {
        object::set(&mut applied, "name", Value::from(call.target.name.as_str()));
    }
    draft::identify(call, &mut applied)?;
    Ok(applied)
}

/// Checks that a configuration is of this kind and that each of its fields has an owner to be.
fn typed(call: &Call<'_>, applied: &Value) -> Result<(), Status> {
    let kind = call.kind();
    let text = |key: &str| applied[key].as_str().unwrap_or_default();
    let (version, found) = (text("apiVersion"), text("kind"));
    if version != kind.api_version() || found != kind.kind {
        let shown = type_name(version, found);
        return Err(Status::bad_request(format!("invalid object type: {shown}")));
    }
    if !applied["metadata"]["managedFields"].as_array().is_none_or(Vec::is_empty) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    merge::apply::check(call.core.rules.schema(kind), applied).map_err(|why| {
        let (namespace, name) = (object::text(applied, "namespace"), object::name(applied));
        let shown = type_name(version, found);
        // An error that is no status: Kubernetes answers 500 without a reason.
        let message = format!("failed to create typed patch object ({namespace}/{name}; {shown}): {why}");
        Status { reason: None, ..Status::failure(500, Reason::InternalError, message) }
    })
}

/// A type as Go prints `GroupVersionKind`.
fn type_name(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
}

/// Judges a key that the YAML gives twice.
fn repeated(call: &mut Call<'_>, body: &[u8], validation: FieldValidation) -> Result<(), Status> {
    let Some(problem) = input::repeated(body, Language::Yaml, validation).pop() else { return Ok(()) };
    match validation {
        FieldValidation::Strict => Err(Status::bad_request(format!("error strict decoding YAML: {problem}"))),
        _ => {
            call.warnings.push(problem);
            Ok(())
        }
    }
}

async fn to_live(
    call: &mut Call<'_>,
    applied: &Value,
    options: &PatchOptions,
    writer: &Writer,
) -> Result<Bytes, Status> {
    let (core, kind, subresource) =
        (call.core.clone(), call.target.kind.clone(), call.target.subresource.clone());
    let edit = Edit {
        subresource: &subresource,
        dry_run: options.write.dry_run,
        writer: None,
        change: &mut |old: &Value| {
            let mut new = writer.apply(&core, &kind, Some(old), applied, options.force)?;
            core.rules.trim(&kind, &mut new)?;
            core.rules.fill(&kind, &mut new);
            Ok(new)
        },
    };
    modify::modify(call, edit).await
}

async fn to_nothing(
    call: &mut Call<'_>,
    applied: &Value,
    options: &PatchOptions,
    writer: &Writer,
) -> Result<Bytes, Status> {
    let (wanted, name) = (object::uid(applied).to_owned(), call.target.name.clone());
    if !wanted.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {wanted}, and no existing object was found"
        );
        return Err(Status::conflict(call.target.resource(), &name, why));
    }
    let mut new = writer.apply(call.core, call.kind(), None, applied, options.force)?;
    call.core.rules.fill(call.kind(), &mut new);
    create::insert(call, new, options.write.dry_run, None).await
}
