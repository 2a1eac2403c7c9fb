//! Create.

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde_json::Value;
use store::Expect;
use wire::{CreateOptions, FieldError, Status};

use super::{
    Call,
    draft::{self, Change, Committed},
};
use crate::{
    access::{self, Attributes},
    body::Reply,
    object,
    ownership::Writer,
    random, rules,
};

/// Creates the object in the body.
pub(super) async fn create(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let homeless = call.kind().namespaced && call.target.namespace.is_empty();
    if homeless {
        return super::nowhere(call);
    }
    if !call.target.name.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let options = CreateOptions::from_query(&call.query)?;
    let value = draft::read(call, parts, body, options.field_validation)?;
    let writer = draft::writer(call, &options.field_manager);
    let bytes = insert(call, value, options.dry_run, Some(&writer)).await?;
    call.reply(StatusCode::CREATED, bytes).await
}

/// Stores a new object. Without a `writer` its managed fields are already right.
pub(super) async fn insert(
    call: &Call<'_>,
    mut value: Value,
    dry_run: bool,
    writer: Option<&Writer>,
) -> Result<Bytes, Status> {
    if !object::text(&value, "resourceVersion").is_empty() {
        // The store's own error, which is no status: Kubernetes answers 500 without a reason.
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Status { reason: None, ..Status::failure(500, wire::Reason::InternalError, why) });
    }
    may_create(call)?;
    stamp(call, &mut value, writer.is_some());
    if let Some(writer) = writer {
        // What admission and the kind's own rules put in is nobody's.
        writer.track(call.core, call.kind(), None, &mut value);
    }
    kinds::prepare_create(call.kind(), &mut value);
    let generated = object::name(&value).is_empty();
    let _pass = call.core.admission.pass(&call.core.store, call.kind(), &call.target.namespace).await;
    for _ in 0..draft::ATTEMPTS {
        let mut value = value.clone();
        let name = name(call, &mut value)?;
        access::escalation(call, &value, None)?;
        let companions = call.core.admission.create(&call.core.store, &call.target, &mut value)?;
        draft::validate(call, "", &mut value, None).await?;
        let key = crate::stored::key(call.kind(), &call.target.namespace, &name);
        if generated || call.core.store.get(&key).is_none() {
            call.core.admission.judge_create(&call.core.store, &call.target, &value)?;
        }
        let taken = || Status::already_exists(call.target.resource(), &name);
        if dry_run {
            return if call.core.store.get(&key).is_some() {
                Err(taken())
            } else {
                draft::unstored(call, value).await
            };
        }
        match draft::commit(call, &key, Change::Put(Expect::Absent), value, None, companions).await? {
            Committed::Stored(bytes) => return Ok(bytes),
            Committed::Lost(lost) if lost == key && !generated => return Err(taken()),
            Committed::Lost(_) => {}
        }
    }
    Err(Status::generate_name_conflict(call.target.resource(), object::text(&value, "generateName")))
}

/// Updates and applies of what is not there create it, for those who may.
fn may_create(call: &Call<'_>) -> Result<(), Status> {
    let wanted = Attributes::of(&call.target, "create", &call.query);
    call.core.access.require(call.identity, &wanted)
}

/// What the server itself says of a new object.
fn stamp(call: &Call<'_>, value: &mut Value, forget_managers: bool) {
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        object::set(value, field, None);
    }
    if forget_managers {
        object::set(value, "managedFields", None);
    }
    object::set(value, "uid", Value::from(random::uid()));
    object::set(value, "creationTimestamp", object::time(call.now));
}

/// The object's name, generated where it has only a prefix.
fn name(call: &Call<'_>, value: &mut Value) -> Result<String, Status> {
    if object::name(value).is_empty() {
        let prefix = object::text(value, "generateName");
        if prefix.is_empty() {
            let error = FieldError::required("metadata.name", "name or generateName is required");
            rules::refuse(call.kind(), "", &[error])?;
        }
        let name = random::name(prefix);
        object::set(value, "name", Value::from(name));
    }
    Ok(object::name(value).to_owned())
}
