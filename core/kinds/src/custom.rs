//! Kinds that a CustomResourceDefinition describes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value;

use crate::jsonpath::JsonPath;
use crate::table::subresources::{SCALE, STATUS};
use crate::table::{Body, Kind, STORED, Storage, Text};
use crate::value::{flag, items, text};

/// What a CRD says of one version, besides names and schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Custom {
    /// Columns besides the name; none means name and age.
    pub columns: Vec<PrinterColumn>,
    /// Paths of the scale subresource, if it has one.
    pub scale: Option<Scale>,
    /// Fields that selectors may name, as JSON paths.
    pub selectable: Vec<String>,
}

/// A column of a custom kind.
#[derive(Clone, Debug, PartialEq)]
pub struct PrinterColumn {
    /// Heading.
    pub name: String,
    /// OpenAPI type, or `date`.
    pub kind: String,
    /// OpenAPI format.
    pub format: String,
    /// For people.
    pub description: String,
    /// Above 0: only with `-o wide`.
    pub priority: i32,
    /// Where the cell comes from; an unreadable path gives empty cells.
    pub path: Option<JsonPath>,
}

/// Where the scale subresource finds its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// JSON path of the wanted number.
    pub spec_replicas: String,
    /// JSON path of the actual number.
    pub status_replicas: String,
    /// JSON path of the label selector in string form.
    pub selector: Option<String>,
}

impl PrinterColumn {
    /// A column that is always shown.
    pub fn new(name: &str, kind: &str, path: &str) -> PrinterColumn {
        PrinterColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            // What Kubernetes says of a column whose CRD does not.
            description: format!("Custom resource definition column (in JSONPath format): {path}"),
            priority: 0,
            path: JsonPath::parse(path).ok(),
        }
    }

    fn from_value(column: &Value) -> PrinterColumn {
        let priority = column.get("priority").and_then(Value::as_i64).and_then(|p| i32::try_from(p).ok());
        let new = PrinterColumn::new(text(column, "/name"), text(column, "/type"), text(column, "/jsonPath"));
        let description = match text(column, "/description") {
            "" => new.description,
            own => own.to_owned(),
        };
        PrinterColumn {
            format: text(column, "/format").to_owned(),
            priority: priority.unwrap_or(0),
            description,
            ..new
        }
    }
}

impl Custom {
    fn from_version(version: &Value) -> Custom {
        let scale = version.pointer("/subresources/scale").map(|scale| Scale {
            spec_replicas: text(scale, "/specReplicasPath").to_owned(),
            status_replicas: text(scale, "/statusReplicasPath").to_owned(),
            selector: Some(text(scale, "/labelSelectorPath").to_owned()).filter(|path| !path.is_empty()),
        });
        Custom {
            columns: items(version, "/additionalPrinterColumns").map(PrinterColumn::from_value).collect(),
            scale,
            selectable: items(version, "/selectableFields")
                .map(|f| text(f, "/jsonPath").to_owned())
                .collect(),
        }
    }
}

impl Kind {
    /// The kinds of a CustomResourceDefinition: one for each served version, the stored version first.
    pub fn from_crd(crd: &Value) -> Vec<Kind> {
        let stored = items(crd, "/spec/versions").find(|v| flag(v, "/storage"));
        let stored = stored.map(|v| text(v, "/name")).unwrap_or_default().to_owned();
        let served = items(crd, "/spec/versions").filter(|v| flag(v, "/served"));
        let mut kinds: Vec<Kind> = served.map(|version| custom_kind(crd, version, &stored)).collect();
        kinds.sort_by_key(|kind| kind.version != stored);
        kinds
    }
}

