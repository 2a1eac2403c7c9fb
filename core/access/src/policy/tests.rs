//! Facts: texts and order are those of Kubernetes' RBAC authorizer (`rbac.go`, `rule.go`).

use serde_json::{Value, json};

use super::*;
use crate::{Plural, Resource};

fn binding(kind: &str, role: &str, subject: &Value) -> Value {
    json!({"roleRef": {"apiGroup": crate::GROUP, "kind": kind, "name": role}, "subjects": [subject]})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "apiGroup": crate::GROUP, "name": name})
}

fn world() -> Objects {
    let mut objects = Objects::default();
    let reads = json!({"rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]});
    objects.put(Plural::ClusterRoles, "", "reader", &reads);
    objects.put(Plural::Roles, "team", "reader", &reads);
    objects.put(Plural::RoleBindings, "team", "jane", &binding("ClusterRole", "reader", &user("jane")));
    objects.put(
        Plural::ClusterRoleBindings,
        "",
        "auditors",
        &binding("ClusterRole", "reader", &json!({"kind": "Group", "name": "auditors"})),
    );
    let account = json!({"kind": "ServiceAccount", "name": "bot"});
    objects.put(Plural::RoleBindings, "team", "bot", &binding("Role", "reader", &account));
    objects
}

fn list_pods(namespace: &str) -> Request<'_> {
    Request::on("list", Resource { resource: "pods", namespace, ..Resource::default() })
}

fn ask(objects: &Objects, name: &str, groups: &[&str], namespace: &str) -> (bool, String) {
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    let policy = objects.policy();
    let who = Who { name, groups: &groups };
    let decision = policy.decide(&who, &list_pods(namespace));
    (decision.is_allowed(), decision.reason())
}

#[test]
fn a_role_binding_gives_its_role_in_its_namespace_only() {
    let objects = world();
    let why = r#"RBAC: allowed by RoleBinding "jane/team" of ClusterRole "reader" to User "jane""#;
    assert_eq!(ask(&objects, "jane", &[], "team"), (true, why.to_owned()));
    assert_eq!(ask(&objects, "jane", &[], "other"), (false, String::new()));
    assert_eq!(ask(&objects, "jane", &[], ""), (false, String::new()));
}

#[test]
fn a_cluster_role_binding_gives_its_role_everywhere() {
    let objects = world();
    let why = r#"RBAC: allowed by ClusterRoleBinding "auditors" of ClusterRole "reader" to Group "auditors""#;
    for namespace in ["", "team", "other"] {
        assert_eq!(ask(&objects, "eve", &["auditors"], namespace), (true, why.to_owned()));
    }
}

#[test]
fn a_service_account_is_known_by_its_user_name() {
    let objects = world();
    let why = r#"RBAC: allowed by RoleBinding "bot/team" of Role "reader" to ServiceAccount "bot/team""#;
    assert_eq!(ask(&objects, "system:serviceaccount:team:bot", &[], "team"), (true, why.to_owned()));
    assert!(!ask(&objects, "system:serviceaccount:other:bot", &[], "team").0);
    assert!(!ask(&objects, "bot", &[], "team").0);
}

#[test]
fn a_binding_of_a_role_that_is_gone_is_the_reason_of_a_refusal() {
    let mut objects = world();
    objects.remove(Plural::ClusterRoles, "", "reader");
    let why = r#"RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found"#;
    assert_eq!(ask(&objects, "jane", &[], "team"), (false, why.to_owned()));
}

#[test]
fn what_is_taken_away_is_gone() {
    let mut objects = world();
    objects.remove(Plural::RoleBindings, "team", "jane");
    assert_eq!(ask(&objects, "jane", &[], "team"), (false, String::new()));
}

#[test]
fn aggregates_of_aggregates_have_the_rules_of_all() {
    let mut objects = Objects::default();
    let made_of = |label: &str, own: Value| {
        json!({"metadata": {"labels": own}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}})
    };
    objects.put(Plural::ClusterRoles, "", "big", &made_of("to-big", json!({})));
    objects.put(Plural::ClusterRoles, "", "small", &made_of("to-small", json!({"to-big": "true"})));
    let part = json!({"metadata": {"labels": {"to-small": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    objects.put(Plural::ClusterRoles, "", "part", &part);
    let policy = objects.policy();
    let rules = policy.role("ClusterRole", "big", "").unwrap();
    // What an aggregate itself says is no right: only what it is made of is.
    assert_eq!(rules, [Rule::read(&part["rules"][0])]);
    assert_eq!(objects.stale_aggregates().len(), 2);
    objects.remove(Plural::ClusterRoles, "", "part");
    assert!(objects.policy().role("ClusterRole", "big", "").unwrap().is_empty());
}
