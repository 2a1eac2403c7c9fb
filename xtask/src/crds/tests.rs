//! The documents against what is known of the published Sandbox API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

fn document(kind: &str) -> Value {
    let all = super::documents().expect("documents");
    all.into_iter()
        .map(|(_, document)| document)
        .find(|document| document["spec"]["names"]["kind"] == kind)
        .unwrap()
}

/// Counts the keywords of all schemas, not the properties that happen to have a keyword's name.
fn count(node: &Value, into: &mut BTreeMap<String, usize>) {
    for (key, value) in node.as_object().into_iter().flatten() {
        match key.as_str() {
            "properties" => value.as_object().unwrap().values().for_each(|child| count(child, into)),
            "items" | "additionalProperties" => count(value, into),
            _ => {}
        }
        *into.entry(key.clone()).or_default() += 1;
    }
}

#[test]
fn committed_documents_are_up_to_date() {
    super::check().unwrap();
}

/// A cluster converts nothing without a webhook: with `strategy: None` it would only rename the version and prune.
#[test]
fn documents_for_clusters_have_one_version_and_convert_nothing() {
    for (path, text) in super::files().unwrap() {
        let versions = text.lines().filter(|line| line.contains("served: true")).count();
        let for_clusters = path.components().any(|part| part.as_os_str() == "deploy");
        assert_eq!(versions, if for_clusters { 1 } else { 2 }, "{}", path.display());
        assert_eq!(text.contains("name: v1alpha1"), !for_clusters, "{}", path.display());
        assert!(text.contains("strategy: None") && text.contains("name: v1beta1"), "{}", path.display());
    }
}

#[test]
fn every_document_fits_the_annotation_of_client_side_apply() {
    for (name, document) in super::documents().unwrap() {
        let size = document.to_string().len();
        assert!(size < 256 * 1024 - 1024, "{name}: {size} bytes");
    }
}

/// The published Sandbox document, made from the Go types of Kubernetes 0.36.3, has these markers in both
/// versions together: 306 list-type, 50 list-map-keys, 110 map-type, 98 default, 42 pattern, 0 nullable.
#[test]
fn sandbox_has_the_markers_of_the_published_document() {
    let sandbox = document("Sandbox");
    let mut counts = BTreeMap::new();
    for version in sandbox["spec"]["versions"].as_array().unwrap() {
        count(&version["schema"]["openAPIV3Schema"], &mut counts);
    }
    let of = |key: &str| counts.get(key).copied().unwrap_or_default();
    let found = [
        of("x-kubernetes-list-type"),
        of("x-kubernetes-list-map-keys"),
        of("x-kubernetes-map-type"),
        of("default"),
        of("pattern"),
        of("nullable"),
    ];
    assert_eq!(found, [306, 50, 110, 98, 42, 0]);
}
#[test]
fn no_document_carries_descriptions_or_references() {
    for (name, document) in super::documents().unwrap() {
        let mut counts = BTreeMap::new();
        for version in document["spec"]["versions"].as_array().unwrap() {
            count(&version["schema"]["openAPIV3Schema"], &mut counts);
        }
        for keyword in ["description", "$ref", "allOf", "oneOf", "x-kubernetes-patch-strategy"] {
            assert!(!counts.contains_key(keyword), "{name}: {keyword}");
        }
    }
}

/// A key of an associative list has to be required or defaulted, or a real API server refuses the document.
#[test]
fn keys_of_associative_lists_are_always_present() {
    fn walk(node: &Value, path: &str) {
        for key in node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            let (items, key) = (&node["items"], key.as_str().unwrap());
            let required =
                items["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key));
            assert!(required || !items["properties"][key]["default"].is_null(), "{path}: {key}");
        }
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            walk(child, &format!("{path}.{name}"));
        }
        for inner in ["items", "additionalProperties"] {
            if node[inner].is_object() {
                walk(&node[inner], &format!("{path}[]"));
            }
        }
    }
    for (name, document) in super::documents().unwrap() {
        for version in document["spec"]["versions"].as_array().unwrap() {
            walk(&version["schema"]["openAPIV3Schema"], &name);
        }
    }
}

#[test]
fn versions_and_warnings_are_as_published() {
    let claim = document("SandboxClaim");
    let [old, new] = claim["spec"]["versions"].as_array().unwrap().as_slice() else { panic!("two versions") };
    let warning = "extensions.agents.x-k8s.io/v1alpha1 SandboxClaim is deprecated; \
                   use extensions.agents.x-k8s.io/v1beta1 SandboxClaim instead";
    assert_eq!(old["deprecationWarning"], warning);
    assert_eq!([&old["storage"], &new["storage"]], [false, true]);
    assert_eq!(new["subresources"], json!({"status": {}}));
    assert_eq!(document("SandboxTemplate")["spec"]["versions"][1]["subresources"], json!({}));
    let sandbox = document("Sandbox");
    assert!(sandbox["spec"]["versions"][0]["subresources"]["scale"].is_object());
    assert!(sandbox["spec"]["versions"][1]["subresources"]["scale"].is_null());
}
