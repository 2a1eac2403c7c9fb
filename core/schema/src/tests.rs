//! The crate's promises, on the real documents wherever there is one.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{
    Compiler, Document, Kind, ListType, Schema, check_structural, check_types, default, duplicates, openapi,
    prune, validate,
};

mod documents;
mod model;
mod validation;

const SANDBOX: &str = include_str!("../../../api/crd/crds/agents.x-k8s.io_sandboxes.yaml");

fn sandbox_document() -> Value {
    serde_saphyr::from_str(SANDBOX).unwrap()
}

/// The schema of a Sandbox version: 0 is v1alpha1, 1 is v1beta1.
fn sandbox(version: usize) -> Arc<Schema> {
    static VERSIONS: LazyLock<[Arc<Schema>; 2]> = LazyLock::new(|| {
        let document = sandbox_document();
        let schema = |version: usize| &document["spec"]["versions"][version]["schema"]["openAPIV3Schema"];
        [0, 1].map(|version| Schema::compile(schema(version)).unwrap())
    });
    Arc::clone(&VERSIONS[version])
}

fn pod() -> Arc<Schema> {
    Document::bundled().schema("", "v1", "Pod").unwrap()
}

/// A Sandbox as the API server would hand it to `validate`.
fn valid_sandbox() -> Value {
    let spec =
        json!({"podTemplate": {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]}}});
    let mut object = json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "a"}, "spec": spec,
    });
    default(&sandbox(1), &mut object);
    object
}

fn messages(errors: &[wire::FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_served_kind_has_a_bundled_schema() {
    let kinds = [
        ("", "v1", "Pod"),
        ("", "v1", "PersistentVolumeClaim"),
        ("", "v1", "Status"),
        ("", "v1", "DeleteOptions"),
        ("apps", "v1", "DeleteOptions"),
        ("apps", "v1", "Deployment"),
        ("batch", "v1", "Job"),
        ("discovery.k8s.io", "v1", "EndpointSlice"),
        ("events.k8s.io", "v1", "Event"),
        ("storage.k8s.io", "v1", "StorageClass"),
        ("networking.k8s.io", "v1", "NetworkPolicy"),
        ("node.k8s.io", "v1", "RuntimeClass"),
        ("coordination.k8s.io", "v1", "Lease"),
        ("scheduling.k8s.io", "v1", "PriorityClass"),
        ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("authentication.k8s.io", "v1", "TokenRequest"),
        ("authorization.k8s.io", "v1", "SubjectAccessReview"),
        ("policy", "v1", "Eviction"),
        ("autoscaling", "v1", "Scale"),
    ];
    for (group, version, kind) in kinds {
        assert!(Document::bundled().schema(group, version, kind).is_some(), "{group}/{version} {kind}");
    }
}

/// Fact: `PruneNonNullableNullsWithoutDefaults` of apiextensions-apiserver asks for a map's values as it asks for fields; a
/// schema without a type is no more nullable than others; items of lists stay.
#[test]
fn a_null_that_is_no_value_is_dropped_from_maps_too() {
    let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
    let map = |values: Value| json!({"type": "object", "additionalProperties": values});
    let properties = json!({
        "texts": map(json!({"type": "string"})),
        "nullable": map(json!({"type": "string", "nullable": true})),
        "filled": map(json!({"type": "string", "default": "d"})),
        "any": map(anything.clone()),
        "one": anything,
        "list": {"type": "array", "items": {"type": "string"}},
    });
    let schema = Schema::compile(&json!({"type": "object", "properties": properties})).unwrap();
    let nulls = || json!({"a": null});
    let mut object = json!({
        "texts": nulls(), "nullable": nulls(), "filled": nulls(), "any": nulls(), "one": null, "list": [null],
    });
    default(&schema, &mut object);
    let expected = json!({"texts": {}, "nullable": nulls(), "filled": {"a": "d"}, "any": {}, "list": [null]});
    assert_eq!(object, expected);
}

#[test]
fn unknown_fields_are_dropped_and_named_as_kubernetes_names_them() {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "labels": {"x/y": "z"}, "wrong": 1},
        "spec": {"foo": 1, "containers": [{"name": "a", "bar": {"deep": 1}}]},
    });
    let found = prune(&pod(), &mut object);
    assert_eq!(found, ["metadata.wrong", "spec.containers[0].bar", "spec.foo"]);
    assert_eq!(object["spec"], json!({"containers": [{"name": "a"}]}));
    assert_eq!(object["metadata"]["labels"]["x/y"], "z");
    assert_eq!(prune(&sandbox(1), &mut valid_sandbox()), [""; 0]);
}

