//! OpenAPI documents, of version 3 for each group, and of version 2 for all. Made when they are asked for, and not kept.

use std::collections::HashMap;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use kinds::Kind;
use schema::openapi::{self, Custom, Form};
use serde_json::Value;

use super::tagged;
use crate::{
    body::{self, Reply},
    core::Core,
    registry::KindRef,
};

/// The media type of version 2 in protobuf.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Answers below `/openapi/v3`.
pub(super) fn answer(core: &Core, rest: &[&str], headers: &HeaderMap) -> Reply {
    match rest {
        [] => body::json_bytes(StatusCode::OK, body::full(index(core))),
        ["api", version] => bundled("", version, headers),
        ["apis", group, version] => match custom(&core.registry.all(), group, version).as_slice() {
            [] => bundled(group, version, headers),
            kinds => {
                let own: Vec<Value> = core.admission.crds().collect();
                tagged(headers, &hash(&own, kinds), || document(core, &own, kinds))
            }
        },
        _ => body::not_served(),
    }
}

/// Answers `/openapi/v2`. Fact: kube-openapi says nothing in a 406.
pub(super) fn answer_v2(core: &Core, headers: &HeaderMap) -> Reply {
    let Some((form, media)) = accepted(headers) else {
        let mut reply = Reply::new(body::full(""));
        *reply.status_mut() = StatusCode::NOT_ACCEPTABLE;
        return reply;
    };
    let own: Vec<Value> = core.admission.crds().collect();
    let kinds: Vec<KindRef> =
        core.registry.all().into_iter().filter(|kind| kind.custom().is_some()).collect();
    let tag = format!("{}{}", openapi::bundled_hash(), hash(&own, &kinds));
    let mut reply = tagged(headers, &tag, || whole(core, &own, &kinds, form));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    reply.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    reply
}

/// The first of the client's choices that there is, and the media type of the answer.
fn accepted(headers: &HeaderMap) -> Option<(Form, &'static str)> {
    let accept = headers.get(header::ACCEPT).map_or(Some("*/*"), |accept| accept.to_str().ok())?;
    accept.split(',').find_map(|choice| match choice.split(';').next().unwrap_or_default().trim() {
        "*/*" | "application/*" | "application/json" | "" => Some((Form::Json, "application/json")),
        // Facts: the first name is what client-go asks by and no valid media type; the second is what answers say.
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" | PROTOBUF => {
            Some((Form::Protobuf, PROTOBUF))
        }
        _ => None,
    })
}

fn whole(core: &Core, own: &[Value], kinds: &[KindRef], form: Form) -> Vec<u8> {
    let foreign = foreign(core, kinds);
    let crds = || own.iter().chain(foreign.values());
    let described: Vec<Custom<'_>> =
        kinds.iter().filter_map(|kind| Some(described(kind, published(crds(), kind)?))).collect();
    openapi::v2(&described, form)
}

fn bundled(group: &str, version: &str, headers: &HeaderMap) -> Reply {
    let known = openapi::groups().iter().any(|(g, v)| g == group && v == version);
    if !known {
        return body::not_served();
    }
    tagged(headers, &openapi::bundled_hash(), || openapi::v3_group(group, version).unwrap_or_default())
}

fn index(core: &Core) -> Vec<u8> {
    let own: Vec<Value> = core.admission.crds().collect();
    let all = core.registry.all();
    let mut places: Vec<(&str, &str)> = Vec::new();
    for kind in all.iter().filter(|kind| kind.custom().is_some()) {
        if !places.contains(&(&*kind.group, &*kind.version)) {
            places.push((&kind.group, &kind.version));
        }
    }
    let hashes: Vec<String> =
        places.iter().map(|(group, version)| hash(&own, &custom(&all, group, version))).collect();
    let entries: Vec<(&str, &str, &str)> = places
        .iter()
        .zip(&hashes)
        .map(|((group, version), hash)| (*group, *version, hash.as_str()))
        .collect();
    openapi::v3_index(&entries)
}

/// The custom kinds of a group and version.
fn custom(all: &[KindRef], group: &str, version: &str) -> Vec<KindRef> {
    let wanted = |kind: &&KindRef| kind.custom().is_some() && kind.group == group && kind.version == version;
    all.iter().filter(wanted).cloned().collect()
}

/// Differs whenever the document does. A foreign definition is told by its generation: reading it would cost more.
fn hash(own: &[Value], kinds: &[KindRef]) -> String {
    let schemas = kinds.iter().map(|kind| match kind.definition() {
        Some(definition) => Some(format!("{}/{}", definition.uid, definition.generation).into()),
        None => published(own.iter(), kind).cloned(),
    });
    let schemas: Vec<Value> = schemas.map(Option::unwrap_or_default).collect();
    let described: Vec<Custom<'_>> =
        kinds.iter().zip(&schemas).map(|(kind, schema)| described(kind, schema)).collect();
    openapi::custom_hash(&described)
}

fn document(core: &Core, own: &[Value], kinds: &[KindRef]) -> Vec<u8> {
    let foreign = foreign(core, kinds);
    let crds = || own.iter().chain(foreign.values());
    let described: Vec<Custom<'_>> =
        kinds.iter().filter_map(|kind| Some(described(kind, published(crds(), kind)?))).collect();
    openapi::custom_group(&described)
}

/// The definitions of kinds that are not our own, by their keys.
fn foreign<'a>(core: &Core, kinds: &'a [KindRef]) -> HashMap<&'a str, Value> {
    let definitions = kinds.iter().filter_map(KindRef::definition);
    definitions.filter_map(|d| Some((d.key.as_str(), d.read(&core.store)?))).collect()
}

fn described<'a>(kind: &'a Kind, schema: &'a Value) -> Custom<'a> {
    Custom {
        group: &kind.group,
        version: &kind.version,
        kind: &kind.kind,
        list_kind: &kind.list_kind,
        plural: &kind.plural,
        namespaced: kind.namespaced,
        status: kind.has_status(),
        scale: kind.subresource("scale").is_some(),
        schema,
    }
}

/// The schema that the kind's CRD publishes.
fn published<'a>(mut crds: impl Iterator<Item = &'a Value>, kind: &Kind) -> Option<&'a Value> {
    let crd =
        crds.find(|crd| crd["spec"]["group"] == *kind.group && crd["spec"]["names"]["kind"] == *kind.kind)?;
    let versions = crd["spec"]["versions"].as_array()?;
    let version = versions.iter().find(|version| version["name"] == *kind.version)?;
    version.pointer("/schema/openAPIV3Schema")
}
