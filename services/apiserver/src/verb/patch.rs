//! Patch: JSON patch, merge patch, strategic merge patch, server-side apply.

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use kinds::Kind;
use merge::PatchError;
use serde_json::Value;
use wire::{
    FieldError, FieldValidation, PatchKind, PatchOptions, Qualified, Reason, Status, status::Details,
};

use super::{
    Call, create, draft,
    modify::{self, Edit},
};
use crate::{
    body::Reply,
    core::Core,
    input::{self, Language},
    object,
    ownership::Writer,
    rules,
};

/// Patches an object, or creates it by applying.
pub(super) async fn patch(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let kind = patch_kind(call.kind(), parts)?;
    let options = PatchOptions::from_query(&call.query, kind)?;
    let writer = draft::writer(call, &options.write.field_manager);
    if kind == PatchKind::Apply {
        return apply(call, body, &options, writer).await;
    }
    let patch = input::parse(body, Language::Json);
    let patch = patch.map_err(|why| Status::bad_request(format!("error decoding patch: {why}")))?;
    let bytes = change(call, kind, &patch, &options, writer).await?;
    call.view()?.reply(StatusCode::OK, &bytes)
}

fn patch_kind(kind: &Kind, parts: &Parts) -> Result<PatchKind, Status> {
    let mut understood = vec!["application/json-patch+json", "application/merge-patch+json"];
    if kind.custom().is_none() {
        understood.push("application/strategic-merge-patch+json");
    }
    understood.push("application/apply-patch+yaml");
    let found = PatchKind::from_content_type(input::media_type(&parts.headers));
    let fits = found.filter(|found| *found != PatchKind::Strategic || kind.custom().is_none());
    fits.ok_or_else(|| Status::unsupported_media_type(&understood))
}

async fn change(
    call: &mut Call<'_>,
    kind: PatchKind,
    patch: &Value,
    options: &PatchOptions,
    writer: Writer,
) -> Result<Bytes, Status> {
    let (core, target, subresource) = (call.core.clone(), call.target.kind, call.target.subresource.clone());
    let mut warnings = Vec::new();
    let validation = options.write.field_validation;
    let edit = Edit {
        subresource: &subresource,
        dry_run: options.write.dry_run,
        writer: Some(writer),
        change: &mut |old: &Value| {
            warnings.clear();
            let mut new = old.clone();
            merged(&core, target, kind, patch, &mut new)?;
            let problems = core.rules.trim(target, &mut new)?;
            if validation == FieldValidation::Strict && !problems.is_empty() {
                return Err(strict(&new, &problems));
            }
            rules::judge(target, validation, problems, &mut warnings)?;
            core.rules.fill(target, &mut new);
            Ok(new)
        },
    };
    let bytes = modify::modify(call, edit).await?;
    call.warnings.extend(warnings);
    Ok(bytes)
}

fn merged(
    core: &Arc<Core>,
    kind: &'static Kind,
    patch_kind: PatchKind,
    patch: &Value,
    new: &mut Value,
) -> Result<(), Status> {
    match patch_kind {
        PatchKind::Json => merge::json_patch(new, patch).map_err(refused),
        PatchKind::Merge => {
            merge::merge_patch(new, patch);
            Ok(())
        }
        PatchKind::Strategic => merge::strategic(core.rules.schema(kind), new, patch).map_err(refused),
        PatchKind::Apply => Ok(()),
    }
}

pub(super) fn refused(error: PatchError) -> Status {
    match error {
        PatchError::Malformed(why) => Status::bad_request(why),
        PatchError::Unfit(why) => Status::failure(422, Reason::Invalid, why).with(Details::default()),
    }
}

/// How Kubernetes refuses a patch whose outcome has unknown fields: on a field named `patch`.
fn strict(patched: &Value, problems: &[String]) -> Status {
    let why = format!("strict decoding error: {}", problems.join(", "));
    let error = FieldError::invalid("patch", patched.to_string(), why);
    Status::invalid(Qualified::new("", ""), "", &[error])
}

/// Server-side apply.
async fn apply(
    call: &mut Call<'_>,
    body: &[u8],
    options: &PatchOptions,
    writer: Writer,
) -> Result<Reply, Status> {
    let mut applied = draft::decode(call, body, Language::Yaml)?;
    if !applied["metadata"]["managedFields"].as_array().is_none_or(Vec::is_empty) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    draft::identify(call, &mut applied)?;
    let problems = call.core.rules.trim(call.kind(), &mut applied)?;
    rules::judge(call.kind(), options.write.field_validation, problems, &mut call.warnings)?;
    for _ in 0..draft::ATTEMPTS {
        if call.core.store.get(&call.key()).is_some() {
            match apply_to_live(call, &applied, options, &writer).await {
                // Deleted meanwhile: create it.
                Err(status) if status.is(&Reason::NotFound) => {}
                answer => return call.view()?.reply(StatusCode::OK, &answer?),
            }
        } else if !call.target.subresource.is_empty() {
            return Err(call.not_found());
        } else {
            match apply_to_nothing(call, &applied, options, &writer).await {
                // Created meanwhile: merge into it.
                Err(status) if status.is(&Reason::AlreadyExists) => {}
                answer => return call.view()?.reply(StatusCode::CREATED, &answer?),
            }
        }
    }
    Err(Status::modified(call.target.resource(), &call.target.name))
}

async fn apply_to_live(
    call: &mut Call<'_>,
    applied: &Value,
    options: &PatchOptions,
    writer: &Writer,
) -> Result<Bytes, Status> {
    let (core, kind, subresource) = (call.core.clone(), call.target.kind, call.target.subresource.clone());
    let edit = Edit {
        subresource: &subresource,
        dry_run: options.write.dry_run,
        writer: None,
        change: &mut |old: &Value| {
            let mut new = writer.apply(&core, kind, Some(old), applied, options.force)?;
            core.rules.trim(kind, &mut new)?;
            core.rules.fill(kind, &mut new);
            Ok(new)
        },
    };
    modify::modify(call, edit).await
}

async fn apply_to_nothing(
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
