//! Matching is that of Kubernetes' `evaluation_helpers.go`.

use serde_json::json;

use super::*;

fn allows(rule: &Value, verb: &str, resource: Resource<'_>) -> bool {
    Rule::read(rule).allows(&Request::on(verb, resource))
}

fn pods<'a>(subresource: &'a str, name: &'a str) -> Resource<'a> {
    Resource { resource: "pods", subresource, namespace: "n", name, ..Resource::default() }
}

#[test]
fn a_rule_is_about_what_it_names_and_not_about_what_hangs_below() {
    let rule = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    assert!(allows(&rule, "get", pods("", "")));
    assert!(!allows(&rule, "list", pods("", "")));
    assert!(!allows(&rule, "get", pods("log", "")));
    let other = Resource { resource: "podsets", ..Resource::default() };
    assert!(!allows(&rule, "get", other));
    assert!(!allows(&rule, "get", Resource { group: "apps", ..pods("", "") }));
}

#[test]
fn stars_stand_for_verbs_groups_resources_and_subresources() {
    let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    assert!(allows(
        &all,
        "escalate",
        Resource { group: "x", resource: "y", subresource: "z", ..pods("", "") }
    ));
    let below = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log", "nodes/*"]});
    assert!(allows(&below, "get", pods("log", "")));
    assert!(!allows(&below, "get", pods("", "")));
    // Fact: only `*/x` is a pattern; `nodes/*` names a subresource called `*`.
    let node = Resource { resource: "nodes", subresource: "proxy", ..Resource::default() };
    assert!(!allows(&below, "get", node));
}

#[test]
fn names_limit_a_rule_and_a_request_without_a_name_is_not_among_them() {
    let rule =
        json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]});
    assert!(allows(&rule, "get", pods("", "a")));
    assert!(!allows(&rule, "get", pods("", "b")));
    assert!(!allows(&rule, "list", pods("", "")));
}

#[test]
fn paths_match_whole_or_by_a_star_at_the_end() {
    let rule = Rule::read(&json!({"verbs": ["get"], "nonResourceURLs": ["/version", "/openapi/*"]}));
    for (path, want) in
        [("/version", true), ("/version/", false), ("/openapi/v3", true), ("/openapi", false), ("/", false)]
    {
        assert_eq!(rule.allows(&Request::path("get", path)), want, "{path}");
    }
    assert!(!rule.allows(&Request::path("post", "/version")));
    assert!(!rule.allows(&Request::on("get", pods("", ""))));
}

#[test]
fn a_rule_covers_its_parts() {
    let own =
        Rule::read(&json!({"verbs": ["get", "list"], "apiGroups": ["*"], "resources": ["pods", "*/scale"]}));
    let part = |verb: &str, resource: &str, names: &[&str]| {
        Rule::read(
            &json!({"verbs": [verb], "apiGroups": ["apps"], "resources": [resource], "resourceNames": names}),
        )
    };
    assert!(own.covers(&part("get", "pods", &[])));
    assert!(own.covers(&part("get", "pods", &["a"])));
    assert!(own.covers(&part("list", "deployments/scale", &[])));
    assert!(!own.covers(&part("watch", "pods", &[])));
    assert!(!own.covers(&part("get", "*", &[])), "everything is more than pods");
    let named = Rule { names: vec!["a".to_owned()], ..own };
    assert!(named.covers(&part("get", "pods", &["a"])));
    assert!(!named.covers(&part("get", "pods", &[])), "all names are more than one");
}

#[test]
fn rules_are_shown_as_go_prints_them() {
    let rule = Rule::read(&json!({"verbs": ["get", "*"], "apiGroups": [""], "resources": ["pods"]}));
    assert_eq!(rule.to_string(), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "*"]}"#);
    assert_eq!(Rule::read(&rule.to_value()), rule);
}
