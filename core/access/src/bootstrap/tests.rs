//! Facts: names, labels and rules are those of Kubernetes' `bootstrappolicy/testdata/cluster-roles.yaml`.

use super::*;
use crate::{Policy, Request, Resource, Who};

fn policy() -> Policy {
    let mut all = Objects::default();
    let bind = |role: &str| json!({"roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [{"kind": "User", "name": role}]});
    for object in objects() {
        let plural = match object["kind"].as_str() {
            Some("ClusterRole") => Plural::ClusterRoles,
            _ => Plural::ClusterRoleBindings,
        };
        all.put(plural, "", object["metadata"]["name"].as_str().unwrap(), &object);
    }
    for role in ["view", "edit", "admin"] {
        all.put(Plural::RoleBindings, "team", role, &bind(role));
    }
    all.policy()
}

#[track_caller]
fn check(policy: &Policy, user: &str, verb: &str, group: &str, resource: &str, want: bool) {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let target = Resource { group, resource, subresource, namespace: "team", name: "x" };
    let groups = [AUTHENTICATED.to_owned()];
    let decision = policy.decide(&Who { name: user, groups: &groups }, &Request::on(verb, target));
    assert_eq!(decision.is_allowed(), want, "{user} {verb} {resource}/{subresource}");
}

#[test]
fn aggregates_show_what_they_hold_from_the_start() {
    let mut all = Objects::default();
    for object in objects().iter().filter(|object| object["kind"] == "ClusterRole") {
        all.put(Plural::ClusterRoles, "", name(object), object);
    }
    assert_eq!(all.stale_aggregates(), []);
}

#[test]
fn every_object_is_marked_as_kubernetes_marks_it() {
    for object in objects() {
        assert_eq!(object["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(object["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
    }
}

#[test]
fn view_reads_all_but_secrets() {
    let policy = policy();
    check(&policy, "view", "get", "", "pods", true);
    check(&policy, "view", "watch", "agents.x-k8s.io", "sandboxes", true);
    check(&policy, "view", "get", "", "pods/log", true);
    check(&policy, "view", "get", "", "secrets", false);
    check(&policy, "view", "create", "", "pods/exec", false);
    check(&policy, "view", "create", "agents.x-k8s.io", "sandboxes", false);
    check(&policy, "view", "list", "rbac.authorization.k8s.io", "roles", false);
}

#[test]
fn edit_works_with_everything_but_rights() {
    let policy = policy();
    for (verb, group, resource) in [
        ("create", "agents.x-k8s.io", "sandboxes"),
        ("delete", "extensions.agents.x-k8s.io", "sandboxclaims"),
        ("create", "", "pods/exec"),
        ("get", "", "secrets"),
        ("create", "", "serviceaccounts/token"),
        ("impersonate", "", "serviceaccounts"),
        ("list", "", "pods"),
    ] {
        check(&policy, "edit", verb, group, resource, true);
    }
    check(&policy, "edit", "create", "rbac.authorization.k8s.io", "rolebindings", false);
    check(&policy, "edit", "patch", "", "resourcequotas", false);
    check(&policy, "edit", "update", "agents.x-k8s.io", "sandboxes/status", false);
    check(&policy, "edit", "create", "", "namespaces", false);
}

#[test]
fn admin_gives_rights_and_sets_no_quotas() {
    let policy = policy();
    check(&policy, "admin", "create", "rbac.authorization.k8s.io", "rolebindings", true);
    check(&policy, "admin", "create", "", "pods", true);
    check(&policy, "admin", "create", "", "resourcequotas", false);
    check(&policy, "admin", "escalate", "rbac.authorization.k8s.io", "roles", false);
}

#[test]
fn everybody_with_a_name_may_ask_what_there_is_and_what_he_may() {
    let (policy, groups) = (policy(), [AUTHENTICATED.to_owned()]);
    let jane = Who { name: "jane", groups: &groups };
    for path in ["/api", "/apis/apps/v1", "/openapi/v3", "/version", "/livez"] {
        assert!(policy.decide(&jane, &Request::path("get", path)).is_allowed(), "{path}");
    }
    for path in ["/metrics", "/openid/v1/jwks", "/"] {
        assert!(!policy.decide(&jane, &Request::path("get", path)).is_allowed(), "{path}");
    }
    check(&policy, "jane", "create", "authorization.k8s.io", "selfsubjectaccessreviews", true);
    check(&policy, "jane", "create", "authorization.k8s.io", "subjectaccessreviews", false);
    check(&policy, "jane", "get", "", "pods", false);
    assert!(!policy.decide(&Who { name: "x", groups: &[] }, &Request::path("get", "/api")).is_allowed());
}

#[test]
fn masters_may_do_everything() {
    let (policy, groups) = (policy(), [MASTERS.to_owned()]);
    assert!(policy.has_full_authority(&Who { name: "root", groups: &groups }));
}
