//! The crate's promises, on the real documents wherever there is one.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{
    Compiler, Document, Kind, ListType, Schema, check_structural, check_types, default, duplicates, openapi,
    prune, validate,
};

mod model;

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
#[allow(clippy::needless_pass_by_value, reason = "a table of literals reads better")]
fn check(schema: Value, value: Value, wanted: &[&str]) {
    let schema = json!({"type": "object", "properties": {"spec": schema}});
    let schema = Schema::compile(&schema).unwrap();
    assert_eq!(messages(&validate(&schema, &json!({"spec": value}), None)), wanted);
}

/// The texts are those of kube-openapi's validator as apiextensions-apiserver reports them.
#[test]
fn messages_are_those_of_kubernetes() {
    check(
        json!({"type": "integer"}),
        json!("a"),
        &[r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#],
    );
    check(
        json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
        json!({}),
        &["spec.a: Required value"],
    );
    check(
        json!({"type": "string", "enum": ["Running", "Suspended"]}),
        json!("Off"),
        &[r#"spec: Unsupported value: "Off": supported values: "Running", "Suspended""#],
    );
    check(
        json!({"type": "integer", "minimum": 0}),
        json!(-1),
        &["spec: Invalid value: -1: spec in body should be greater than or equal to 0"],
    );
    check(
        json!({"type": "integer", "maximum": 1}),
        json!(2),
        &["spec: Invalid value: 2: spec in body should be less than or equal to 1"],
    );
    check(
        json!({"type": "string", "pattern": "^a$"}),
        json!("b"),
        &[r#"spec: Invalid value: "b": spec in body should match '^a$'"#],
    );
    check(
        json!({"type": "string", "maxLength": 1}),
        json!("ab"),
        &["spec: Too long: may not be more than 1 byte"],
    );
    check(
        json!({"type": "string", "minLength": 1}),
        json!(""),
        &[r#"spec: Invalid value: "": spec in body should be at least 1 chars long"#],
    );
    check(
        json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
        json!(["a", "b"]),
        &["spec: Too many: 2: must have at most 1 item"],
    );
    check(
        json!({"type": "string", "format": "date-time"}),
        json!("soon"),
        &[r#"spec: Invalid value: "soon": spec in body must be of type date-time: "soon""#],
    );
    check(
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        json!(true),
        &[r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#],
    );
    check(
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        json!({}),
        &[r#"spec: Invalid value: "": "spec" must validate at least one schema (anyOf)"#],
    );
}

#[test]
fn keys_of_associative_lists_and_items_of_sets_are_unique() {
    let item = json!({"type": "object", "required": ["p"], "properties": {
        "p": {"type": "integer"}, "q": {"type": "string", "default": "TCP"}}});
    check(
        json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["p", "q"], "items": item}),
        json!([{"p": 1}, {"p": 1, "q": "UDP"}, {"p": 1, "q": "TCP"}]),
        &[r#"spec[2]: Duplicate value: {"p":1,"q":"TCP"}"#],
    );
    check(
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
        json!(["a", "b", "a"]),
        &[r#"spec[2]: Duplicate value: "a""#],
    );
}

/// The immutability rule of the Sandbox API: set to changed, unset to set, set to unset.
#[test]
fn volume_claim_templates_cannot_be_changed() {
    let schema = sandbox(1);
    let without = valid_sandbox();
    let claim = |size: &str| {
        let mut object = valid_sandbox();
        object["spec"]["volumeClaimTemplates"] =
            json!([{"spec": {"resources": {"requests": {"storage": size}}}}]);
        object
    };
    let refused = [r#"spec: Invalid value: "object": volumeClaimTemplates is immutable"#];
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), Some(&claim("2Gi")))), refused);
    assert_eq!(messages(&validate(&schema, &without, Some(&claim("1Gi")))), refused);
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), Some(&without))), refused);
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), Some(&claim("1Gi")))), [""; 0]);
    assert_eq!(messages(&validate(&schema, &claim("1Gi"), None)), [""; 0]);
}

#[test]
fn rules_see_times_escaped_names_and_items_by_key() {
    let item = json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "messageExpression": "'v of ' + self.k + ' shrank'"}]});
    let schema = json!({"type": "object", "properties": {
      "at": {"type": "string", "format": "date-time"},
      "x-y": {"type": "integer"},
      "l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item},
    }, "x-kubernetes-validations": [
      {"rule": "!has(self.at) || self.at > timestamp('2026-01-01T00:00:00Z')"},
      {"rule": "!has(self.x__dash__y) || self.x__dash__y < 5", "reason": "FieldValueForbidden", "fieldPath": ".x-y", "message": "too big"},
    ]});
    let schema = Schema::compile(&schema).unwrap();
    let errors = validate(&schema, &json!({"at": "2025-01-01T00:00:00Z", "x-y": 7}), None);
    let wanted = [
        r#": Invalid value: "object": failed rule: !has(self.at) || self.at > timestamp('2026-01-01T00:00:00Z')"#,
        ".x-y: Forbidden: too big",
    ];
    assert_eq!(messages(&errors), wanted);
    let old = json!({"l": [{"k": "a", "v": 1}, {"k": "b", "v": 5}]});
    let new = json!({"l": [{"k": "b", "v": 4}, {"k": "a", "v": 2}]});
    assert_eq!(
        messages(&validate(&schema, &new, Some(&old))),
        [r#"l[0]: Invalid value: "object": v of b shrank"#]
    );
}