fn custom_kind(crd: &Value, version: &Value, stored: &str) -> Kind {
    let owned = |pointer: &str| -> Text { Cow::Owned(text(crd, pointer).to_owned()) };
    let list =
        |pointer: &str| items(crd, pointer).filter_map(Value::as_str).map(|t| Cow::Owned(t.to_owned()));
    let or = |value: Text, other: String| if value.is_empty() { Cow::Owned(other) } else { value };
    let name = text(version, "/name");
    let (group, plural, kind) =
        (owned("/spec/group"), owned("/spec/names/plural"), owned("/spec/names/kind"));
    let mut subresources = Vec::new();
    if version.pointer("/subresources/scale").is_some() {
        subresources.push(SCALE);
    }
    if version.pointer("/subresources/status").is_some() {
        subresources.push(STATUS);
    }
    let deprecation = flag(version, "/deprecated").then(|| {
        let told = text(version, "/deprecationWarning");
        or(Cow::Owned(told.to_owned()), deprecated(crd, name))
    });
    Kind {
        version: Cow::Owned(name.to_owned()),
        list_kind: or(owned("/spec/names/listKind"), format!("{kind}List")),
        singular: or(owned("/spec/names/singular"), kind.to_lowercase()),
        short_names: list("/spec/names/shortNames").collect(),
        categories: list("/spec/names/categories").collect(),
        namespaced: text(crd, "/spec/scope") == "Namespaced",
        verbs: STORED,
        subresources,
        storage: Some(Storage {
            group: group.clone(),
            plural: plural.clone(),
            version: Cow::Owned(stored.to_owned()),
        }),
        deprecation,
        body: Body::Custom(Arc::new(Custom::from_version(version))),
        group,
        plural,
        kind,
    }
}

/// What a client of a deprecated version is told when the CRD has no words for it: the newest better version, if there is one.
fn deprecated(crd: &Value, name: &str) -> String {
    let (group, kind) = (text(crd, "/spec/group"), text(crd, "/spec/names/kind"));
    let better = items(crd, "/spec/versions").filter(|v| flag(v, "/served") && !flag(v, "/deprecated"));
    let better = better.map(|v| text(v, "/name")).filter(|other| compare_versions(name, other).is_gt());
    match better.min_by(|a, b| compare_versions(a, b)) {
        Some(other) => format!("{group}/{name} {kind} is deprecated; use {group}/{other} {kind}"),
        None => format!("{group}/{name} {kind} is deprecated"),
    }
}

/// Orders API versions as Kubernetes prefers them, the preferred one first: `v2`, `v1`, `v1beta1`, `v1alpha2`, then all names
/// of another form in the order of the alphabet.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability, major and minor number of `v<major>[alpha|beta<minor>]`.
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
    let rest = version.strip_prefix('v')?;
    for (word, stability) in [("alpha", 1), ("beta", 2)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, number(major)?, number(minor)?));
        }
    }
    Some((3, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Fact: the example of the Kubernetes documentation, "version priority" of CustomResourceDefinitions.
    #[test]
    fn versions_are_preferred_as_in_kubernetes() {
        let wanted =
            ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"];
        let mut sorted = wanted;
        sorted.sort_unstable();
        sorted.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(sorted, wanted);
    }

    /// Fact: `defaultDeprecationWarning` of apiextensions-apiserver names the newest served version that is better.
    #[test]
    fn a_deprecated_version_names_a_better_one() {
        let version = |name: &str, more: Value| {
            let mut version = json!({"name": name, "served": true, "storage": name == "v1"});
            version.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
            version
        };
        let crd = json!({"spec": {"group": "x.io", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"},
        "versions": [
            version("v1alpha1", json!({"deprecated": true})),
            version("v1beta1", json!({"deprecated": true, "deprecationWarning": "go away"})),
            version("v1", json!({})),
            version("v2", json!({"deprecated": true})),
        ]}});
        let told: Vec<Option<String>> =
            Kind::from_crd(&crd).into_iter().map(|kind| kind.deprecation.map(Cow::into_owned)).collect();
        let told: Vec<Option<&str>> = told.iter().map(Option::as_deref).collect();
        let use_v1 = Some("x.io/v1alpha1 A is deprecated; use x.io/v1 A");
        assert_eq!(told, [None, use_v1, Some("go away"), Some("x.io/v2 A is deprecated")]);
    }
}
