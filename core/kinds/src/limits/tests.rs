#![allow(clippy::needless_pass_by_value, reason = "the values of tests are literals")]

use super::*;

fn range(limit: Value) -> Value {
    json!({"spec": {"limits": [limit]}})
}

fn pod(resources: Value) -> Value {
    json!({"metadata": {}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
}

#[test]
fn defaults_are_added_where_nothing_is_said_and_told_in_an_annotation() {
    let ranges = [range(
        json!({"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}),
    )];
    let mut filled = pod(json!({"limits": {"memory": "2Gi"}}));
    fill(&ranges, &mut filled);
    assert_eq!(
        filled["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        filled["metadata"]["annotations"][ANNOTATION],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let mut own = pod(json!({"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1"}}));
    let before = own.clone();
    fill(&ranges, &mut own);
    assert_eq!(own, before);
}

/// Fact: the texts of `plugin/pkg/admission/limitranger/admission.go`, two blanks and all.
#[test]
fn what_is_outside_is_refused_in_kubernetes_words() {
    let check = |limit: Value, resources: Value| refusal(&[range(limit)], "pods", &pod(resources));
    let max = json!({"type": "Container", "max": {"cpu": "1"}});
    assert_eq!(check(max.clone(), json!({"limits": {"cpu": "1"}})), None);
    assert_eq!(
        check(max.clone(), json!({"limits": {"cpu": "2"}})).unwrap(),
        "maximum cpu usage per Container is 1, but limit is 2"
    );
    assert_eq!(
        check(max, json!({})).unwrap(),
        "maximum cpu usage per Container is 1.  No limit is specified"
    );
    let min = json!({"type": "Pod", "min": {"memory": "1Gi"}});
    assert_eq!(
        check(min.clone(), json!({"requests": {"memory": "1Mi"}})).unwrap(),
        "minimum memory usage per Pod is 1Gi, but request is 1Mi"
    );
    assert_eq!(
        check(min, json!({})).unwrap(),
        "minimum memory usage per Pod is 1Gi.  No request is specified"
    );
    let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}});
    assert_eq!(
        check(ratio.clone(), json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}})).unwrap(),
        "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000"
    );
    assert_eq!(check(ratio, json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}})), None);
    let both = json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}});
    assert_eq!(
        check(both, json!({})).unwrap(),
        "[minimum cpu usage per Container is 1.  No request is specified, maximum cpu usage per Container is 2.  No limit is specified]"
    );
    let claims = [range(json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}))];
    let claim = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        refusal(&claims, "persistentvolumeclaims", &claim).unwrap(),
        "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
    assert_eq!(refusal(&claims, "secrets", &claim), None);
}
