//! Subresources that are not a part of the object itself: scale, binding, eviction, token.

use http::{StatusCode, request::Parts};
use serde_json::{Value, json};
use wire::{CreateOptions, DeleteOptions, FieldError, PatchKind, PatchOptions, Qualified, Status};

use super::{
    Call, delete, draft,
    modify::{self, Edit},
    patch, token,
};
use crate::{
    body::{self, Reply},
    input::{self, Language},
    object, stored,
};

/// Runs the verb of a subresource.
pub(super) async fn dispatch(
    call: &mut Call<'_>,
    verb: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<Reply, Status> {
    match (call.target.subresource.as_str(), verb) {
        ("scale", "get") => get_scale(call).await,
        ("scale", _) => set_scale(call, verb, parts, body).await,
        ("binding", "create") => bind(call, parts, body).await,
        ("eviction", "create") => evict(call, parts, body).await,
        ("token", "create") => token::create(call, parts, body),
        (name, _) => Err(Status::method_not_supported(call.target.resource(), name)),
    }
}

fn success() -> Reply {
    body::json(
        StatusCode::CREATED,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201
        }),
    )
}

fn payload(call: &Call<'_>, parts: &Parts, body: &[u8]) -> Result<Value, Status> {
    draft::decode(call, body, input::any_language(&parts.headers)?)
}

// --- scale ---

/// Where a kind keeps its numbers, as JSON pointers: wanted, actual, selector.
fn scale_paths(call: &Call<'_>) -> (String, String, Option<String>) {
    let pointer = |path: &str| path.replace('.', "/");
    match call.kind().custom().and_then(|custom| custom.scale.as_ref()) {
        Some(scale) => {
            let selector = scale.selector.as_deref().map(pointer);
            (pointer(&scale.spec_replicas), pointer(&scale.status_replicas), selector)
        }
        None => ("/spec/replicas".to_owned(), "/status/replicas".to_owned(), None),
    }
}

async fn get_scale(call: &Call<'_>) -> Result<Reply, Status> {
    let entry = call.core.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    let object = stored::decode(call.kind(), &call.readable(entry.value).await?)?;
    // Fact: without the number that is wanted there is no scale of a custom object.
    if let Some(scale) = call.kind().custom().and_then(|custom| custom.scale.as_ref())
        && object.pointer(&scale.spec_replicas.replace('.', "/")).and_then(Value::as_i64).is_none()
    {
        let why = format!("the spec replicas field {} does not exist", wire::quote(&scale.spec_replicas));
        return Err(Status::internal(why));
    }
    Ok(body::json(StatusCode::OK, &scale_of(call, &object)))
}

fn scale_of(call: &Call<'_>, object: &Value) -> Value {
    let (wanted, actual, selector) = scale_paths(call);
    let mut meta = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        meta[field] = object["metadata"][field].clone();
    }
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({"replicas": number(&actual)});
    let text = match selector {
        Some(path) => object.pointer(&path).and_then(Value::as_str).map(str::to_owned),
        None => wire::LabelSelector::from_value(object["spec"].get("selector")).ok().map(|s| s.to_string()),
    };
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        status["selector"] = text.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {"replicas": number(&wanted)}, "status": status})
}

