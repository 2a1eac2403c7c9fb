//! Each case is an object that a Kubernetes 1.36 API server refuses, with the path and the words it refuses it in.
//! Objects go through defaults and preparation first, as they do in the server.

use serde_json::{Value, json};

use crate::table::{Kind, by_kind, lookup};

mod pods;

fn kind(group: &str, name: &str) -> &'static Kind {
    by_kind(group, "v1", name).unwrap()
}

/// The errors of a create, as texts. A name and, where needed, a namespace are filled in.
fn create(group: &str, name: &str, object: &Value) -> Vec<String> {
    let kind = kind(group, name);
    let mut object = object.clone();
    complete(kind, &mut object);
    crate::default(kind, &mut object);
    crate::prepare_create(kind, &mut object);
    super::validate_create(kind, &object).iter().map(ToString::to_string).collect()
}

/// The errors of an update from one object to another.
fn update(group: &str, name: &str, old: &Value, change: impl Fn(&mut Value)) -> Vec<String> {
    let kind = kind(group, name);
    let mut old = old.clone();
    complete(kind, &mut old);
    crate::default(kind, &mut old);
    let status = old.get("status").cloned();
    crate::prepare_create(kind, &mut old);
    if let Some(status) = status {
        old["status"] = status;
    }
    let mut new = old.clone();
    change(&mut new);
    crate::default(kind, &mut new);
    crate::prepare_update(kind, None, &mut new, &old);
    super::validate_update(kind, None, &new, &old).iter().map(ToString::to_string).collect()
}

fn complete(kind: &Kind, object: &mut Value) {
    let metadata = crate::value::object(object, "metadata");
    metadata.entry("name").or_insert(json!("x"));
    if kind.namespaced {
        metadata.entry("namespace").or_insert(json!("n"));
    }
    metadata.entry("uid").or_insert(json!("u"));
}

#[test]
fn names_follow_the_rule_of_their_kind() {
    let long = "a".repeat(254);
    let too_long = format!("metadata.name: Invalid value: \"{long}\": must be no more than 253 characters");
    let rbac = "rbac.authorization.k8s.io";
    for (group, name, metadata, want) in [
        (
            "",
            "ConfigMap",
            json!({"name": ""}),
            "metadata.name: Required value: name or generateName is required",
        ),
        (
            "",
            "ConfigMap",
            json!({"name": "A"}),
            "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case \
             alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
             'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        ("", "ConfigMap", json!({"name": long}), &too_long),
        (
            "",
            "Namespace",
            json!({"name": "a.b"}),
            "metadata.name: Invalid value: \"a.b\": must not contain dots",
        ),
        ("", "ConfigMap", json!({"namespace": ""}), "metadata.namespace: Required value"),
        ("", "Node", json!({"namespace": "n"}), "metadata.namespace: Forbidden: not allowed on this type"),
        (rbac, "Role", json!({"name": "a/b"}), "metadata.name: Invalid value: \"a/b\": may not contain '/'"),
    ] {
        assert_eq!(create(group, name, &json!({"metadata": metadata})), [want]);
    }
    assert_eq!(create(rbac, "Role", &json!({"metadata": {"name": "system:x"}})), [""; 0]);
    assert_eq!(create("", "ConfigMap", &json!({"metadata": {"generateName": "x-"}})), [""; 0]);
}

#[test]
fn labels_annotations_owners_and_finalizers_are_checked() {
    for (metadata, want) in [
        (
            json!({"labels": {"a": "b c"}}),
            "metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric \
             characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
             'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        (
            json!({"annotations": {"a": "x".repeat(262_144)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ),
        (
            json!({"finalizers": ["orphan", "foregroundDeletion"]}),
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and \
             foregroundDeletion cannot be both set",
        ),
    ] {
        assert_eq!(create("", "ConfigMap", &json!({"metadata": metadata})), [want]);
    }
}

#[test]
fn metadata_that_is_set_does_not_change() {
    let errors = update("", "ConfigMap", &json!({}), |m| m["metadata"]["uid"] = json!("other"));
    // Fact (tests/differential, `update/system-fields`): for every kind, and again by the kind's own rules.
    assert_eq!(errors, ["metadata.uid: Invalid value: \"other\": field is immutable"; 2]);
    let deleted =
        json!({"metadata": {"name": "x", "namespace": "n", "deletionTimestamp": "t", "finalizers": ["a/b"]}});
    let mut new = deleted.clone();
    new["metadata"]["finalizers"] = json!(["a/b", "c/d"]);
    let errors = super::validate_update(kind("", "ConfigMap"), None, &new, &deleted);
    assert_eq!(
        errors[0].to_string(),
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
         finalizers []string{\"c/d\"}"
    );
}

#[test]
fn services() {
    let port = json!({"port": 80});
    let long = "a".repeat(64);
    for (object, want) in [
        (json!({"spec": {}}), "spec.ports: Required value".to_owned()),
        (
            json!({"metadata": {"name": long}, "spec": {"ports": [port]}}),
            format!("metadata.name: Invalid value: \"{long}\": must be no more than 63 characters"),
        ),
        (
            json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}]}}),
            "spec.ports[1].name: Required value".to_owned(),
        ),
        (
            json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}}),
            "spec.ports[1].name: Duplicate value: \"a\"".to_owned(),
        ),
        (
            json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}}),
            "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}".to_owned(),
        ),
        (
            json!({"spec": {"ports": [{"port": 70000, "targetPort": 80}]}}),
            "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive".to_owned(),
        ),
        (
            json!({"spec": {"ports": [port], "type": "Odd"}}),
            "spec.type: Unsupported value: \"Odd\": supported values: \"ClusterIP\", \"ExternalName\", \
             \"LoadBalancer\", \"NodePort\""
                .to_owned(),
        ),
        (json!({"spec": {"type": "ExternalName"}}), "spec.externalName: Required value".to_owned()),
        (
            json!({"spec": {"ports": [{"port": 80, "nodePort": 30000}]}}),
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'".to_owned(),
        ),
        (
            json!({"spec": {"ports": [port], "clusterIP": "x"}}),
            "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                .to_owned(),
        ),
    ] {
        assert_eq!(create("", "Service", &object), [want]);
    }
    assert_eq!(
        create("", "Service", &json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}})),
        [""; 0]
    );
    let old = json!({"spec": {"ports": [port], "clusterIP": "10.0.0.1"}});
    let errors = update("", "Service", &old, |s| {
        s["spec"]["clusterIP"] = json!("10.0.0.2");
        s["spec"]["clusterIPs"] = json!(["10.0.0.2"]);
    });
    assert_eq!(errors, ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]);
}