/// Kubernetes does not run rules on an object whose shape is wrong, and says so.
#[test]
fn rules_are_not_run_on_malformed_objects() {
    let mut object = valid_sandbox();
    object["spec"]["operatingMode"] = json!("Off");
    let errors = messages(&validate(&sandbox(1), &object, None));
    assert_eq!(
        errors[0],
        r#"spec.operatingMode: Unsupported value: "Off": supported values: "Running", "Suspended""#
    );
    assert!(
        errors[1].starts_with("<nil>: Invalid value: null: some validation rules were not checked"),
        "{errors:?}"
    );
}

#[test]
fn what_was_invalid_before_and_has_not_changed_is_let_pass() {
    let mut old = valid_sandbox();
    old["spec"]["shutdownPolicy"] = json!("Whatever");
    let mut new = old.clone();
    new["spec"]["operatingMode"] = json!("Suspended");
    assert_eq!(messages(&validate(&sandbox(1), &new, Some(&old))), [""; 0]);
}

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

#[test]
fn merge_strategies_and_list_types_are_there() {
    let pod = pod();
    let spec = pod.child("spec").unwrap();
    let containers = spec.field("containers").unwrap();
    assert_eq!(containers.strategy().unwrap().merge_key.as_deref(), Some("name"));
    assert!(containers.strategy().unwrap().merge);
    let ports = containers.schema().items().unwrap().child("ports").unwrap();
    assert_eq!(ports.list_type(), &ListType::Map(["containerPort".into(), "protocol".into()].into()));
    let deployment = Document::bundled().schema("apps", "v1", "Deployment").unwrap();
    let spec = deployment.child("spec").unwrap();
    assert!(spec.field("strategy").unwrap().strategy().unwrap().retain_keys);
    assert!(spec.child("selector").unwrap().is_atomic_map());
    let volume = Document::bundled().schema("", "v1", "PersistentVolume").unwrap();
    assert!(!volume.child("spec").unwrap().child("claimRef").unwrap().is_atomic_map());
    let metadata = sandbox(1).child("metadata").unwrap().child("finalizers").unwrap().list_type().clone();
    assert_eq!(metadata, ListType::Set);
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What kubectl looks for before it applies: a PATCH operation labelled with the kind, with `fieldValidation`
/// and `dryRun` among its parameters; and the kind's component schema, labelled too.
fn assert_appliable(document: &Value, group: &str, kind: &str) {
    let label = |node: &Value| node["group"] == group && node["kind"] == kind;
    let patch = |item: &&Value| label(&item["patch"]["x-kubernetes-group-version-kind"]);
    let item = document["paths"].as_object().unwrap().values().find(patch).expect("a patch operation");
    let parameters = item["patch"]["parameters"].as_array().unwrap();
    for name in ["fieldValidation", "dryRun", "fieldManager", "force"] {
        assert!(
            parameters.iter().any(|parameter| parameter["name"] == name && parameter["in"] == "query"),
            "{name}"
        );
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let labels = |schema: &&Value| {
        schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|labels| labels.iter().any(label))
    };
    assert!(schemas.values().any(|schema| labels(&schema)), "{kind} has no schema");
    let text = document.to_string();
    let targets: HashSet<&str> =
        text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    for target in targets {
        assert!(schemas.contains_key(target), "dangling reference to {target}");
    }
}

#[test]
fn bundled_documents_serve_what_kubectl_checks() {
    let index = parse(&openapi::v3_index(&[("agents.x-k8s.io", "v1beta1", "ABC")]));
    assert_eq!(
        index["paths"]["apis/agents.x-k8s.io/v1beta1"]["serverRelativeURL"],
        "/openapi/v3/apis/agents.x-k8s.io/v1beta1?hash=ABC"
    );
    assert!(index["paths"]["api/v1"].is_object());
    for (group, version) in openapi::groups() {
        let document = parse(&openapi::v3_group(group, version).unwrap());
        assert!(document["paths"].as_object().unwrap().len() > 1, "{group}");
    }
    let core = parse(&openapi::v3_group("", "v1").unwrap());
    assert_appliable(&core, "", "Pod");
    assert_appliable(&parse(&openapi::v3_group("apps", "v1").unwrap()), "apps", "Deployment");
    let pod = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    assert!(
        pod["properties"]["containers"]["description"].as_str().unwrap().starts_with("List of containers")
    );
    assert_eq!(openapi::v3_group("extensions", "v1beta1"), None);
}

#[test]
fn custom_documents_serve_what_kubectl_checks() {
    let document = sandbox_document();
    let custom = openapi::Custom {
        group: "agents.x-k8s.io",
        version: "v1beta1",
        kind: "Sandbox",
        list_kind: "SandboxList",
        plural: "sandboxes",
        namespaced: true,
        status: true,
        scale: false,
        schema: &document["spec"]["versions"][1]["schema"]["openAPIV3Schema"],
    };
    let served = parse(&openapi::custom_group(&[custom]));
    assert_appliable(&served, "agents.x-k8s.io", "Sandbox");
    assert!(served["components"]["schemas"]["io.x-k8s.agents.v1beta1.SandboxList"].is_object());
    let one = "/apis/agents.x-k8s.io/v1beta1/namespaces/{namespace}/sandboxes/{name}";
    assert_eq!(served["paths"][one]["get"]["operationId"], "getAgentsXK8sIoV1beta1Sandbox");
    let changed = openapi::Custom { kind: "Other", ..custom };
    assert_ne!(openapi::custom_hash(&[custom]), openapi::custom_hash(&[changed]));
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
