//! Changing an object that exists: update, and what patches and subresources do in the end.

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use kinds::Body;
use serde_json::Value;
use store::{Entry, Expect};
use wire::{CreateOptions, FieldError, Status};

use super::{
    Call, create,
    draft::{self, Change, Committed},
};
use crate::{access, body::Reply, object, ownership::Writer, rules, stored};

/// One change to an object.
pub(super) struct Edit<'e> {
    /// Which part may change; empty means all but the status.
    pub(super) subresource: &'e str,
    pub(super) dry_run: bool,
    /// Who changes it; none when the new value's managed fields are already right.
    pub(super) writer: Option<Writer>,
    /// Makes the new object of the old one. Called again when somebody else wrote in between.
    pub(super) change: &'e mut (dyn FnMut(&Value) -> Result<Value, Status> + Send),
}

/// Replaces an object by the one in the body.
pub(super) async fn update(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let options = CreateOptions::update_from_query(&call.query)?;
    let new = draft::read(call, parts, body, options.field_validation)?;
    let unconditional = matches!(object::text(&new, "resourceVersion"), "" | "0");
    let unbased = (unconditional && !call.kind().allows_unconditional_update()).then(|| {
        let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
        // Kubernetes names the resource here, where other refusals name the kind.
        Status::invalid(call.target.resource(), &call.target.name, &[error])
    });
    let writer = Some(draft::writer(call, &options.field_manager));
    let subresource = call.target.subresource.clone();
    if subresource.is_empty() && call.kind().creates_on_update() && call.core.store.get(&call.key()).is_none()
    {
        let bytes = create::insert(call, new, options.dry_run, writer.as_ref()).await?;
        return call.view()?.reply(StatusCode::CREATED, &bytes);
    }
    let change = &mut |_: &Value| unbased.clone().map_or_else(|| Ok(new.clone()), Err);
    let edit = Edit { subresource: &subresource, dry_run: options.dry_run, writer, change };
    let bytes = modify(call, edit).await?;
    call.reply(StatusCode::OK, bytes).await
}

/// Changes an object; tries again on a lost race, unless the new value names the revision it is based on.
pub(super) async fn modify(call: &mut Call<'_>, mut edit: Edit<'_>) -> Result<Bytes, Status> {
    let key = call.key();
    for _ in 0..draft::ATTEMPTS {
        let entry = call.core.store.get(&key).ok_or_else(|| call.not_found())?;
        let readable = call.readable(entry.value.clone()).await?;
        let old = stored::decode(call.kind(), &readable)?;
        let mut new = (edit.change)(&old)?;
        if let Some(bytes) = settle(call, &mut edit, &key, &entry, &old, &mut new).await? {
            return Ok(bytes);
        }
    }
    Err(Status::modified(call.target.resource(), &call.target.name))
}

/// One attempt. None when somebody else wrote in between.
async fn settle(
    call: &mut Call<'_>,
    edit: &mut Edit<'_>,
    key: &str,
    entry: &Entry,
    old: &Value,
    new: &mut Value,
) -> Result<Option<Bytes>, Status> {
    check_identity(call, old, new)?;
    carry_system_fields(old, new);
    if let Some(writer) = &edit.writer {
        writer.track(call.core, call.kind(), Some(old), new);
    }
    kinds::prepare_update(call.kind(), rules::subresource_name(edit.subresource), new, old);
    access::escalation(call, new, Some(old))?;
    let store = &call.core.store;
    let mut companions =
        call.core.admission.update(store, &call.target.kind, new, old, &mut call.warnings)?;
    draft::validate(call, edit.subresource, new, Some(old)).await?;
    let grows = matches!(call.kind().body, Body::PersistentVolumeClaim | Body::Service)
        && edit.subresource.is_empty();
    let _pass = match grows {
        true => call.core.admission.pass(store, call.kind(), &call.target.namespace).await,
        false => None,
    };
    call.core.admission.judge_update(&call.core.store, call.kind(), edit.subresource, new, old)?;
    if object::same(new, old) {
        return Ok(Some(entry.value.clone()));
    }
    if edit.dry_run {
        object::carry(old, new, "resourceVersion");
        return draft::unstored(call, new.take()).await.map(Some);
    }
    let at = Expect::At(entry.revision);
    let finished = is_finished(new);
    let change = if finished {
        companions.extend(call.core.admission.delete(call.kind(), old)?);
        Change::Remove(at)
    } else {
        Change::Put(at)
    };
    let keep = (edit.subresource != "status").then_some(entry);
    match draft::commit(call, key, change, new.take(), keep, companions).await? {
        // The last write of all is not stored: what it answers with is still at the revision before.
        Committed::Stored(bytes) if finished => Ok(Some(stored::with_revision(&bytes, entry.revision))),
        Committed::Stored(bytes) => Ok(Some(bytes)),
        Committed::Lost(_) => Ok(None),
    }
}

/// Refuses a new value that is about another object or another revision.
fn check_identity(call: &Call<'_>, old: &Value, new: &mut Value) -> Result<(), Status> {
    draft::identify(call, new)?;
    let (wanted, actual) = (object::text(new, "resourceVersion"), object::text(old, "resourceVersion"));
    if !wanted.is_empty()
        && let Err(why) = wire::parse_unsigned(wanted)
    {
        return Err(Status::unexplained(why));
    }
    if !matches!(wanted, "" | "0") && wanted != actual {
        return Err(Status::modified(call.target.resource(), &call.target.name));
    }
    let (wanted, actual) = (object::uid(new), object::uid(old));
    if !wanted.is_empty() && wanted != actual {
        let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}");
        return Err(Status::conflict(call.target.resource(), &call.target.name, why));
    }
    Ok(())
}

/// What a client cannot change.
fn carry_system_fields(old: &Value, new: &mut Value) {
    for field in ["uid", "creationTimestamp", "generation", "generateName"] {
        object::carry(old, new, field);
    }
    // Deletion cannot be taken back; nor begun by a write, which validation refuses.
    if object::is_deleting(old) {
        object::carry(old, new, "deletionTimestamp");
        object::carry(old, new, "deletionGracePeriodSeconds");
    }
    object::set(new, "selfLink", None);
}

/// Whether the object was only waiting for this write to go.
pub(super) fn is_finished(object: &Value) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let namespace_open = object["spec"]["finalizers"].as_array().is_some_and(|open| !open.is_empty());
    let is_namespace = object["kind"] == "Namespace";
    object::is_deleting(object)
        && grace == 0
        && object::finalizers(object).is_empty()
        && !(is_namespace && namespace_open)
}
