//! Discovery: which groups, versions and resources there are.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;
use kinds::{Kind, Subresource};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::{
    body::{self, Reply, to_json},
    registry::{KindRef, Registry},
};

/// `/api`.
pub(super) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]})
}

/// `/apis`.
pub(super) fn groups(registry: &Registry) -> Value {
    let all = registry.all();
    let groups: Vec<Value> =
        group_names(&all).into_iter().map(|group| group_value(&all, group, false)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(super) fn group(registry: &Registry, name: &str) -> Reply {
    let all = registry.all();
    if name.is_empty() || !group_names(&all).contains(&name) {
        return body::not_served();
    }
    body::json(StatusCode::OK, &group_value(&all, name, true))
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(super) fn resources(registry: &Registry, group: &str, version: &str) -> Reply {
    let all = registry.all();
    let kinds: Vec<&KindRef> = of(&all, group, version).collect();
    if kinds.is_empty() {
        return body::not_served();
    }
    let resources: Vec<Value> = kinds.iter().flat_map(|kind| plain(kind)).collect();
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": kinds[0].api_version(), "resources": resources});
    body::json(StatusCode::OK, &list)
}

/// `APIGroupDiscoveryList` of the core group or of all others.
pub(super) fn aggregated(registry: &Registry, version: &str, core_group: bool) -> Vec<u8> {
    let all = registry.all();
    let names = if core_group { vec![""] } else { group_names(&all) };
    let items: Vec<Value> = names
        .into_iter()
        .map(|group| {
            let version = |version: &str| {
                let resources: Vec<Value> = of(&all, group, version).map(|kind| detailed(kind)).collect();
                json!({"version": version, "resources": resources, "freshness": "Current"})
            };
            let versions: Vec<Value> = versions(&all, group).into_iter().map(version).collect();
            let mut meta = json!({"creationTimestamp": null});
            if !group.is_empty() {
                meta["name"] = group.into();
            }
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    to_json(&json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items}))
}

fn of<'a>(all: &'a [KindRef], group: &'a str, version: &'a str) -> impl Iterator<Item = &'a KindRef> {
    all.iter().filter(move |kind| kind.group == group && kind.version == version)
}

/// The named groups, in the order of the table.
fn group_names(all: &[KindRef]) -> Vec<&str> {
    unique(all.iter().map(|kind| &*kind.group).filter(|group| !group.is_empty()))
}

/// The versions of a group, preferred first.
fn versions<'a>(all: &'a [KindRef], group: &str) -> Vec<&'a str> {
    unique(all.iter().filter(|kind| kind.group == group).map(|kind| &*kind.version))
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn group_value(all: &[KindRef], name: &str, typed: bool) -> Value {
    let versions: Vec<Value> = versions(all, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let mut group = json!({"name": name, "preferredVersion": versions[0], "versions": versions});
    if typed {
        group["kind"] = "APIGroup".into();
        group["apiVersion"] = "v1".into();
    }
    group
}

/// A kind and its subresources as entries of an `APIResourceList`.
fn plain(kind: &Kind) -> Vec<Value> {
    let mut main = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": verbs(kind)});
    if let Some(hash) = storage_hash(kind) {
        main["storageVersionHash"] = hash.into();
    }
    if !kind.short_names.is_empty() {
        main["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        main["categories"] = json!(kind.categories);
    }
    let mut entries = vec![main];
    for sub in subresources(kind) {
        let (group, version, name) = payload(kind, sub);
        let mut entry = json!({"name": format!("{}/{}", kind.plural, sub.name), "singularName": "",
            "namespaced": kind.namespaced, "kind": name, "verbs": sub.verbs});
        // Only where it is not the parent's.
        if (group, version) != (&*kind.group, &*kind.version) {
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        entries.push(entry);
    }
    entries
}

/// A kind as an entry of an `APIGroupDiscoveryList`.
fn detailed(kind: &Kind) -> Value {
    let response = |(group, version, kind): (&str, &str, &str)| json!({"group": group, "version": version, "kind": kind});
    let subresources: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|sub| json!({"subresource": sub.name, "responseKind": response(payload(kind, sub)), "verbs": sub.verbs}))
        .collect();
    let mut entry = json!({
        "resource": kind.plural,
        "responseKind": response((&kind.group, &kind.version, &kind.kind)),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    for (field, names) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !names.is_empty() {
            entry[field] = json!(names);
        }
    }
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// The verbs, in the order in which Kubernetes names those of custom kinds and of the others.
fn verbs(kind: &Kind) -> Vec<&'static str> {
    const CUSTOM: [&str; 8] =
        ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    match kind.custom() {
        Some(_) => CUSTOM.into_iter().filter(|verb| kind.verbs.contains(verb)).collect(),
        None => kind.verbs.to_vec(),
    }
}

/// The subresources, in that order: of custom kinds the status comes first.
fn subresources(kind: &Kind) -> Vec<&Subresource> {
    let mut found: Vec<&Subresource> = kind.subresources.iter().collect();
    if kind.custom().is_some() {
        found.sort_by_key(|sub| sub.name != "status");
    }
    found
}

/// Changes when objects of the kind are stored in another form.
fn storage_hash(kind: &Kind) -> Option<String> {
    let storage = kind.storage.as_ref()?;
    let group = if storage.group == "core" { "" } else { &*storage.group };
    let digest = sha2::Sha256::digest(format!("{group}/{}/{}", storage.version, kind.kind));
    Some(BASE64_STANDARD.encode(&digest[..8]))
}

fn payload<'a>(kind: &'a Kind, sub: &Subresource) -> (&'a str, &'a str, &'a str) {
    sub.payload.unwrap_or((&kind.group, &kind.version, &kind.kind))
}
