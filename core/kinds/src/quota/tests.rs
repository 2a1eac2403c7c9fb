#![allow(clippy::needless_pass_by_value, reason = "the values of tests are literals")]

use super::*;
use serde_json::json;

fn quota(hard: Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})
}

fn pod(requests: Value, limits: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests, "limits": limits}}]}})
}

fn list(list: Value) -> Amounts {
    amounts(&json!({"a": list}), "/a")
}

/// Fact: the message of `plugin/pkg/admission/resourcequota/controller.go`; only what is exceeded is named.
#[test]
fn a_full_quota_is_told_as_kubernetes_tells_it() {
    let quota = quota(json!({"pods": "1", "requests.cpu": "1", "requests.memory": "1Gi"}));
    let asked = usage("", "pods", &pod(json!({"cpu": "600m", "memory": "1Mi"}), json!({})));
    assert_eq!(refusal(&quota, &Amounts::new(), &asked), None);
    assert_eq!(
        refusal(&quota, &list(json!({"pods": "1", "requests.cpu": "500m"})), &asked).unwrap(),
        "exceeded quota: q, requested: pods=1,requests.cpu=600m, used: pods=1,requests.cpu=500m, \
         limited: pods=1,requests.cpu=1"
    );
}

#[test]
fn each_container_must_name_what_is_limited() {
    let quota = quota(json!({"limits.cpu": "1", "memory": "1Gi", "pods": "3"}));
    let named = pod(json!({"memory": "1Mi"}), json!({"cpu": "1"}));
    assert_eq!(unnamed(&quota, &named), None);
    assert_eq!(
        unnamed(&quota, &pod(json!({}), json!({}))).unwrap(),
        "failed quota: q: must specify limits.cpu for: c; memory for: c"
    );
}

#[test]
fn what_an_object_uses_has_kubernetes_names() {
    let used = usage("", "pods", &pod(json!({"cpu": "1", "example.com/gpu": "2"}), json!({"memory": "1Gi"})));
    assert_eq!(
        used,
        list(json!({"count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1",
            "requests.example.com/gpu": "2", "limits.memory": "1Gi"}))
    );
    let over = json!({"spec": {"containers": []}, "status": {"phase": "Failed"}});
    assert_eq!(usage("", "pods", &over), list(json!({"count/pods": "1"})));
    let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        usage("", "persistentvolumeclaims", &claim),
        list(
            json!({"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2Gi",
            "fast.storageclass.storage.k8s.io/requests.storage": "2Gi",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1"})
        )
    );
    assert_eq!(
        usage("agents.x-k8s.io", "sandboxes", &json!({})),
        list(json!({"count/sandboxes.agents.x-k8s.io": "1"}))
    );
    for (object, group, plural) in
        [(&claim, "", "persistentvolumeclaims"), (&over, "", "pods"), (&over, "a.b", "cs")]
    {
        assert!(usage(group, plural, object).keys().all(|name| provides(group, plural, name)));
    }
    assert!(!provides("", "pods", "requests.storage"));
}

#[test]
fn scopes_choose_pods() {
    let best_effort = pod(json!({}), json!({}));
    let mut bounded = pod(json!({"cpu": "1"}), json!({}));
    bounded["spec"]["activeDeadlineSeconds"] = json!(5);
    let check = |scopes: &[&str], object: &Value| {
        let mut quota = quota(json!({"pods": "1"}));
        quota["spec"]["scopes"] = json!(scopes);
        covers(&quota, "", "pods", object)
    };
    assert!(check(&[], &best_effort));
    assert!(check(&["BestEffort", "NotTerminating"], &best_effort));
    assert!(!check(&["BestEffort", "Terminating"], &best_effort));
    assert!(check(&["NotBestEffort", "Terminating"], &bounded));
    let mut classes = quota(json!({"pods": "1"}));
    classes["spec"]["scopeSelector"] =
        json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    assert!(!covers(&classes, "", "pods", &best_effort));
    assert!(!covers(&classes, "", "secrets", &json!({})), "scopes are about pods");
    bounded["spec"]["priorityClassName"] = json!("high");
    assert!(covers(&classes, "", "pods", &bounded));
}
