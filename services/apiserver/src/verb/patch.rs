//! Patch: JSON patch, merge patch, strategic merge patch, server-side apply.

mod apply;
mod outcome;

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use kinds::Kind;
use serde_json::Value;
use wire::{FieldValidation, PatchKind, PatchOptions, Reason, Status, status::Details};

pub(super) use self::outcome::refused;
use super::{
    Call, draft,
    modify::{self, Edit},
};
use crate::{
    body::Reply,
    core::Core,
    input::{self, Language},
    ownership::Writer,
    registry::KindRef,
};

/// The patches that custom kinds take.
pub(super) const FOR_CUSTOM_KINDS: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// A patch that is not server-side apply, as it came.
struct Patch {
    kind: PatchKind,
    value: Value,
    /// What strict decoding found in the patch itself.
    problems: Vec<String>,
}

/// Patches an object, or creates it by applying.
pub(super) async fn patch(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let kind = patch_kind(call.kind(), parts)?;
    let options = PatchOptions::from_query(&call.query, kind)?;
    let writer = draft::writer(call, &options.write.field_manager);
    if kind == PatchKind::Apply {
        return apply::apply(call, body, &options, writer).await;
    }
    let value = input::parse(body, Language::Json);
    let value = value.map_err(|why| Status::bad_request(format!("error decoding patch: {why}")))?;
    let problems = outcome::problems(kind, body, &value, options.write.field_validation);
    let bytes = change(call, &Patch { kind, value, problems }, &options, writer).await?;
    call.reply(StatusCode::OK, bytes).await
}

fn patch_kind(kind: &Kind, parts: &Parts) -> Result<PatchKind, Status> {
    let found = PatchKind::from_content_type(input::media_type(&parts.headers));
    let fits = found.filter(|found| *found != PatchKind::Strategic || kind.custom().is_none());
    fits.ok_or_else(|| match kind.custom() {
        Some(_) => Status::unsupported_media_type(&FOR_CUSTOM_KINDS),
        // The router of Kubernetes' own kinds refuses it before anything is read.
        None => Status::failure(415, Reason::UnsupportedMediaType, "415: Unsupported Media Type")
            .with(Details::default()),
    })
}

async fn change(
    call: &mut Call<'_>,
    patch: &Patch,
    options: &PatchOptions,
    writer: Writer,
) -> Result<Bytes, Status> {
    let (core, target, subresource) =
        (call.core.clone(), call.target.kind.clone(), call.target.subresource.clone());
    let mut warnings = Vec::new();
    let validation = options.write.field_validation;
    let edit = Edit {
        subresource: &subresource,
        dry_run: options.write.dry_run,
        writer: Some(writer),
        change: &mut |old: &Value| {
            let (new, problems) = patched(&core, &target, patch, old)?;
            warnings.clear();
            match validation {
                FieldValidation::Strict if !problems.is_empty() => {
                    let shown = applied(&core, &target, patch, old)?;
                    return Err(outcome::strict(patch.kind, &patch.value, &shown, &problems));
                }
                FieldValidation::Warn => warnings = problems,
                _ => {}
            }
            Ok(new)
        },
    };
    let bytes = modify::modify(call, edit).await?;
    call.warnings.extend(warnings);
    Ok(bytes)
}

/// The patched object, and what strict decoding finds in it and in the patch.
fn patched(
    core: &Arc<Core>,
    kind: &KindRef,
    patch: &Patch,
    old: &Value,
) -> Result<(Value, Vec<String>), Status> {
    let mut new = applied(core, kind, patch, old)?;
    outcome::object(patch.kind, &patch.value, &new)?;
    outcome::kind(kind, patch.kind, &patch.value, &new)?;
    let found = core.rules.trim_typed(kind, &mut new);
    let found = found.map_err(|why| outcome::invalid(patch.kind, &patch.value, &new, &why))?;
    core.rules.fill(kind, &mut new);
    Ok((new, patch.problems.iter().cloned().chain(found).collect()))
}

/// The object with the patch in it, and no more done to it.
fn applied(core: &Arc<Core>, kind: &KindRef, patch: &Patch, old: &Value) -> Result<Value, Status> {
    let mut new = old.clone();
    match patch.kind {
        PatchKind::Json => merge::json_patch(&mut new, &patch.value).map_err(refused)?,
        PatchKind::Merge => merge::merge_patch(&mut new, &patch.value).map_err(refused)?,
        PatchKind::Strategic => {
            merge::strategic(core.rules.schema(kind), &mut new, &patch.value).map_err(refused)?;
        }
        PatchKind::Apply => {}
    }
    Ok(new)
}
