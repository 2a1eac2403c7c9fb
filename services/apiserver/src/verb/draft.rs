//! What all writes share: reading the body, judging it, committing it.

use bytes::Bytes;
use http::request::Parts;
use kinds::Body;
use serde_json::Value;
use store::{CommitError, Entry, Expect, Op, Txn};
use wire::{FieldError, FieldValidation, Qualified, Status};

use super::Call;
use crate::{
    body::to_json,
    conversion,
    input::{self, Language},
    object,
    ownership::Writer,
    rules, stored, versions,
};

/// How often a write without a stated revision is tried again when others write at the same time.
pub(super) const ATTEMPTS: usize = 32;

/// What became of a transaction.
pub(super) enum Committed {
    /// Done; the object as stored.
    Stored(Bytes),
    /// Somebody else wrote this key first.
    Lost(String),
}

/// What a write does to the object's key.
pub(super) enum Change {
    /// It gets this value.
    Put(Expect),
    /// It goes; the value is its last state.
    Remove(Expect),
}

/// Reads the object in a body: right kind, unknown fields dropped and judged, defaults set.
pub(super) fn read(
    call: &mut Call<'_>,
    parts: &Parts,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Value, Status> {
    let kind = call.target.kind.clone();
    let language = input::language(&kind, &parts.headers)?;
    let mut value = decode(call, body, language)?;
    let mut problems = input::repeated(body, language, validation);
    if call.kind().custom().is_some() && value["kind"].as_str().unwrap_or_default().is_empty() {
        let text = String::from_utf8_lossy(body);
        let why = format!("Object 'Kind' is missing in '{}'", text.trim_end());
        return Err(Status::unrecognized(&call.kind().kind, why, body));
    }
    rules::metadata(call.kind(), &value)?;
    identify(call, &mut value)?;
    problems.extend(call.core.rules.trim(&kind, &mut value)?);
    rules::judge(&kind, validation, problems, &mut call.warnings)?;
    call.core.rules.fill(&kind, &mut value);
    Ok(value)
}

/// Parses a body that must hold an object.
pub(super) fn decode(call: &Call<'_>, body: &[u8], language: Language) -> Result<Value, Status> {
    let kind = call.kind();
    let broken = |why| {
        Status::unrecognized(&kind.kind, format!("couldn't get version/kind; json parse error: {why}"), body)
    };
    let value = input::parse(body, language).map_err(broken)?;
    match wire::type_name(&value) {
        "object" => Ok(value),
        other => Err(broken(format!("json: cannot unmarshal {other} {}", input::TYPE_META))),
    }
}

/// Checks that a body is of the kind, name and namespace of its URL, and fills in all but the name.
pub(super) fn identify(call: &Call<'_>, value: &mut Value) -> Result<(), Status> {
    let kind = call.kind();
    let api_version = kind.api_version();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (found_version, found_kind) = (text(value, "apiVersion"), text(value, "kind"));
    if !found_version.is_empty() && found_version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({found_version}) does not match the expected API version ({api_version})"
        )));
    }
    if !found_kind.is_empty() && found_kind != *kind.kind && kind.custom().is_some() {
        let error = FieldError::invalid("kind", found_kind.as_str(), format!("must be {}", kind.kind));
        return Err(Status::invalid(Qualified::new(&kind.group, &found_kind), object::name(value), &[error]));
    }
    if !found_kind.is_empty() && found_kind != *kind.kind {
        return Err(Status::bad_request(format!(
            "{found_kind} in version {} cannot be handled as a {}",
            wire::quote(&kind.version),
            kind.kind
        )));
    }
    value["apiVersion"] = api_version.into();
    value["kind"] = (*kind.kind).into();
    place(call, value)
}

fn place(call: &Call<'_>, value: &mut Value) -> Result<(), Status> {
    let (wanted, found) = (call.target.namespace.as_str(), object::text(value, "namespace"));
    if !found.is_empty() && !wanted.is_empty() && found != wanted {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let namespace = (!wanted.is_empty()).then(|| Value::from(wanted));
    object::set(value, "namespace", namespace);
    let (wanted, found) = (call.target.name.as_str(), object::name(value));
    if !wanted.is_empty() && !found.is_empty() && found != wanted {
        return Err(Status::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({wanted})"
        )));
    }
    if !wanted.is_empty() && found.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    }
    Ok(())
}

/// Refuses what may not be stored. Rules of custom kinds are programs of their authors, and definitions may be big: they run,
/// and are checked, where they hold up nobody else.
pub(super) async fn validate(
    call: &Call<'_>,
    subresource: &str,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let kind = call.kind();
    let defines = matches!(kind.body, Body::CustomResourceDefinition);
    if !defines && !call.core.rules.schema(kind).has_rules() {
        return call.core.rules.validate(kind, subresource, new, old);
    }
    let (core, kind, subresource) = (call.core.clone(), kind.clone(), subresource.to_owned());
    let (value, old) = (new.take(), old.cloned());
    let checked = tokio::task::spawn_blocking(move || {
        let result = core.rules.validate(&kind, &subresource, &value, old.as_ref());
        (value, result)
    });
    let (value, result) = checked.await.map_err(Status::internal)?;
    *new = value;
    result
}

/// The writer of this request.
pub(super) fn writer(call: &Call<'_>, manager: &str) -> Writer {
    Writer { name: call.manager_name(manager), subresource: call.target.subresource.clone(), now: call.now }
}

/// Writes an object (in the version of the request) together with its companions. The status is that of `keep`, if any.
pub(super) async fn commit(
    call: &Call<'_>,
    key: &str,
    change: Change,
    value: Value,
    keep: Option<&Entry>,
    companions: Vec<Op>,
) -> Result<Committed, Status> {
    let mut value = conversion::storable(call.core, call.kind(), value).await?;
    if let Some(entry) = keep {
        versions::keep_status(call.kind(), &mut value, &entry.value)?;
    }
    let template = stored::encode(value);
    let mut ops = companions;
    ops.push(match change {
        Change::Put(expect) => Op::Put { key: key.to_owned(), expect, value: template.clone() },
        Change::Remove(expect) => Op::Delete { key: key.to_owned(), expect, last: template.clone() },
    });
    match call.core.store.commit(Txn { ops }).await {
        Ok(revision) => {
            call.core.access.caught_up(call.kind(), revision).await;
            call.core.definitions.caught_up(call.kind(), revision).await;
            Ok(Committed::Stored(template.render(revision)))
        }
        Err(CommitError::Conflict { key, .. }) => {
            call.core.definitions.changed(call.kind(), &key).await;
            Ok(Committed::Lost(key))
        }
        Err(CommitError::TooLarge { limit, .. }) => Err(Status::too_large(format!("limit is {limit}"))),
        Err(error) => Err(Status::internal(error)),
    }
}

/// The bytes of an object that is not stored, as an answer to a dry run.
pub(super) async fn unstored(call: &Call<'_>, value: Value) -> Result<Bytes, Status> {
    Ok(to_json(&conversion::storable(call.core, call.kind(), value).await?).into())
}
