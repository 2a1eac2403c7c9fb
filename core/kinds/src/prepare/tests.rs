//! The facts are those of the registry strategies of Kubernetes 1.36 (`pkg/registry/*/*/strategy.go`).

use serde_json::{Value, json};

use super::*;
use crate::table::{by_kind, lookup};

fn created(group: &str, kind: &str, object: &Value) -> Value {
    let kind = by_kind(group, "v1", kind).unwrap();
    let mut object = object.clone();
    crate::default(kind, &mut object);
    prepare_create(kind, &mut object);
    object
}

fn updated(
    group: &str,
    kind: &str,
    subresource: Option<&str>,
    old: &Value,
    change: impl Fn(&mut Value),
) -> Value {
    let kind = by_kind(group, "v1", kind).unwrap();
    let mut new = old.clone();
    change(&mut new);
    prepare_update(kind, subresource, &mut new, old);
    new
}

fn pod() -> Value {
    json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "deletionTimestamp": "x", "generation": 7},
           "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Running"}})
}

#[test]
fn a_new_pod_is_pending_and_admitted() {
    let pod = created("", "Pod", &pod());
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(pod["metadata"], json!({"name": "p", "namespace": "n", "uid": "u", "generation": 1}));
    let spec = &pod["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    assert_eq!(
        spec["tolerations"],
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
             "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
             "tolerationSeconds": 300}])
    );
}

#[test]
fn a_pod_that_tolerates_everything_gets_no_more_tolerations() {
    let mut object = pod();
    object["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    assert_eq!(created("", "Pod", &object)["spec"]["tolerations"], json!([{"operator": "Exists"}]));
}

#[test]
fn quality_follows_requests_and_limits() {
    let with = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
    let all = json!({"cpu": "1", "memory": "1Gi"});
    for (resources, want) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": all, "requests": all}), "Guaranteed"),
        (json!({"limits": all, "requests": {"cpu": "500m", "memory": "1Gi"}}), "Burstable"),
    ] {
        assert_eq!(qos_class(&with(resources)), want);
    }
}

#[test]
fn the_main_resource_does_not_write_status_and_the_status_resource_nothing_else() {
    let old = created("", "Pod", &pod());
    let new = updated("", "Pod", None, &old, |p| {
        p["status"]["phase"] = json!("Running");
        p["spec"]["activeDeadlineSeconds"] = json!(5);
        p["metadata"].as_object_mut().unwrap().remove("uid");
    });
    assert_eq!((&new["status"], &new["metadata"]["uid"]), (&old["status"], &json!("u")));
    assert_eq!(new["metadata"]["generation"], 2);
    let new = updated("", "Pod", Some("status"), &old, |p| {
        p["status"] = json!({"phase": "Running", "podIP": "10.0.0.1"});
        p["spec"] = json!({});
        p["metadata"]["labels"] = json!({"a": "b"});
        p["metadata"]["ownerReferences"] = json!([{"uid": "x"}]);
    });
    assert_eq!((&new["spec"], &new["metadata"]["generation"]), (&old["spec"], &json!(1)));
    assert_eq!(
        new["status"],
        json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "qosClass": "BestEffort"})
    );
    assert_eq!(
        (new["metadata"].get("ownerReferences"), &new["metadata"]["labels"]["a"]),
        (None, &json!("b"))
    );
}

#[test]
fn generation_counts_changes_of_the_spec_only() {
    let sandboxes = lookup("agents.x-k8s.io", "v1beta1", "sandboxes").unwrap();
    let mut old = json!({"metadata": {"name": "s"}, "spec": {"a": 1}, "status": {"x": 1}});
    prepare_create(sandboxes, &mut old);
    assert_eq!(old, json!({"metadata": {"name": "s", "generation": 1}, "spec": {"a": 1}}));
    for (subresource, change, want) in [
        (None, json!({"metadata": {"name": "s", "labels": {"l": "v"}}, "spec": {"a": 1}}), 1),
        (None, json!({"metadata": {"name": "s"}, "spec": {"a": 1, "list": [], "map": {}}}), 1),
        (None, json!({"metadata": {"name": "s"}, "spec": {"a": 2}, "status": {"y": 1}}), 2),
        (Some("status"), json!({"metadata": {"name": "s"}, "spec": {"a": 3}, "status": {"y": 1}}), 1),
    ] {
        let mut new = change;
        prepare_update(sandboxes, subresource, &mut new, &old);
        assert_eq!(new["metadata"]["generation"], want, "{new}");
    }
}

