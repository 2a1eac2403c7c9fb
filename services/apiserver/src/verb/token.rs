//! `serviceaccounts/NAME/token`: makes tokens that end, and that end with what they are bound to.

use access::claims::Named;
use http::{StatusCode, request::Parts};
use serde::Deserialize as _;
use serde_json::{Value, json};
use wire::{CreateOptions, FieldError, Qualified, Status};

use super::{Call, draft};
use crate::{
    access::Bound,
    body::{self, Reply},
    input, object,
};

const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;
const REQUEST: Qualified<'static> = Qualified::new("authentication.k8s.io", "TokenRequest");

/// Answers a TokenRequest.
pub(super) fn create(call: &Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    CreateOptions::from_query(&call.query)?;
    let request = draft::decode(call, body, input::any_language(&parts.headers)?)?;
    let name = object::name(&request);
    if !name.is_empty() && name != call.target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.target.name
        )));
    }
    let account = call.core.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    let account: Value = serde_json::from_slice(&account.value).map_err(Status::internal)?;
    let mut spec = match &request["spec"] {
        Value::Null => json!({}),
        spec if spec.is_object() => spec.clone(),
        _ => return Err(Status::undecodable(REQUEST.name, "v1", "spec is no object")),
    };
    let seconds = seconds(&spec)?;
    no_attestations(call, &spec["attestations"])?;
    let bound = bound(call, &spec["boundObjectRef"])?;
    let tokens = call.core.access.tokens();
    let mut audiences: Vec<String> = Option::<Vec<String>>::deserialize(&spec["audiences"])
        .map_err(|error| Status::undecodable(REQUEST.name, "v1", format!("spec.audiences: {error}")))?
        .unwrap_or_default();
    if audiences.is_empty() {
        audiences = tokens.audiences().to_vec();
    }
    spec["audiences"] = json!(audiences);
    spec["expirationSeconds"] = seconds.into();
    let issued = tokens.issue(&call.target.namespace, named(&account), bound, audiences, seconds, call.now);
    let (token, expires) = issued.map_err(Status::internal)?;
    let answer = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.target.name, "namespace": call.target.namespace,
            "creationTimestamp": object::time(call.now)},
        "spec": spec,
        "status": {"token": token, "expirationTimestamp": object::time(expires)},
    });
    Ok(body::json(StatusCode::CREATED, &answer))
}

fn seconds(spec: &Value) -> Result<i64, Status> {
    let seconds = match &spec["expirationSeconds"] {
        Value::Null => DEFAULT_SECONDS,
        given => given.as_i64().unwrap_or(0),
    };
    let why = match seconds {
        seconds if seconds < LEAST_SECONDS => "may not specify a duration less than 10 minutes",
        seconds if seconds > MOST_SECONDS => "may not specify a duration larger than 2^32 seconds",
        seconds => return Ok(seconds),
    };
    let error = FieldError::invalid("spec.expirationSeconds", seconds, why);
    Err(Status::invalid(REQUEST, "", &[error]))
}

/// Attestations are for webhooks, which are not served here.
fn no_attestations(call: &Call<'_>, given: &Value) -> Result<(), Status> {
    if given.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(());
    }
    let why = "attestations may only be specified with a webhook bound object reference";
    let error = FieldError::invalid("spec.attestations", given.clone(), why);
    Err(Status::invalid(REQUEST, &call.target.name, &[error]))
}

fn named(object: &Value) -> Named {
    Named { name: object::name(object).to_owned(), uid: object::uid(object).to_owned() }
}

/// What the token is to be bound to, which must be there and be the account's.
fn bound(call: &Call<'_>, reference: &Value) -> Result<Bound, Status> {
    if !reference.is_object() {
        return Ok(Bound::Nothing);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let plural = match (version, kind) {
        ("v1" | "", "Pod") => "pods",
        ("v1" | "", "Secret") => "secrets",
        _ => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let shown = format!("{group}/{version}, Kind={kind}");
            return Err(Status::bad_request(format!("cannot bind token to object of type {shown}")));
        }
    };
    let read = |plural: &str, namespace: &str, name: &str| -> Option<Value> {
        let entry = call.core.store.get(&format!("core/{plural}/{namespace}/{name}"))?;
        serde_json::from_slice(&entry.value).ok()
    };
    let found = read(plural, &call.target.namespace, name)
        .ok_or_else(|| Status::not_found(Qualified::new("", plural), name))?;
    let (wanted, uid) = (text("uid"), object::uid(&found));
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record ({uid}). The object might \
             have been deleted and then recreated"
        );
        return Err(Status::conflict(Qualified::new("", kind), name, why));
    }
    if plural == "secrets" {
        return Ok(Bound::Secret(named(&found)));
    }
    let runs_as = found["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    if runs_as != call.target.name {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {} to pod running with serviceaccount {}",
            wire::quote(&call.target.name),
            wire::quote(runs_as)
        )));
    }
    let node = found["spec"]["nodeName"].as_str().and_then(|node| read("nodes", "", node));
    Ok(Bound::Pod(named(&found), node.as_ref().map(named)))
}
