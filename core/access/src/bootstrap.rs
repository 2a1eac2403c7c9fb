//! The roles and bindings that every cluster has from the start: those of Kubernetes that mean something here, and our own
//! that bring the Sandbox kinds into `view`, `edit` and `admin`.

mod people;

use serde_json::{Map, Value, json};

use crate::{AUTHENTICATED, GROUP, MASTERS, Objects, Plural, Rule, reconcile::AUTOUPDATE};

/// Verbs that change nothing.
const READ: &[&str] = &["get", "list", "watch"];
const CREATE: &[&str] = &["create"];
const HEALTH: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];
const DISCOVERY: &[&str] = &[
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];
const MONITORING: &[&str] =
    &["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*"];

/// All of them, complete but for what the API server adds to every object.
pub fn objects() -> Vec<Value> {
    let mut roles = roles();
    roles.extend(people::roles());
    let mut all = Objects::default();
    for role in &roles {
        all.put(Plural::ClusterRoles, "", name(role), role);
    }
    for (aggregate, rules) in all.stale_aggregates() {
        let rules: Value = rules.iter().map(Rule::to_value).collect();
        roles
            .iter_mut()
            .filter(|role| name(role) == aggregate)
            .for_each(|role| role["rules"] = rules.clone());
    }
    roles.extend(bindings());
    roles
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn roles() -> Vec<Value> {
    let authentication = &["authentication.k8s.io"];
    let authorization = &["authorization.k8s.io"];
    vec![
        role("cluster-admin", &[], vec![on(&["*"], &["*"], &["*"]), urls(&["*"], &["*"])]),
        role("system:discovery", &[], vec![urls(DISCOVERY, &["get"])]),
        role("system:public-info-viewer", &[], vec![urls(HEALTH, &["get"])]),
        role("system:monitoring", &[], vec![urls(MONITORING, &["get"])]),
        role(
            "system:basic-user",
            &[],
            vec![
                on(authorization, &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], CREATE),
                on(authentication, &["selfsubjectreviews"], CREATE),
            ],
        ),
        role(
            "system:auth-delegator",
            &[],
            vec![
                on(authentication, &["tokenreviews"], CREATE),
                on(authorization, &["subjectaccessreviews"], CREATE),
            ],
        ),
        role(
            "system:service-account-issuer-discovery",
            &[],
            vec![urls(&["/.well-known/openid-configuration", "/openid/v1/jwks"], &["get"])],
        ),
        node(),
    ]
}

/// What an agent of a node on another machine would need. Nobody is bound to it.
fn node() -> Value {
    let core = &[""];
    role(
        "system:node",
        &[],
        vec![
            on(&["authentication.k8s.io"], &["tokenreviews"], CREATE),
            on(&["authorization.k8s.io"], &["localsubjectaccessreviews", "subjectaccessreviews"], CREATE),
            on(core, &["services"], READ),
            on(core, &["nodes"], &["create", "get", "list", "watch"]),
            on(core, &["nodes/status"], &["patch", "update"]),
            on(core, &["nodes"], &["patch", "update"]),
            on(core, &["events"], &["create", "patch", "update"]),
            on(core, &["pods"], READ),
            on(core, &["pods"], &["create", "delete"]),
            on(core, &["pods/status"], &["patch", "update"]),
            on(core, &["pods/eviction"], CREATE),
            on(core, &["configmaps", "secrets"], READ),
            on(core, &["persistentvolumeclaims", "persistentvolumes"], &["get"]),
            on(core, &["serviceaccounts/token"], CREATE),
            on(&["coordination.k8s.io"], &["leases"], &["create", "delete", "get", "patch", "update"]),
            on(&["node.k8s.io"], &["runtimeclasses"], READ),
        ],
    )
}

fn bindings() -> Vec<Value> {
    let accounts = "system:serviceaccounts";
    vec![
        binding("cluster-admin", &[MASTERS]),
        binding("system:discovery", &[AUTHENTICATED]),
        binding("system:basic-user", &[AUTHENTICATED]),
        // Kubernetes binds this to everybody without a name too; here nobody is without one.
        binding("system:public-info-viewer", &[AUTHENTICATED]),
        binding("system:monitoring", &["system:monitoring"]),
        binding("system:service-account-issuer-discovery", &[accounts]),
    ]
}

fn metadata(name: &str, labels: &[&str]) -> Value {
    let mut all = Map::new();
    all.insert("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".into());
    all.extend(labels.iter().map(|label| ((*label).to_owned(), "true".into())));
    json!({"name": name, "labels": all, "annotations": {AUTOUPDATE: "true"}})
}

fn role(name: &str, labels: &[&str], rules: impl Into<Value>) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": metadata(name, labels),
        "rules": rules.into()})
}

/// A role that is made of all with a label.
fn aggregate(name: &str, labels: &[&str], of: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": metadata(name, labels),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {of: "true"}}]}, "rules": []})
}

/// A binding with the name of its role.
fn binding(role: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> =
        groups.iter().map(|group| json!({"apiGroup": GROUP, "kind": "Group", "name": group})).collect();
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(role, &[]),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}, "subjects": subjects})
}

fn on(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn urls(paths: &[&str], verbs: &[&str]) -> Value {
    json!({"nonResourceURLs": paths, "verbs": verbs})
}

#[cfg(test)]
mod tests;