async fn set_scale(call: &mut Call<'_>, verb: &str, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let kind = (verb == "patch").then(|| PatchKind::from_content_type(input::media_type(&parts.headers)));
    let (dry_run, manager) = match kind.flatten() {
        Some(kind) => {
            let options = PatchOptions::from_query(&call.query, kind)?;
            (options.write.dry_run, options.write.field_manager)
        }
        None => {
            let options = CreateOptions::update_from_query(&call.query)?;
            (options.dry_run, options.field_manager)
        }
    };
    let sent = match kind {
        Some(Some(PatchKind::Apply)) => draft::decode(call, body, Language::Yaml)?,
        Some(Some(_)) => input::parse(body, Language::Json).map_err(Status::bad_request)?,
        Some(None) => return Err(Status::unsupported_media_type(&["application/merge-patch+json"])),
        None => payload(call, parts, body)?,
    };
    let found = sent["kind"].as_str().unwrap_or_default();
    if kind.is_none() && !matches!(found, "" | "Scale") {
        let version = wire::quote(
            sent["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default(),
        );
        let why = format!("{found} in version {version} cannot be handled as a Scale");
        return Err(Status::bad_request(why));
    }
    let strategic = matches!(kind, Some(Some(PatchKind::Strategic)));
    if strategic && call.kind().custom().is_some() {
        return Err(Status::unsupported_media_type(&patch::FOR_CUSTOM_KINDS));
    }
    let (wanted, ..) = scale_paths(call);
    let current = call.core.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    let shown = scale_of(call, &stored::decode(call.kind(), &call.readable(current.value).await?)?);
    let asked = scaled(kind.flatten(), shown, &sent)?;
    let replicas = asked["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let why = "must be greater than or equal to 0";
        let error = FieldError::invalid("spec.replicas", replicas, why);
        return Err(Status::invalid(Qualified::new("autoscaling", "Scale"), &call.target.name, &[error]));
    }
    let change = &mut |old: &Value| {
        let mut new = old.clone();
        object::set(&mut new, "resourceVersion", sent["metadata"].get("resourceVersion").cloned());
        put(&mut new, &wanted, replicas.into());
        Ok(new)
    };
    let writer = Some(draft::writer(call, &manager));
    let bytes = modify::modify(call, Edit { subresource: "", dry_run, writer, change }).await?;
    let object = stored::decode(call.kind(), &call.readable(bytes).await?)?;
    Ok(body::json(StatusCode::OK, &scale_of(call, &object)))
}

fn scaled(kind: Option<PatchKind>, mut shown: Value, sent: &Value) -> Result<Value, Status> {
    match kind {
        None => Ok(sent.clone()),
        Some(PatchKind::Json) => {
            merge::json_patch(&mut shown, sent).map_err(patch::refused)?;
            Ok(shown)
        }
        Some(_) => {
            merge::merge_patch(&mut shown, sent).map_err(patch::refused)?;
            Ok(shown)
        }
    }
}

/// Sets the value at a JSON pointer of plain names.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for name in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value;
}

// --- binding ---

async fn bind(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let options = CreateOptions::from_query(&call.query)?;
    let binding = payload(call, parts, body)?;
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    if node.is_empty() {
        return Err(Status::unexplained(FieldError::required("target.name", "")));
    }
    let uid = object::uid(&binding).to_owned();
    let (name, now) = (call.target.name.clone(), call.now);
    let change = &mut |old: &Value| {
        let refused = |why: String| Err(Status::conflict(Qualified::new("", "pods/binding"), &name, why));
        if !uid.is_empty() && uid != object::uid(old) {
            return refused(format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::uid(old)
            ));
        }
        if object::is_deleting(old) {
            return refused(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        match old["spec"]["nodeName"].as_str().filter(|bound| !bound.is_empty()) {
            Some(bound) => refused(format!("pod {name} is already assigned to node {}", wire::quote(bound))),
            None => Ok(bound(old, &node, &object::time(now))),
        }
    };
    // Nobody owns what a binding sets.
    let edit = Edit { subresource: "binding", dry_run: options.dry_run, writer: None, change };
    modify::modify(call, edit).await?;
    Ok(success())
}

fn bound(old: &Value, node: &str, now: &Value) -> Value {
    let mut new = old.clone();
    new["spec"]["nodeName"] = node.into();
    let scheduled =
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut conditions: Vec<Value> = new["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(scheduled);
    new["status"]["conditions"] = conditions.into();
    new
}

// --- eviction ---

async fn evict(call: &mut Call<'_>, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    let eviction = payload(call, parts, body)?;
    let name = object::name(&eviction);
    if !name.is_empty() && name != call.target.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = match eviction.get("deleteOptions").filter(|options| options.is_object()) {
        Some(options) => DeleteOptions::from_value(options)?,
        None => DeleteOptions::default(),
    };
    options.dry_run |= CreateOptions::from_query(&call.query)?.dry_run;
    delete::remove(call, &call.target.name, &call.target.namespace, &options).await?;
    Ok(success())
}
