//! OpenAPI v3 documents. Version 2 is not served: kubectl falls back to version 3, which it prefers anyway.

use http::{HeaderMap, StatusCode};
use kinds::Kind;
use schema::openapi::{self, Custom};
use serde_json::Value;

use super::tagged;
use crate::{
    body::{self, Reply},
    core::Core,
};

/// Answers below `/openapi/v3`.
pub(super) fn answer(core: &Core, rest: &[&str], headers: &HeaderMap) -> Reply {
    let crds: Vec<Value> = core.admission.crds().collect();
    match rest {
        [] => body::json_bytes(StatusCode::OK, body::full(index(&crds))),
        ["api", version] => bundled("", version, headers),
        ["apis", group, version] => match custom(&crds, group, version).as_slice() {
            [] => bundled(group, version, headers),
            kinds => tagged(headers, &openapi::custom_hash(kinds), || openapi::custom_group(kinds)),
        },
        _ => body::not_served(),
    }
}

fn bundled(group: &str, version: &str, headers: &HeaderMap) -> Reply {
    let known = openapi::groups().iter().any(|(g, v)| g == group && v == version);
    if !known {
        return body::not_served();
    }
    tagged(headers, &openapi::bundled_hash(), || openapi::v3_group(group, version).unwrap_or_default())
}

fn index(crds: &[Value]) -> Vec<u8> {
    let mut places: Vec<(&str, &str)> = Vec::new();
    for kind in kinds::table().iter().filter(|kind| kind.custom().is_some()) {
        if !places.contains(&(&*kind.group, &*kind.version)) {
            places.push((&kind.group, &kind.version));
        }
    }
    let hashes: Vec<String> =
        places.iter().map(|(group, version)| openapi::custom_hash(&custom(crds, group, version))).collect();
    let entries: Vec<(&str, &str, &str)> = places
        .iter()
        .zip(&hashes)
        .map(|((group, version), hash)| (*group, *version, hash.as_str()))
        .collect();
    openapi::v3_index(&entries)
}

/// The custom kinds of a group and version.
fn custom<'a>(crds: &'a [Value], group: &str, version: &str) -> Vec<Custom<'a>> {
    let kinds = kinds::table().iter();
    kinds
        .filter(|kind| kind.custom().is_some() && kind.group == group && kind.version == version)
        .filter_map(|kind| Some(described(kind, published(crds, kind)?)))
        .collect()
}

fn described<'a>(kind: &'static Kind, schema: &'a Value) -> Custom<'a> {
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
fn published<'a>(crds: &'a [Value], kind: &Kind) -> Option<&'a Value> {
    let crd = crds
        .iter()
        .find(|crd| crd["spec"]["group"] == *kind.group && crd["spec"]["names"]["kind"] == *kind.kind)?;
    let versions = crd["spec"]["versions"].as_array()?;
    let version = versions.iter().find(|version| version["name"] == *kind.version)?;
    version.pointer("/schema/openAPIV3Schema")
}
