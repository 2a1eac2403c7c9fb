//! Facts: `ConfirmNoEscalation` and its words.

use serde_json::{Value, json};

use super::*;
use crate::{Objects, Plural};

fn policy() -> Policy {
    let mut objects = Objects::default();
    let role = json!({"rules": [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "secrets"]},
        {"verbs": ["create"], "apiGroups": [crate::GROUP], "resources": ["roles"]},
    ]});
    objects.put(Plural::Roles, "team", "own", &role);
    let everything = json!({"rules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]});
    objects.put(Plural::ClusterRoles, "", "all", &everything);
    let bind = |kind: &str, role: &str, user: &str| json!({"roleRef": {"kind": kind, "name": role}, "subjects": [{"kind": "User", "name": user}]});
    objects.put(Plural::RoleBindings, "team", "b", &bind("Role", "own", "jane"));
    objects.put(Plural::ClusterRoleBindings, "", "root", &bind("ClusterRole", "all", "root"));
    objects.policy()
}

fn rule(value: &Value) -> Rule {
    Rule::read(value)
}

#[test]
fn what_is_held_may_be_given_and_the_rest_is_named() {
    let (policy, groups) = (policy(), ["a".to_owned(), "system:authenticated".to_owned()]);
    let jane = Who { name: "jane", groups: &groups };
    let held =
        rule(&json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"]}));
    assert_eq!(policy.may_grant(&jane, "team", std::slice::from_ref(&held)), Ok(()));
    assert!(policy.may_grant(&jane, "other", &[held]).is_err());
    let more = rule(
        &json!({"verbs": ["list", "delete", "watch"], "apiGroups": [""], "resources": ["pods", "nodes"]}),
    );
    let refused = policy.may_grant(&jane, "team", &[more]).unwrap_err();
    let want = "user \"jane\" (groups=[\"a\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently \
                held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"list\" \"delete\" \"watch\"]}\n\
                {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"watch\"]}";
    assert_eq!(refused, want);
}

#[test]
fn paths_are_given_by_those_who_may_read_them() {
    let policy = policy();
    let metrics = rule(&json!({"verbs": ["get"], "nonResourceURLs": ["/metrics"]}));
    let ask = |name| policy.may_grant(&Who { name, groups: &[] }, "", std::slice::from_ref(&metrics));
    assert!(ask("root").is_ok());
    assert!(ask("jane").unwrap_err().ends_with("{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"));
}

#[test]
fn only_who_may_do_everything_writes_aggregation_rules() {
    let policy = policy();
    assert!(policy.has_full_authority(&Who { name: "root", groups: &[] }));
    assert!(!policy.has_full_authority(&Who { name: "jane", groups: &[] }));
}