/// JSONSchemaProps refers to itself; a CRD's schema is as deep as its author likes.
#[test]
fn recursive_types_are_walked_to_the_bottom() {
    let crd = Document::bundled().schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    let mut document = sandbox_document();
    assert_eq!(prune(&crd, &mut document), [""; 0]);
    assert_eq!(messages(&check_types(&crd, &document)), [""; 0]);
    let root = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/podTemplate";
    document.pointer_mut(root).unwrap()["foo"] = json!(1);
    let path = root.replace('/', ".").replace(".versions.0", ".versions[0]");
    assert_eq!(prune(&crd, &mut document), [format!("{}.foo", &path[1..])]);
}

#[test]
fn published_zero_values_are_no_defaults() {
    let mut object = json!({"metadata": {}, "spec": {"containers": [{"ports": [{}], "env": [{"name": "a", "valueFrom": null}]}]}});
    default(&pod(), &mut object);
    let wanted = json!({"ports": [{"protocol": "TCP"}], "env": [{"name": "a"}]});
    assert_eq!(object["spec"]["containers"][0], wanted);
}

#[test]
fn sandbox_gets_the_defaults_of_its_version() {
    let object = valid_sandbox();
    assert_eq!(object["spec"]["operatingMode"], "Running");
    assert_eq!(object["spec"]["shutdownPolicy"], "Retain");
    assert_eq!(object["spec"]["podTemplate"]["spec"]["containers"][0]["ports"][0]["protocol"], "TCP");
    let mut old = json!({"spec": {"podTemplate": {"spec": {"containers": []}}}});
    default(&sandbox(0), &mut old);
    assert_eq!(old["spec"]["replicas"], 1);
    assert_eq!(old["spec"].get("operatingMode"), None);
}

/// A real API server fills in what a default has just brought, too.
#[test]
fn defaults_inside_inserted_defaults_are_filled_in() {
    let schema = json!({"type": "object", "properties": {"a": {
    "type": "object", "default": {}, "properties": {
        "b": {"type": "object", "default": {"x": 1}, "properties": {
            "x": {"type": "integer"}, "y": {"type": "string", "default": "z"}}},
        "n": {"type": "string", "nullable": true, "default": "set"},
    }}}});
    let mut object = json!({"a": null});
    let schema = Schema::compile(&schema).unwrap();
    default(&schema, &mut object);
    assert_eq!(object, json!({"a": {"b": {"x": 1, "y": "z"}, "n": "set"}}));
    let mut object = json!({"a": {"n": null}});
    default(&schema, &mut object);
    assert_eq!(object["a"]["n"], Value::Null);
}

#[track_caller]
#[test]
fn wrong_schemas_are_refused_with_their_place() {
    let broken = [
        (json!({"type": "object", "properties": {"a": {"type": "text"}}}), "properties[a]"),
        (json!({"type": "string", "pattern": "("}), "pattern"),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self."}]}),
            "x-kubernetes-validations[0].rule",
        ),
    ];
    for (schema, path) in broken {
        assert_eq!(Schema::compile(&schema).unwrap_err().path, path);
    }
}

