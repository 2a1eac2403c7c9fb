//! Delete and deletecollection.
//!
//! An object goes at once, or it is marked and waits: for its finalizers, for the node to end a pod, for a namespace to
//! be emptied.

use bytes::Bytes;
use http::{StatusCode, request::Parts};
use jiff::{SignedDuration, Timestamp};
use kinds::Body;
use serde_json::{Value, json};
use store::Expect;
use wire::{DeleteOptions, ListOptions, Propagation, Status};

use super::{
    Call,
    draft::{self, Change, Committed},
    list, modify,
};
use crate::{
    body::{self, Reply},
    input, object, stored,
};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const JOB_PODS_STAY: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
                             remove them or set propagationPolicy=Orphan to suppress this warning";
/// A pod's time to end when it names none, as Kubernetes defaults it.
const POD_GRACE: i64 = 30;

/// What became of an object.
pub(super) enum Removed {
    /// It is gone; its last state.
    Gone(Bytes),
    /// It is marked and waits.
    Marked(Bytes),
}

/// Deletes one object.
pub(super) async fn delete(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let options = options(call, parts, body)?;
    match remove(call, &call.target.name, &call.target.namespace, &options).await? {
        Removed::Marked(bytes) => {
            // Only who asked in the old way for its dependents to go is told that it has not gone yet.
            let pending = options.orphan_dependents == Some(false);
            let status = if pending { StatusCode::ACCEPTED } else { StatusCode::OK };
            call.reply(status, bytes).await
        }
        Removed::Gone(bytes) if call.kind().returns_deleted() => call.reply(StatusCode::OK, bytes).await,
        Removed::Gone(bytes) => {
            let uid =
                serde_json::from_slice::<Value>(&bytes).map_err(Status::internal)?["metadata"]["uid"].take();
            let done =
                Status::success(call.target.resource(), &call.target.name, uid.as_str().unwrap_or_default());
            Ok(body::json(StatusCode::OK, &done))
        }
    }
}

/// Deletes all objects that a selection matches; answers with them as they were.
pub(super) async fn collection(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    if call.kind().namespaced && call.target.namespace.is_empty() {
        return super::nowhere(call);
    }
    let options = options(call, parts, body)?;
    let found = list::find(call, &ListOptions::from_query(&call.query)?).await?;
    for entry in &found.entries {
        let (namespace, name) = stored::name_of(&entry.key);
        match remove(call, name, namespace, &options).await {
            Err(status) if !status.is(&wire::Reason::NotFound) => return Err(status),
            _ => {}
        }
    }
    let items: Vec<Bytes> = found.entries.into_iter().map(|entry| entry.value).collect();
    call.view()?.list(&found.meta, &items)
}

