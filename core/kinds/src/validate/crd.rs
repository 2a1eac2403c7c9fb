//! CustomResourceDefinitions: names, versions and columns. Their schemas are checked where they are compiled.

use std::collections::BTreeSet;

use serde_json::Value;
use wire::{FieldError, Path, names};

use super::{Errors, each, immutable, one_of, required, subdomain};
use crate::value::{flag, items, text};

mod conversion;
mod version;

const APPROVAL: &str = "api-approved.kubernetes.io";

/// A CustomResourceDefinition.
pub(super) fn crd(crd: &Value, errors: &mut Errors) {
    let path = Path::root("spec");
    let spec = crd.get("spec").unwrap_or(&Value::Null);
    let (group, plural) = (text(spec, "/group"), text(spec, "/names/plural"));
    let name = text(crd, "/metadata/name");
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
    required(errors, &path.child("group"), group);
    subdomain(errors, &path.child("group"), group);
    if !group.is_empty() && group.split('.').count() < 2 {
        let why = "should be a domain with at least one dot";
        errors.push(FieldError::invalid(path.child("group"), group, why));
    }
    one_of(errors, &path.child("scope"), text(spec, "/scope"), &["Cluster", "Namespaced"]);
    crd_names(spec, &path.child("names"), errors);
    versions(spec, &path.child("versions"), errors);
    if let Some(conversion) = spec.get("conversion").filter(|conversion| !conversion.is_null()) {
        conversion::conversion(conversion, &path.child("conversion"), errors);
    }
    stored_versions(crd, errors);
    if flag(spec, "/preserveUnknownFields") {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                   spec.versions[*].schema instead";
        errors.push(FieldError::invalid(path.child("preserveUnknownFields"), true, why));
    }
}

/// A definition in one of Kubernetes' own groups says who approved it. `old`: one that said nothing new is let pass.
pub(super) fn approval(crd: &Value, old: Option<&Value>, errors: &mut Errors) {
    let group = text(crd, "/spec/group");
    let own = ["k8s.io", "kubernetes.io"];
    // A suffix of whole labels.
    if !own
        .iter()
        .any(|own| group.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    {
        return;
    }
    let told = |crd: &Value| {
        let annotations = crd.pointer("/metadata/annotations");
        let annotation =
            annotations.and_then(|annotations| annotations.get(APPROVAL)).and_then(Value::as_str);
        annotation.unwrap_or_default().to_owned()
    };
    let (found, see) = (told(crd), "see https://github.com/kubernetes/enhancements/pull/1111");
    let is_url = found.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty());
    if old.is_some_and(|old| told(old) == found) || found.starts_with("unapproved") || is_url {
        return;
    }
    let (metadata, annotations) = (Path::root("metadata"), "annotations");
    let annotations = metadata.child(annotations);
    let at = annotations.key(APPROVAL);
    errors.push(if found.is_empty() {
        let why = format!("protected groups must have approval annotation {}, {see}", wire::quote(APPROVAL));
        FieldError::required(at, why)
    } else {
        let why = format!(
            "protected groups must have approval annotation {} with either a URL or a reason starting with \
             \"unapproved\", {see}",
            wire::quote(APPROVAL)
        );
        FieldError::invalid(at, found, why)
    });
}

/// A version in which objects may be stored has to stay.
fn stored_versions(crd: &Value, errors: &mut Errors) {
    let Some(stored) = crd.pointer("/status/storedVersions").and_then(Value::as_array) else { return };
    let path = Path::root("status");
    let path = path.child("storedVersions");
    for (index, name) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !items(crd, "/spec/versions").any(|version| text(version, "/name") == name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in {name} and removes \
                 {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(path.index(index), name, why));
        }
    }
}

/// What may not change: the name's parts never, scope and kind once the definition has been served.
pub(super) fn change(new: &Value, old: &Value, errors: &mut Errors) {
    let mut fixed = vec!["/spec/group", "/spec/names/plural"];
    if crate::definition::is_established(old) {
        fixed.extend(["/spec/scope", "/spec/names/kind"]);
    }
    immutable(new, old, &fixed, errors);
}

fn crd_names(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    for name in ["plural", "singular", "kind", "listKind"] {
        let value =
            spec.pointer("/names").and_then(|n| n.get(name)).and_then(Value::as_str).unwrap_or_default();
        let at = path.child(name);
        required(errors, &at, value);
        if value.is_empty() {
            continue;
        }
        let mixed_case = name == "kind" || name == "listKind";
        let problems =
            names::dns1035_label(&if mixed_case { value.to_lowercase() } else { value.to_owned() });
        if !problems.is_empty() {
            let problems = problems.join(",");
            let why = if mixed_case {
                format!("may have mixed case, but should otherwise match: {problems}")
            } else {
                problems
            };
            errors.push(FieldError::invalid(at, value, why));
        }
    }
    let short = path.child("shortNames");
    for (index, name) in items(spec, "/names/shortNames").filter_map(Value::as_str).enumerate() {
        each(errors, &short.index(index), name, names::dns1035_label(name));
    }
    let categories = path.child("categories");
    for (index, name) in items(spec, "/names/categories").filter_map(Value::as_str).enumerate() {
        each(errors, &categories.index(index), name, names::dns1035_label(name));
    }
    let (kind, list) = (text(spec, "/names/kind"), text(spec, "/names/listKind"));
    if !kind.is_empty() && kind == list {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), list, why));
    }
}

fn versions(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, version) in items(spec, "/versions").enumerate() {
        let at = path.index(index);
        let name = text(version, "/name");
        each(errors, &at.child("name"), name, names::dns1035_label(name));
        if !seen.insert(name) {
            errors.push(FieldError::invalid(path, name, "must contain unique version names"));
        }
        let schema = at.child("schema");
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let why = "schemas are required";
            errors.push(FieldError::required(schema.child("openAPIV3Schema"), why));
        }
        version::deprecation(version, &at, errors);
    }
    parts(spec, path, errors);
    let stored = items(spec, "/versions").filter(|v| flag(v, "/storage")).count();
    if stored != 1 {
        let given: Vec<Value> = items(spec, "/versions").map(|v| Value::from(text(v, "/name"))).collect();
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, given, why));
    }
}

/// Parts that every version may have. Fact: what is the same in all versions Kubernetes names by its place in its internal
/// version of the definition, where it stands once, beside the versions.
fn parts(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let root = Path::root("spec");
    for (name, check) in [
        ("subresources", subresources as fn(&Value, &Path<'_>, &mut Errors)),
        ("additionalPrinterColumns", version::columns),
        ("selectableFields", version::selectable),
    ] {
        let mut versions = items(spec, "/versions");
        let first = versions.next();
        let shared = first.is_some_and(|first| {
            first.get(name).is_some_and(|part| !part.is_null())
                && versions.all(|other| other.get(name) == first.get(name))
        });
        let checked = if shared { 1 } else { usize::MAX };
        for (index, version) in items(spec, "/versions").enumerate().take(checked) {
            let at = path.index(index);
            check(version, &if shared { root.child(name) } else { at.child(name) }, errors);
        }
    }
}

fn subresources(version: &Value, path: &Path<'_>, errors: &mut Errors) {
    if let Some(scale) = version.pointer("/subresources/scale").filter(|scale| !scale.is_null()) {
        version::scale(scale, path, errors);
    }
}