fn claim() -> Value {
    json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

#[test]
fn claims() {
    for (object, want) in [
        (
            json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}),
            "spec.accessModes: Required value: at least 1 access mode is required",
        ),
        (json!({"spec": {"accessModes": ["ReadWriteOnce"]}}), "spec.resources[storage]: Required value"),
        (
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0"}}}}),
            "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
        ),
        (
            json!({"spec": {"accessModes": ["Some"], "resources": {"requests": {"storage": "1"}}}}),
            "spec.accessModes: Unsupported value: \"Some\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \
             \"ReadWriteOnce\", \"ReadWriteOncePod\"",
        ),
    ] {
        assert_eq!(create("", "PersistentVolumeClaim", &object), [want]);
    }
    let bind = |c: &mut Value| c["spec"]["volumeName"] = json!("v");
    assert_eq!(update("", "PersistentVolumeClaim", &claim(), bind), [""; 0]);
    let errors = update("", "PersistentVolumeClaim", &claim(), |c| {
        c["spec"]["accessModes"] = json!(["ReadWriteMany"])
    });
    assert_eq!(
        errors,
        [
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName \
          for bound claims\nspec.accessModes[0]: \"ReadWriteOnce\" -> \"ReadWriteMany\""
        ]
    );
    let mut bound = claim();
    bound["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
    let size =
        |size: &'static str| move |c: &mut Value| c["spec"]["resources"]["requests"]["storage"] = json!(size);
    assert_eq!(update("", "PersistentVolumeClaim", &bound, size("2Gi")), [""; 0]);
    assert_eq!(
        update("", "PersistentVolumeClaim", &bound, size("500Mi")),
        ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
    );
}

#[test]
fn volumes_and_classes() {
    let volume = json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}});
    assert_eq!(create("", "PersistentVolume", &volume), ["spec: Required value: must specify a volume type"]);
    let mut local = volume;
    local["spec"]["local"] = json!({"path": "/x"});
    assert_eq!(
        create("", "PersistentVolume", &local),
        ["spec.nodeAffinity: Required value: Local volume requires node affinity"]
    );
    local["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": []}});
    assert_eq!(create("", "PersistentVolume", &local), [""; 0]);
    assert_eq!(
        update("", "PersistentVolume", &local, |v| v["spec"]["local"]["path"] = json!("/y")),
        ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"]
    );
    assert_eq!(create("storage.k8s.io", "StorageClass", &json!({})), ["provisioner: Required value"]);
}

