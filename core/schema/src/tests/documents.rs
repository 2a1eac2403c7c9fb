//! The published documents: what kubectl reads in them.

use super::*;

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