/// A Kubernetes API server refuses a CRD that is not structural.
#[test]
fn shipped_documents_are_structural() {
    let documents = [
        SANDBOX,
        include_str!("../../../api/crd/crds/extensions.agents.x-k8s.io_sandboxclaims.yaml"),
        include_str!("../../../api/crd/crds/extensions.agents.x-k8s.io_sandboxtemplates.yaml"),
        include_str!("../../../api/crd/crds/extensions.agents.x-k8s.io_sandboxwarmpools.yaml"),
    ];
    let crd = Document::bundled().schema("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    for text in documents {
        let mut document: Value = serde_saphyr::from_str(text).unwrap();
        for version in document["spec"]["versions"].as_array().unwrap() {
            let schema = &version["schema"]["openAPIV3Schema"];
            assert_eq!(messages(&check_structural(schema, "")), [""; 0]);
            Schema::compile(schema).unwrap();
        }
        assert_eq!(prune(&crd, &mut document), [""; 0]);
    }
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    let item = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let schema = json!({"properties": {
        "untyped": {"minLength": 1},
        "list": {"type": "array"},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"], "items": item},
        "branch": {"type": "object", "anyOf": [{"type": "string"}]},
        "reference": {"type": "object", "$ref": "#/x"},
        "bad": {"type": "integer", "minimum": 5, "default": 1},
    }});
    let wanted = [
        "s.type: Required value: must not be empty at the root",
        "s.properties[bad].default: Invalid value: 1: default in body should be greater than or equal to 5",
        "s.properties[branch].anyOf[0].type: Forbidden: must be empty to be structural",
        "s.properties[keyed].items.properties[a].default: Required value: this property is in \
         x-kubernetes-list-map-keys, so it must have a default or be a required property",
        "s.properties[keyed].x-kubernetes-list-map-keys: Invalid value: \"b\": entries must all be names of item properties",
        "s.properties[list].items: Required value: must be specified",
        "s.properties[reference].$ref: Forbidden: $ref is not supported",
        "s.properties[untyped].type: Required value: must not be empty for specified object fields",
    ];
    assert_eq!(messages(&check_structural(&schema, "s")), wanted);
}

#[test]
fn duplicate_fields_are_found_with_their_paths() {
    let text = br#"{"a": 1, "b": [{"c": 1, "c": 2}], "a": {"x": 1}, "s": "\"a\": 1", "a": 3}"#;
    assert_eq!(duplicates(text), ["b[0].c", "a"]);
    assert_eq!(duplicates(b"{\"a\": "), [""; 0]);
}

#[test]
fn equal_parts_are_shared_between_versions() {
    let document = sandbox_document();
    let mut compiler = Compiler::default();
    let mut specs = Vec::new();
    for version in document["spec"]["versions"].as_array().unwrap() {
        let root = compiler.compile(&version["schema"]["openAPIV3Schema"]).unwrap();
        let template: *const Schema = root.child("spec").unwrap().child("podTemplate").unwrap();
        specs.push((root, template));
    }
    assert_eq!(specs[0].1, specs[1].1);
    let containers = |list: &str| -> *const Schema {
        let pod = specs[0].0.child("spec").unwrap().child("podTemplate").unwrap().child("spec").unwrap();
        pod.child(list).unwrap().items().unwrap()
    };
    assert_eq!(containers("containers"), containers("initContainers"));
    assert_eq!(specs[0].0.child("spec").unwrap().kind(), Kind::Object);
}

/// JSON made of names that a Pod knows and some that it does not.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from)
    ];
    let name = prop::sample::select(vec![
        "metadata",
        "spec",
        "labels",
        "containers",
        "name",
        "ports",
        "env",
        "volumes",
        "emptyDir",
        "foo",
    ]);
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Pruning and defaulting reach a fixed point at once, and nothing that was pruned comes back.
    #[test]
    fn pruning_and_defaulting_are_idempotent(value in any_json()) {
        for schema in [pod(), sandbox(1)] {
            let mut once = value.clone();
            prune(&schema, &mut once);
            default(&schema, &mut once);
            let mut twice = once.clone();
            prop_assert_eq!(prune(&schema, &mut twice), Vec::<String>::new());
            default(&schema, &mut twice);
            prop_assert_eq!(&once, &twice);
            validate(&schema, &once, Some(&value));
        }
    }
}