#[test]
fn config_maps_and_secrets() {
    let big = "x".repeat(1_048_577);
    for (name, object, want) in [
        (
            "ConfigMap",
            json!({"data": {"a b": ""}}),
            "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' \
             or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
        ("ConfigMap", json!({"data": {"a": big}}), "[]: Too long: may not be more than 1048576 bytes"),
        (
            "ConfigMap",
            json!({"data": {"a": ""}, "binaryData": {"a": ""}}),
            "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
        ),
        ("Secret", json!({"stringData": {"a": big}}), "data: Too long: may not be more than 1048576 bytes"),
        (
            "Secret",
            json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            "data[tls.key]: Required value",
        ),
    ] {
        assert_eq!(create("", name, &object), [want]);
    }
    let frozen = json!({"data": {"a": "1"}, "immutable": true});
    assert_eq!(
        update("", "ConfigMap", &frozen, |m| m["data"]["a"] = json!("2")),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    assert_eq!(
        update("", "Secret", &json!({}), |s| s["type"] = json!("other")),
        ["type: Invalid value: \"other\": field is immutable"]
    );
}

#[test]
fn runtime_classes_and_policies() {
    assert_eq!(create("node.k8s.io", "RuntimeClass", &json!({})), ["handler: Required value"]);
    assert_eq!(create("node.k8s.io", "RuntimeClass", &json!({"handler": "runsc"})), [""; 0]);
    assert_eq!(
        update("node.k8s.io", "RuntimeClass", &json!({"handler": "a"}), |c| c["handler"] = json!("b")),
        ["handler: Invalid value: \"b\": field is immutable"]
    );
    let rule = |rule: Value| json!({"spec": {"podSelector": {}, "ingress": [rule]}});
    for (object, want) in [
        (rule(json!({"from": [{}]})), "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            rule(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]})),
            "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. \
             10.9.8.0/24 or 2001:db8::/64)",
        ),
        (
            rule(json!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]})),
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of \
             `cidr`",
        ),
        (
            rule(json!({"ports": [{"port": 80, "endPort": 70}]})),
            "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        ),
        (
            json!({"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}),
            "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or \
             'NotIn'",
        ),
    ] {
        assert_eq!(create("networking.k8s.io", "NetworkPolicy", &object), [want]);
    }
    let good = rule(json!({"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}));
    assert_eq!(create("networking.k8s.io", "NetworkPolicy", &good), [""; 0]);
}

fn deployment() -> Value {
    json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
           "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[test]
fn deployments_and_jobs() {
    assert_eq!(create("apps", "Deployment", &deployment()), [""; 0]);
    let mut other = deployment();
    other["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    assert_eq!(
        create("apps", "Deployment", &other),
        [
            "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"
        ]
    );
    assert_eq!(
        update("apps", "Deployment", &deployment(), |d| {
            d["spec"]["selector"]["matchLabels"] = json!({"a": "b", "c": "d"});
            d["spec"]["template"]["metadata"]["labels"] = json!({"a": "b", "c": "d"});
        }),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}: field is immutable"]
    );
    let mut both_zero = deployment();
    both_zero["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}});
    assert_eq!(
        create("apps", "Deployment", &both_zero),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
    let template = |policy: Value| json!({"spec": {"template": {"spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]}}}});
    assert_eq!(
        create("batch", "Job", &template(Value::Null)),
        ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
    );
    assert_eq!(create("batch", "Job", &template(json!("Never"))), [""; 0]);
    let errors = update("batch", "Job", &template(json!("Never")), |j| j["spec"]["completions"] = json!(2));
    assert_eq!(errors, ["spec.completions: Invalid value: 2: field is immutable"]);
    for field in ["successPolicy", "managedBy"] {
        let errors = update("batch", "Job", &template(json!("Never")), |j| j["spec"][field] = json!("x"));
        assert_eq!(errors, [format!("spec.{field}: Invalid value: \"x\": field is immutable")]);
    }
    let mut indexed = template(json!("Never"));
    indexed["spec"]["completionMode"] = json!("Indexed");
    (indexed["spec"]["completions"], indexed["spec"]["parallelism"]) = (json!(200_000), json!(100_001));
    assert_eq!(
        create("batch", "Job", &indexed),
        [
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed"
        ]
    );
    let suspend = |j: &mut Value| j["spec"]["suspend"] = json!(true);
    assert_eq!(update("batch", "Job", &template(json!("Never")), suspend), [""; 0]);
}

#[test]
fn roles_and_bindings() {
    let group = "rbac.authorization.k8s.io";
    assert_eq!(
        create(group, "Role", &json!({"rules": [{"apiGroups": [""], "resources": ["pods"]}]})),
        ["rules[0].verbs: Required value: verbs must contain at least one value"]
    );
    let binding = |role: Value, subject: Value| json!({"roleRef": role, "subjects": [subject]});
    let good = json!({"kind": "ClusterRole", "name": "r"});
    assert_eq!(
        create(group, "RoleBinding", &binding(good.clone(), json!({"kind": "User", "name": "u"}))),
        [""; 0]
    );
    assert_eq!(
        create(group, "RoleBinding", &binding(good.clone(), json!({"kind": "Robot", "name": "u"}))),
        [
            "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\""
        ]
    );
    assert_eq!(
        create(
            group,
            "ClusterRoleBinding",
            &binding(good.clone(), json!({"kind": "ServiceAccount", "name": "s"}))
        ),
        ["subjects[0].namespace: Required value"]
    );
    let errors =
        update(group, "RoleBinding", &json!({"roleRef": good}), |b| b["roleRef"]["name"] = json!("s"));
    assert!(errors[0].ends_with(": cannot change roleRef"), "{errors:?}");
}

#[test]
fn limits_and_priorities() {
    let range =
        json!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}});
    let errors = create("", "LimitRange", &range);
    assert_eq!(
        errors,
        [
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request \
             value 1",
            "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
        ]
    );
    assert_eq!(
        create("scheduling.k8s.io", "PriorityClass", &json!({"value": 2_000_000_000})),
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
    );
    assert_eq!(
        create("coordination.k8s.io", "Lease", &json!({"spec": {"leaseDurationSeconds": 0}})),
        ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
    );
}

#[test]
fn crds() {
    let crd = json!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {}}}]}});
    let group = "apiextensions.k8s.io";
    assert_eq!(create(group, "CustomResourceDefinition", &crd), [""; 0]);
    let changed = |pointer: &str, value: Value| {
        let mut crd = crd.clone();
        *crd.pointer_mut(pointer).unwrap() = value;
        create(group, "CustomResourceDefinition", &crd)
    };
    assert_eq!(
        changed("/metadata/name", json!("thing")),
        ["metadata.name: Invalid value: \"thing\": must be spec.names.plural+\".\"+spec.group"]
    );
    assert_eq!(
        changed("/spec/scope", json!("World")),
        ["spec.scope: Unsupported value: \"World\": supported values: \"Cluster\", \"Namespaced\""]
    );
    assert_eq!(
        changed("/spec/versions/0/storage", json!(false)),
        ["spec.versions: Invalid value: [\"v1\"]: must have exactly one version marked as storage version"]
    );
    assert_eq!(
        changed("/spec/versions/0/schema", json!({})),
        ["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"]
    );
}

#[test]
fn custom_kinds_have_their_metadata_checked() {
    let kind = lookup("agents.x-k8s.io", "v1beta1", "sandboxes").unwrap();
    let long = "a".repeat(70);
    let object = json!({"metadata": {"name": long, "namespace": "n"}, "spec": {}});
    assert!(super::validate_create(kind, &object).is_empty());
    let bad = json!({"metadata": {"name": "a_b", "namespace": "n"}});
    assert_eq!(super::validate_create(kind, &bad).len(), 1);
}

#[test]
fn objects_of_the_wrong_shape_do_not_panic() {
    let objects = [
        json!(null),
        json!({}),
        json!({"metadata": 1, "spec": [], "status": "x", "data": 1, "rules": [1]}),
        json!({"spec": {"containers": ["x", {"env": [1], "ports": [{}], "volumeMounts": [null], "livenessProbe": 1}],
               "volumes": [1, {"projected": 1}], "ports": [null], "template": 1, "limits": [1], "ingress": [1]}}),
    ];
    for kind in crate::table() {
        for new in &objects {
            super::validate_create(kind, new);
            for old in &objects {
                super::validate_update(kind, None, new, old);
                super::validate_update(kind, Some("status"), new, old);
            }
        }
    }
}
