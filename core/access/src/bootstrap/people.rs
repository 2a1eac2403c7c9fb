//! `view`, `edit` and `admin`, for people and programs that work in a namespace: each is made of roles by label.

use serde_json::Value;

use super::{CREATE, READ, aggregate, on, role};
use crate::GROUP;

const TO_ADMIN: &str = "rbac.authorization.k8s.io/aggregate-to-admin";
const TO_EDIT: &str = "rbac.authorization.k8s.io/aggregate-to-edit";
const TO_VIEW: &str = "rbac.authorization.k8s.io/aggregate-to-view";

const AGENTS: &str = "agents.x-k8s.io";
const EXTENSIONS: &str = "extensions.agents.x-k8s.io";
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const READ_WRITE: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

pub(super) fn roles() -> Vec<Value> {
    vec![
        aggregate("admin", &[], TO_ADMIN),
        aggregate("edit", &[TO_ADMIN], TO_EDIT),
        aggregate("view", &[TO_EDIT], TO_VIEW),
        role(
            "system:aggregate-to-admin",
            &[TO_ADMIN],
            vec![
                on(&["authorization.k8s.io"], &["localsubjectaccessreviews"], CREATE),
                on(&[GROUP], &["rolebindings", "roles"], READ_WRITE),
            ],
        ),
        role("system:aggregate-to-edit", &[TO_EDIT], edit()),
        role("system:aggregate-to-view", &[TO_VIEW], view()),
        role("agent-sandbox:aggregate-to-edit", &[TO_EDIT], edit_sandboxes()),
        role("agent-sandbox:aggregate-to-view", &[TO_VIEW], view_sandboxes()),
    ]
}

fn edit() -> Vec<Value> {
    let core = &[""];
    let streams = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"];
    let [attach, exec, forward, proxy] = streams;
    vec![
        on(core, &[attach, exec, forward, proxy, "secrets", "services/proxy"], READ),
        on(core, &["serviceaccounts"], &["impersonate"]),
        on(core, &["pods", attach, exec, forward, proxy], WRITE),
        on(core, &["pods/eviction"], CREATE),
        on(
            core,
            &[
                "configmaps",
                "events",
                "persistentvolumeclaims",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
            WRITE,
        ),
        on(core, &["serviceaccounts/token"], CREATE),
        on(
            &["apps"],
            &[
                "daemonsets",
                "deployments",
                "deployments/rollback",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            WRITE,
        ),
        on(&["autoscaling"], &["horizontalpodautoscalers"], WRITE),
        on(&["batch"], &["cronjobs", "jobs"], WRITE),
        on(&["policy"], &["poddisruptionbudgets"], WRITE),
        on(&["networking.k8s.io"], &["ingresses", "networkpolicies"], WRITE),
        on(&["coordination.k8s.io"], &["leases"], READ_WRITE),
    ]
}

fn view() -> Vec<Value> {
    let core = &[""];
    vec![
        on(
            core,
            &[
                "configmaps",
                "endpoints",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "pods",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "serviceaccounts",
                "services",
                "services/status",
            ],
            READ,
        ),
        on(
            core,
            &[
                "bindings",
                "events",
                "limitranges",
                "namespaces/status",
                "pods/log",
                "pods/status",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
            ],
            READ,
        ),
        on(core, &["namespaces"], READ),
        on(&["discovery.k8s.io"], &["endpointslices"], READ),
        on(
            &["apps"],
            &[
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status",
            ],
            READ,
        ),
        on(&["autoscaling"], &["horizontalpodautoscalers", "horizontalpodautoscalers/status"], READ),
        on(&["batch"], &["cronjobs", "cronjobs/status", "jobs", "jobs/status"], READ),
        on(&["policy"], &["poddisruptionbudgets", "poddisruptionbudgets/status"], READ),
        on(&["networking.k8s.io"], &["ingresses", "ingresses/status", "networkpolicies"], READ),
    ]
}

fn edit_sandboxes() -> Vec<Value> {
    vec![
        on(&[AGENTS], &["sandboxes", "sandboxes/scale"], WRITE),
        on(
            &[EXTENSIONS],
            &["sandboxclaims", "sandboxtemplates", "sandboxwarmpools", "sandboxwarmpools/scale"],
            WRITE,
        ),
    ]
}

fn view_sandboxes() -> Vec<Value> {
    vec![
        on(&[AGENTS], &["sandboxes", "sandboxes/scale", "sandboxes/status"], READ),
        on(
            &[EXTENSIONS],
            &[
                "sandboxclaims",
                "sandboxclaims/status",
                "sandboxtemplates",
                "sandboxwarmpools",
                "sandboxwarmpools/scale",
                "sandboxwarmpools/status",
            ],
            READ,
        ),
    ]
}
