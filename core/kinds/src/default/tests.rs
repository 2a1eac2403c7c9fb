//! What a real API server gives back for small objects (`pkg/apis/*/v1/defaults.go` of Kubernetes 1.36).

use serde_json::{Value, json};

use crate::table::by_kind;

fn defaulted(group: &str, kind: &str, mut object: Value) -> Value {
    let version = "v1";
    let kind = by_kind(group, version, kind).unwrap();
    super::default(kind, &mut object);
    let once = object.clone();
    super::default(kind, &mut object);
    assert_eq!(once, object, "defaults are idempotent");
    object
}

#[test]
fn a_small_pod_gets_every_default() {
    let pod = json!({"metadata": {"name": "p", "creationTimestamp": null},
                     "spec": {"containers": [{"name": "c", "image": "img:1", "ports": [{"containerPort": 80}],
                              "readinessProbe": {"httpGet": {"port": 80}},
                              "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]}});
    let want = json!({
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{
                "name": "c", "image": "img:1", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                                   "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
            }],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {}, "enableServiceLinks": true,
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler"
        }
    });
    assert_eq!(defaulted("", "Pod", pod), want);
}

#[test]
fn the_pull_policy_follows_the_tag() {
    for (image, want) in [
        ("busybox", "Always"),
        ("busybox:latest", "Always"),
        ("busybox:1.36", "IfNotPresent"),
        ("host:5000/a/busybox", "Always"),
        ("host:5000/a/busybox:1", "IfNotPresent"),
        ("busybox@sha256:abc", "IfNotPresent"),
        ("busybox:latest@sha256:abc", "Always"),
    ] {
        assert_eq!(super::container::pull_policy(image), want, "{image}");
    }
}

#[test]
fn volumes_get_their_source_and_modes() {
    let pod = json!({"spec": {"containers": [], "volumes": [
        {"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}, {"name": "c", "configMap": {"defaultMode": 0}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}},
            {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
        {"name": "e", "emptyDir": {"sizeLimit": "1024Mi"}}]}});
    let pod = defaulted("", "Pod", pod);
    let want = json!([
        {"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "c", "configMap": {"defaultMode": 0}},
        {"name": "d", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
            {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}]}}]}},
        {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}}]);
    assert_eq!(pod["spec"]["volumes"], want);
}

#[test]
fn services_get_type_affinity_and_target_ports() {
    let service =
        json!({"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "web", "protocol": "UDP"}]}});
    let want = json!({"spec": {
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80},
                  {"port": 81, "targetPort": "web", "protocol": "UDP"}],
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}});
    assert_eq!(defaulted("", "Service", service), want);
    let sticky =
        defaulted("", "Service", json!({"spec": {"sessionAffinity": "ClientIP", "type": "NodePort"}}));
    assert_eq!(sticky["spec"]["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(sticky["spec"]["externalTrafficPolicy"], "Cluster");
}

#[test]
fn storage_kinds_get_mode_phase_and_policy() {
    let claim = json!({"spec": {"resources": {"requests": {"storage": "1024Mi"}}}});
    assert_eq!(
        defaulted("", "PersistentVolumeClaim", claim),
        json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"},
               "status": {"phase": "Pending"}})
    );
    let volume = defaulted("", "PersistentVolume", json!({"spec": {}}));
    assert_eq!(
        volume["spec"],
        json!({"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    );
    let class = defaulted("storage.k8s.io", "StorageClass", json!({}));
    assert_eq!(class, json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}));
}

#[test]
fn string_data_becomes_data() {
    let secret =
        json!({"data": {"b": "AA=="}, "stringData": {"a": "", "b": "x", "c": "xy", "d": "xyz", "e": "wxyz"}});
    let want =
        json!({"type": "Opaque", "data": {"a": "", "b": "eA==", "c": "eHk=", "d": "eHl6", "e": "d3h5eg=="}});
    assert_eq!(defaulted("", "Secret", secret), want);
}

#[test]
fn small_kinds_get_their_defaults() {
    let namespace = defaulted("", "Namespace", json!({"metadata": {"name": "n"}}));
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(namespace["status"]["phase"], "Active");
    assert_eq!(defaulted("", "Secret", json!({}))["type"], "Opaque");
    let policy =
        defaulted("networking.k8s.io", "NetworkPolicy", json!({"spec": {"egress": [{"ports": [{}]}]}}));
    assert_eq!(
        policy["spec"],
        json!({"egress": [{"ports": [{"protocol": "TCP"}]}], "podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    );
    let range =
        json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]}});
    assert_eq!(
        defaulted("", "LimitRange", range)["spec"]["limits"][0],
        json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}, "default": {"cpu": "2"},
               "defaultRequest": {"cpu": "2", "memory": "1Mi"}})
    );
    let binding = json!({"roleRef": {"kind": "Role", "name": "r"},
                         "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]});
    let binding = defaulted("rbac.authorization.k8s.io", "RoleBinding", binding);
    assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][1].get("apiGroup"), None);
}

#[test]
fn workloads_get_strategy_and_template_defaults() {
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = defaulted("apps", "Deployment", json!({"spec": {"template": template}}));
    let spec = &deployment["spec"];
    assert_eq!(
        (&spec["replicas"], &spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]),
        (&json!(1), &json!(10), &json!(600))
    );
    let rolling =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
    assert_eq!(spec["strategy"], rolling);
    assert_eq!(spec["template"]["spec"]["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(spec["template"]["spec"].get("enableServiceLinks"), None);
    let job = defaulted("batch", "Job", json!({"metadata": {"name": "j"}, "spec": {"template": template}}));
    assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
}

#[test]
fn objects_of_the_wrong_shape_do_not_panic() {
    for kind in crate::table() {
        for mut object in [
            json!(null),
            json!([]),
            json!({}),
            json!({"metadata": 1, "spec": [], "status": "x", "roleRef": 1}),
            json!({"spec": {"containers": ["x"], "volumes": [1], "ports": [null], "template": 1, "limits": [1]}}),
            json!({"spec": {"template": {"spec": {"containers": [1, {"env": [1], "ports": [1]}]}}, "strategy": 1}}),
        ] {
            super::default(kind, &mut object);
        }
    }
}