/// The options of a delete. Pods of a Job stay, unless the request says otherwise: the one kind whose default is so.
fn options(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<DeleteOptions, Status> {
    let mut options = given(call, parts, body)?;
    if options.propagation.is_none() && matches!(call.kind().body, Body::Job) {
        options.propagation = Some(Propagation::Orphan);
        call.warnings.push(JOB_PODS_STAY.to_owned());
    }
    Ok(options)
}

/// The options that a request gives, in the body or the query.
fn given(call: &Call<'_>, parts: &Parts, body: &[u8]) -> Result<DeleteOptions, Status> {
    if body.is_empty() {
        return DeleteOptions::from_request(&call.query, body);
    }
    let value = input::parse(body, input::any_language(&parts.headers)?);
    let broken = |why| Status::bad_request(format!("couldn't get version/kind; json parse error: {why}"));
    DeleteOptions::from_value(&value.map_err(broken)?)
}

/// Deletes an object, or marks it.
pub(super) async fn remove(
    call: &Call<'_>,
    name: &str,
    namespace: &str,
    options: &DeleteOptions,
) -> Result<Removed, Status> {
    let key = stored::key(call.kind(), namespace, name);
    for _ in 0..draft::ATTEMPTS {
        let entry = call.core.store.get(&key);
        let entry = entry.ok_or_else(|| Status::not_found(call.target.resource(), name))?;
        let readable = call.readable(entry.value.clone()).await?;
        let old = stored::decode(call.kind(), &readable)?;
        check(call, &old, options)?;
        let companions = call.core.admission.delete(call.kind(), &old)?;
        let new = marked(call, &old, options);
        let gone = modify::is_finished(&new);
        match (gone, options.dry_run) {
            (true, true) if matches!(call.kind().body, Body::Pod) => {
                return Ok(Removed::Gone(draft::unstored(call, new).await?));
            }
            (true, true) => return Ok(Removed::Gone(entry.value)),
            (false, _) if object::same(&new, &old) => return Ok(Removed::Marked(entry.value)),
            (false, true) => return Ok(Removed::Marked(draft::unstored(call, new).await?)),
            _ => {}
        }
        let at = Expect::At(entry.revision);
        let committed = if gone {
            draft::commit(call, &key, Change::Remove(at), new, Some(&entry), companions).await?
        } else {
            draft::commit(call, &key, Change::Put(at), new, Some(&entry), Vec::new()).await?
        };
        match committed {
            // A pod is marked, and then goes because nobody needs to end it.
            Committed::Stored(bytes) if gone && matches!(call.kind().body, Body::Pod) => {
                return Ok(Removed::Gone(bytes));
            }
            Committed::Stored(bytes) if gone => return Ok(Removed::Gone(as_it_was(&entry.value, &bytes)?)),
            Committed::Stored(bytes) => return Ok(Removed::Marked(bytes)),
            Committed::Lost(_) => {}
        }
    }
    Err(Status::modified(call.target.resource(), name))
}

/// The object as it was stored, at the revision of its deletion.
fn as_it_was(stored: &Bytes, last: &Bytes) -> Result<Bytes, Status> {
    let last: Value = serde_json::from_slice(last).map_err(Status::internal)?;
    let revision = object::text(&last, "resourceVersion").parse().map_err(Status::internal)?;
    Ok(stored::with_revision(stored, revision))
}

fn check(call: &Call<'_>, old: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let kind = call.target.kind_name();
    let (uid, revision) = (object::uid(old), object::text(old, "resourceVersion"));
    match (&options.uid, &options.resource_version) {
        (Some(wanted), _) if wanted != uid => {
            Err(Status::uid_precondition(kind, object::name(old), wanted, uid))
        }
        (_, Some(wanted)) if wanted != revision => {
            Err(Status::version_precondition(kind, object::name(old), wanted, revision))
        }
        _ => Ok(()),
    }
}

/// The object as deletion leaves it: with its finalizers by policy, its end and its grace.
fn marked(call: &Call<'_>, old: &Value, options: &DeleteOptions) -> Value {
    let mut new = old.clone();
    set_policy(&mut new, options.propagation);
    let grace = grace(call, old, options);
    let before = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if object::is_deleting(old) {
        if let Some(before) = before.filter(|before| grace < *before) {
            let end = wire::time::parse(object::text(old, "deletionTimestamp")).unwrap_or(call.now);
            set_end(&mut new, after(end, grace - before), grace);
        }
        return new;
    }
    set_end(&mut new, after(call.now, grace), grace);
    if matches!(call.kind().body, Body::CustomResourceDefinition) {
        // Fact: its generation stays, so that what it defines goes on as it is.
        kinds::definition::begin_deletion(&mut new, call.now);
        return new;
    }
    object::bump_generation(&mut new);
    if matches!(call.kind().body, Body::Namespace) {
        new["status"]["phase"] = "Terminating".into();
    }
    new
}

fn set_end(object: &mut Value, at: Timestamp, grace: i64) {
    object::set(object, "deletionTimestamp", object::time(at));
    // Namespaces have a deletion of their own, without grace.
    if object["kind"] != "Namespace" {
        object::set(object, "deletionGracePeriodSeconds", Value::from(grace));
    }
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(at)
}

/// Seconds the object gets to end. Only a pod on a node gets any: nobody else would end it.
fn grace(call: &Call<'_>, old: &Value, options: &DeleteOptions) -> i64 {
    if !matches!(call.kind().body, Body::Pod) {
        return 0;
    }
    let assigned = !old["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    let over = matches!(old["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !assigned || over {
        return 0;
    }
    let own = || old["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(POD_GRACE);
    match options.grace_period_seconds.unwrap_or_else(own) {
        grace if grace < 0 => 1,
        grace => grace,
    }
}

fn set_policy(object: &mut Value, policy: Option<Propagation>) {
    let Some(policy) = policy else { return };
    let mut finalizers: Vec<String> = object::finalizers(object).into_iter().map(str::to_owned).collect();
    finalizers.retain(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    match policy {
        Propagation::Orphan => finalizers.push(ORPHAN.to_owned()),
        Propagation::Foreground => finalizers.push(FOREGROUND.to_owned()),
        Propagation::Background => {}
    }
    let value = (!finalizers.is_empty()).then(|| json!(finalizers));
    object::set(object, "finalizers", value);
}