#[test]
fn a_custom_status_update_keeps_all_metadata_but_managers() {
    let sandboxes = lookup("agents.x-k8s.io", "v1beta1", "sandboxes").unwrap();
    let old = json!({"metadata": {"name": "s", "generation": 3, "labels": {"a": "b"}}, "spec": {"a": 1}});
    let mut new = json!({"metadata": {"name": "s", "resourceVersion": "5", "labels": {"c": "d"}, "managedFields": []},
                         "status": {"ok": true}});
    prepare_update(sandboxes, Some("status"), &mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"name": "s", "generation": 3, "labels": {"a": "b"}, "managedFields": [],
                            "resourceVersion": "5"}, "spec": {"a": 1}, "status": {"ok": true}})
    );
}

#[test]
fn namespaces_keep_their_finalizers_except_through_finalize() {
    let old = created("", "Namespace", &json!({"metadata": {"name": "n"}}));
    assert_eq!(
        (&old["spec"], &old["status"]),
        (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"}))
    );
    let clear = |n: &mut Value| n["spec"]["finalizers"] = json!([]);
    assert_eq!(updated("", "Namespace", None, &old, clear)["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(updated("", "Namespace", Some("finalize"), &old, clear)["spec"]["finalizers"], json!([]));
}

#[test]
fn services_get_families_and_keep_their_address() {
    let headless = created("", "Service", &json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}}));
    let spec = &headless["spec"];
    assert_eq!((&spec["clusterIPs"], &spec["ipFamilies"]), (&json!(["None"]), &json!(["IPv4"])));
    assert_eq!(spec["ipFamilyPolicy"], "SingleStack");
    let loose = created("", "Service", &json!({"spec": {"clusterIP": "None"}}));
    assert_eq!(loose["spec"]["ipFamilyPolicy"], "RequireDualStack");
    let mut plain =
        created("", "Service", &json!({"metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}}}));
    assert_eq!((plain["spec"].get("clusterIP"), &plain["status"]), (None, &json!({"loadBalancer": {}})));
    plain["spec"]["clusterIP"] = json!("10.0.0.9");
    plain["spec"]["clusterIPs"] = json!(["10.0.0.9"]);
    let new = updated("", "Service", None, &plain, |s| {
        s["spec"] = json!({"type": "ClusterIP", "selector": {"a": "c"}});
    });
    assert_eq!(
        (&new["spec"]["clusterIP"], &new["spec"]["ipFamilies"]),
        (&json!("10.0.0.9"), &json!(["IPv4"]))
    );
    assert_eq!(new["metadata"].get("generation"), None);
}

#[test]
fn jobs_select_their_pods_by_uid() {
    let job =
        created("batch", "Job", &json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}));
    let spec = &job["spec"];
    assert_eq!(spec["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(spec["template"]["metadata"]["labels"]["job-name"], "j");
}

#[test]
fn crds_remember_the_versions_they_were_stored_in() {
    let crd = |stored: &str| {
        json!({"metadata": {"name": "c"}, "spec": {"versions": [
            {"name": "v1", "storage": stored == "v1"}, {"name": "v2", "storage": stored == "v2"}]}})
    };
    let old = created("apiextensions.k8s.io", "CustomResourceDefinition", &crd("v1"));
    let new = updated("apiextensions.k8s.io", "CustomResourceDefinition", None, &old, |c| {
        c["spec"] = crd("v2")["spec"].clone();
    });
    assert_eq!(new["status"]["storedVersions"], json!(["v1", "v2"]));
    assert_eq!(new["metadata"]["generation"], 2);
}

#[test]
fn a_pod_off_any_node_or_finished_has_no_grace() {
    let pod = |node: &str, phase: &str| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
    for (pod, asked, want) in [
        (pod("n", "Running"), None, 30),
        (pod("n", "Running"), Some(5), 5),
        (pod("", "Pending"), None, 0),
        (pod("n", "Succeeded"), Some(5), 0),
        (pod("n", "Running"), Some(-1), 1),
    ] {
        assert_eq!(super::grace_period(&pod, asked), want);
    }
}
