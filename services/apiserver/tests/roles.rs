//! Who may do what: roles and bindings, impersonation, and the questions about them. The client of these tests may
//! impersonate everybody.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Api, config_map, pod, start};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const PODS: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn role_ref(kind: &str, name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})
}

async fn bind(api: &Api, binding: &str, kind: &str, role: &str, user: &str) {
    let object = json!({"metadata": {"name": binding}, "roleRef": role_ref(kind, role),
        "subjects": [{"kind": "User", "name": user}]});
    api.post(&format!("{RBAC}/namespaces/default/rolebindings"), &object).await.expect(201);
}

async fn bind_cluster(api: &Api, binding: &str, role: &str, user: &str) {
    let object = json!({"metadata": {"name": binding}, "roleRef": role_ref("ClusterRole", role),
        "subjects": [{"kind": "User", "name": user}]});
    api.post(&format!("{RBAC}/clusterrolebindings"), &object).await.expect(201);
}

async fn role(api: &Api, name: &str, rules: Value) {
    let object = json!({"metadata": {"name": name}, "rules": rules});
    api.post(&format!("{RBAC}/namespaces/default/roles"), &object).await.expect(201);
}

fn message(answer: &api::Answer) -> String {
    answer.expect(403)["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_binding_counts_as_soon_as_its_write_is_answered_and_no_longer_than_it_is_there() {
    let api = start().await;
    let list = async || api.act("jane", "GET", PODS, &Value::Null).await;
    let refused = "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert_eq!(message(&list().await), refused);
    for _ in 0..20 {
        bind(&api, "jane", "ClusterRole", "view", "jane").await;
        assert_eq!(list().await.status, 200);
        api.delete(&format!("{RBAC}/namespaces/default/rolebindings/jane"), &Value::Null).await.expect(200);
        assert_eq!(list().await.status, 403);
    }
}

#[tokio::test]
async fn a_missing_role_is_the_reason_of_a_refusal() {
    let api = start().await;
    bind(&api, "jane", "Role", "gone", "jane").await;
    let refused = message(&api.act("jane", "GET", PODS, &Value::Null).await);
    let reason = "in the namespace \"default\": RBAC: role.rbac.authorization.k8s.io \"gone\" not found";
    assert!(refused.ends_with(reason), "{refused}");
}

#[tokio::test]
async fn the_roles_of_a_namespace_are_those_of_kubernetes() {
    let api = start().await;
    bind(&api, "v", "ClusterRole", "view", "viewer").await;
    bind(&api, "e", "ClusterRole", "edit", "editor").await;
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    for (user, method, path, body, want) in [
        ("viewer", "GET", MAPS, Value::Null, 200),
        ("viewer", "GET", "/api/v1/namespaces/default", Value::Null, 200),
        ("viewer", "GET", "/api/v1/namespaces/default/secrets", Value::Null, 403),
        ("viewer", "POST", MAPS, config_map("b", "1"), 403),
        ("viewer", "GET", "/api/v1/configmaps", Value::Null, 403),
        ("editor", "POST", MAPS, config_map("b", "1"), 201),
        ("editor", "POST", PODS, pod("p"), 201),
        ("editor", "DELETE", "/api/v1/namespaces/default/configmaps/b", Value::Null, 200),
        ("editor", "GET", "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes", Value::Null, 200),
        ("editor", "GET", &format!("{RBAC}/namespaces/default/roles"), Value::Null, 403),
        ("editor", "GET", "/api/v1/nodes", Value::Null, 403),
        // Fact: what is not served is refused like everything else that no rule allows.
        ("editor", "GET", "/api/v1/namespaces/default/widgets", Value::Null, 403),
        ("editor", "GET", "/metrics", Value::Null, 403),
        ("editor", "GET", "/version", Value::Null, 200),
    ] {
        let answer = api.act(user, method, path, &body).await;
        assert_eq!(answer.status, want, "{user} {method} {path}: {}", answer.text);
    }
}

// Fact: `GET pods/x/exec` is how a WebSocket begins; since 1.35 it takes the right to create, as a POST always did.
#[tokio::test]
async fn reading_pods_exec_opens_no_stream() {
    let api = start().await;
    role(&api, "r", json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/exec"]}])).await;
    bind(&api, "r", "Role", "r", "jane").await;
    let refused =
        message(&api.act("jane", "GET", &format!("{PODS}/p/exec?command=sh&stdout=1"), &Value::Null).await);
    assert!(refused.contains("cannot create resource \"pods/exec\""), "{refused}");
}

#[tokio::test]
async fn a_name_in_a_rule_allows_lists_of_that_name() {
    let api = start().await;
    let rule = json!({"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"],
        "resourceNames": ["a"]});
    role(&api, "r", json!([rule])).await;
    bind(&api, "r", "Role", "r", "jane").await;
    let status = async |path: &str| api.act("jane", "GET", path, &Value::Null).await.status.as_u16();
    assert_eq!(status(&format!("{MAPS}?fieldSelector=metadata.name%3Da")).await, 200);
    assert_eq!(status(&format!("{MAPS}?fieldSelector=metadata.name%3Db")).await, 403);
    assert_eq!(status(MAPS).await, 403);
    assert_eq!(status(&format!("{MAPS}/a")).await, 404);
}

// Fact: an apply or update that creates needs the right to create.
#[tokio::test]
async fn who_may_only_patch_creates_nothing_by_applying() {
    let api = start().await;
    role(&api, "r", json!([{"verbs": ["patch"], "apiGroups": [""], "resources": ["configmaps"]}])).await;
    bind(&api, "r", "Role", "r", "jane").await;
    let headers = [("impersonate-user", "jane"), ("content-type", "application/apply-patch+yaml")];
    let apply = async || {
        api.send("PATCH", &format!("{MAPS}/a?fieldManager=t"), &headers, config_map("a", "2").to_string())
            .await
    };
    let refused = message(&apply().await);
    assert!(refused.contains("User \"jane\" cannot create resource \"configmaps\""), "{refused}");
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    assert_eq!(apply().await.status, 409, "the field is another's, but the patch is allowed");
}

#[tokio::test]
async fn nobody_gives_away_more_than_he_has() {
    let api = start().await;
    // Without `*`, which would hold `escalate` and `bind`.
    role(
        &api,
        "granter",
        json!([
        {"verbs": ["create", "update", "get", "delete"], "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["roles", "rolebindings"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
    )
    .await;
    bind(&api, "granter", "Role", "granter", "jane").await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let wanted = |verbs: &[&str]| json!({"metadata": {"name": "new"}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]});
    let refused = message(&api.act("jane", "POST", &roles, &wanted(&["get", "delete"])).await);
    let want = "roles.rbac.authorization.k8s.io \"new\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) is \
                attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], \
                Verbs:[\"delete\"]}";
    assert_eq!(refused, want);
    let mut made = api.act("jane", "POST", &roles, &wanted(&["get"])).await.expect(201);
    made["rules"][0]["verbs"] = json!(["get", "watch"]);
    assert_eq!(api.act("jane", "PUT", &format!("{roles}/new"), &made).await.status, 403);

    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let binding = |kind: &str, role: &str| json!({"metadata": {"name": "b"}, "roleRef": role_ref(kind, role), "subjects": [{"kind": "User", "name": "joe"}]});
    let refused = message(&api.act("jane", "POST", &bindings, &binding("ClusterRole", "edit")).await);
    assert!(
        refused.starts_with("rolebindings.rbac.authorization.k8s.io \"b\" is forbidden: user \"jane\""),
        "{refused}"
    );
    let missing = api.act("jane", "POST", &bindings, &binding("Role", "none")).await.expect(404);
    assert_eq!(missing["message"], "role.rbac.authorization.k8s.io \"none\" not found");
    api.act("jane", "POST", &bindings, &binding("Role", "new")).await.expect(201);
}

#[tokio::test]
async fn the_verbs_bind_and_escalate_lift_the_limit() {
    let api = start().await;
    role(
        &api,
        "granter",
        json!([
        {"verbs": ["create", "escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]},
        {"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"]},
        {"verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"],
            "resourceNames": ["edit"]}]),
    )
    .await;
    bind(&api, "granter", "Role", "granter", "jane").await;
    let role = json!({"metadata": {"name": "all"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
    api.act("jane", "POST", &format!("{RBAC}/namespaces/default/roles"), &role).await.expect(201);
    let binding = |role: &str| {
        json!({"metadata": {"name": role}, "roleRef": role_ref("ClusterRole", role),
            "subjects": [{"kind": "User", "name": "joe"}]})
    };
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    api.act("jane", "POST", &bindings, &binding("edit")).await.expect(201);
    assert_eq!(api.act("jane", "POST", &bindings, &binding("admin")).await.status, 403);
}

#[tokio::test]
async fn aggregation_takes_full_authority_and_is_shown_on_the_role() {
    let api = start().await;
    let clusterroles = format!("{RBAC}/clusterroles");
    let rules = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["clusterroles"]}]);
    api.post(&clusterroles, &json!({"metadata": {"name": "roles"}, "rules": rules})).await.expect(201);
    bind_cluster(&api, "jane", "roles", "jane").await;
    let shown =
        async |name: &str| api.get(&format!("{clusterroles}/{name}")).await.expect(200)["rules"].clone();
    let resources = shown("admin").await.to_string();
    assert!(resources.contains("sandboxes") && resources.contains("rolebindings"), "{resources}");
    let part = json!({"metadata": {"name": "part", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["widgets"]}]});
    api.post(&clusterroles, &part).await.expect(201);
    bind(&api, "v", "ClusterRole", "view", "viewer").await;
    let widget = api.act("viewer", "GET", "/apis/x.io/v1/namespaces/default/widgets/w", &Value::Null).await;
    assert_eq!(widget.status, 404, "allowed, and not served");
    let seen = async || shown("view").await.to_string().contains("widgets");
    for _ in 0..100 {
        if seen().await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(seen().await);
}

#[tokio::test]
async fn roles_of_the_system_are_completed_at_the_next_start_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        store::Store::open(store::Config { dir: dir.path().join("store"), ..store::Config::default() })
            .unwrap();
    let config = || apiserver::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pki_dir: dir.path().join("pki"),
        ..apiserver::Config::default()
    };
    let admin = apiserver::Identity::component("test");
    let server = apiserver::Server::build(config(), store.clone()).await.unwrap();
    let client = server.client(admin.clone());
    let patch = json!({"rules": null}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let (discovery, basic) =
        (format!("{RBAC}/clusterroles/system:discovery"), format!("{RBAC}/clusterroles/system:basic-user"));
    let stay = json!({"rules": null, "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}});
    api::send(&client, "PATCH", &discovery, &merge, patch).await.expect(200);
    api::send(&client, "PATCH", &basic, &merge, stay.to_string()).await.expect(200);
    drop((client, server));
    let server = apiserver::Server::build(config(), store).await.unwrap();
    let client = server.client(admin);
    let rules =
        async |path: &str| api::send(&client, "GET", path, &[], "").await.expect(200)["rules"].clone();
    assert_eq!(rules(&discovery).await.as_array().map(Vec::len), Some(1));
    assert!(rules(&basic).await.is_null());
}

#[tokio::test]
async fn impersonation_takes_a_right_for_each_thing() {
    let rules = json!([{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"]}]);
    // Who a request is made by is told by a token here, for this client's own identity may do everything.
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    write_private(&tokens, "secret-of-joe,joe,1\n");
    let api = api::start_with(|config| config.token_file = Some(tokens)).await;
    api.post(&format!("{RBAC}/clusterroles"), &json!({"metadata": {"name": "imp"}, "rules": rules}))
        .await
        .expect(201);
    bind_cluster(&api, "imp", "imp", "joe").await;
    let joe = api.token_client("secret-of-joe").await;
    let ask = async |headers: &[(&str, &str)]| api::send(&joe, "GET", PODS, headers, "").await;
    let refused = message(&ask(&[("impersonate-user", "root")]).await);
    let want = "users \"root\" is forbidden: User \"joe\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!(refused, want);
    let refused =
        message(&ask(&[("impersonate-user", "jane"), ("impersonate-group", "system:masters")]).await);
    assert!(refused.starts_with("groups \"system:masters\" is forbidden"), "{refused}");
    let refused = message(&ask(&[("impersonate-user", "system:serviceaccount:kube-system:x")]).await);
    assert!(
        refused.contains("resource \"serviceaccounts\" in API group \"\" in the namespace \"kube-system\""),
        "{refused}"
    );
    let as_jane = message(&ask(&[("impersonate-user", "jane")]).await);
    assert!(as_jane.contains("User \"jane\" cannot list"), "{as_jane}");
    assert_eq!(ask(&[("impersonate-group", "x")]).await.status, 500);
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn questions_about_access_are_answered() {
    let api = start().await;
    bind(&api, "jane", "ClusterRole", "view", "jane").await;
    let authorization = "/apis/authorization.k8s.io/v1";
    let list = json!({"namespace": "default", "verb": "list", "resource": "pods"});
    let own = json!({"spec": {"resourceAttributes": list}});
    let answer =
        api.act("jane", "POST", &format!("{authorization}/selfsubjectaccessreviews"), &own).await.expect(201);
    let reason = "RBAC: allowed by RoleBinding \"jane/default\" of ClusterRole \"view\" to User \"jane\"";
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));
    let path = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}});
    let answer = api
        .act("jane", "POST", &format!("{authorization}/selfsubjectaccessreviews"), &path)
        .await
        .expect(201);
    assert_eq!(answer["status"], json!({"allowed": false}));

    let others = json!({"spec": {"user": "jane", "resourceAttributes": list}});
    let reviews = format!("{authorization}/subjectaccessreviews");
    assert_eq!(api.post(&reviews, &others).await.expect(201)["status"]["allowed"], true);
    assert_eq!(api.act("jane", "POST", &reviews, &others).await.status, 403);
    let nobody = json!({"spec": {"resourceAttributes": list}});
    let refused = api.post(&reviews, &nobody).await.expect(422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("spec.user: Invalid value: \"\": at least one of user or group")
    );
    let local = format!("{authorization}/namespaces/default/localsubjectaccessreviews");
    assert_eq!(api.post(&local, &others).await.expect(201)["status"]["allowed"], true);
    let elsewhere =
        json!({"spec": {"user": "jane", "resourceAttributes": {"namespace": "x", "verb": "get"}}});
    assert_eq!(api.post(&local, &elsewhere).await.status, 422);

    let rules = json!({"spec": {"namespace": "default"}});
    let answer = api
        .act("jane", "POST", &format!("{authorization}/selfsubjectrulesreviews"), &rules)
        .await
        .expect(201);
    assert_eq!(answer["status"]["incomplete"], false);
    assert!(answer["status"]["resourceRules"].to_string().contains("pods/log"));
    assert!(answer["status"]["nonResourceRules"].to_string().contains("/version"));
    let me = api
        .act("jane", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({}))
        .await
        .expect(201);
    assert_eq!(me["status"]["userInfo"], json!({"username": "jane", "groups": ["system:authenticated"]}));
}

#[tokio::test]
async fn administrators_are_asked_for_no_rule() {
    let api = start().await;
    api.delete(&format!("{RBAC}/clusterrolebindings/cluster-admin"), &Value::Null).await.expect(200);
    let masters = [("impersonate-user", "root"), ("impersonate-group", "system:masters")];
    assert_eq!(api.send("GET", "/api/v1/nodes", &masters, "").await.status, 200);
    assert_eq!(api.get("/api/v1/nodes").await.status, 200);
}
