//! One client that asks without end keeps nobody else waiting; and every request leaves its line in the audit log.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::{
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use api::start_with;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn tokens(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let path = dir.path().join("tokens");
    std::fs::write(&path, "flood-token,flood,,devs\njane-token,jane,,devs\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

async fn allow_devs(api: &api::Api) {
    let binding = json!({"metadata": {"name": "devs"}, "subjects": [{"kind": "Group", "name": "devs"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}});
    api.post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", &binding)
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_user_leaves_the_others_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let file = tokens(&dir);
    let api = start_with(|config| {
        config.token_file = Some(file);
        config.max_requests = 4;
    })
    .await;
    allow_devs(&api).await;
    let flood = api.token_client("flood-token").await;
    let jane = api.token_client("jane-token").await;
    let create = |number: usize| {
        let (flood, body) = (flood.clone(), api::config_map(&format!("f{number}"), "x").to_string());
        async move { api::send(&flood, "POST", MAPS, &JSON, body).await.status.as_u16() }
    };
    // More at the same time than there are places for connections that have yet to prove who they are would be another test.
    let flooding = stream::iter(0..1500).map(create).buffer_unordered(150).collect::<Vec<_>>();
    let asking = async {
        let mut worst = Duration::ZERO;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let begun = Instant::now();
            assert_eq!(api::send(&jane, "GET", &format!("{MAPS}/none"), &[], "").await.status, 404);
            worst = worst.max(begun.elapsed());
        }
        worst
    };
    let (codes, worst) = tokio::join!(flooding, asking);
    assert!(worst < Duration::from_secs(2), "the slowest answer took {worst:?}");
    assert!(codes.iter().all(|code| matches!(code, 201 | 429)), "{codes:?}");
    assert!(codes.contains(&201));
}

#[tokio::test]
async fn every_request_leaves_a_line_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = (tokens(&dir), dir.path().join("audit.log"));
    let path = log.clone();
    let mut api = start_with(|config| {
        config.token_file = Some(file);
        config.audit_log = Some(path);
    })
    .await;
    allow_devs(&api).await;
    let jane = api.token_client("jane-token").await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}).to_string();
    api::send(&jane, "POST", "/api/v1/namespaces/default/secrets?fieldManager=m", &JSON, secret)
        .await
        .expect(201);
    api::send(&jane, "GET", "/api/v1/nodes", &[], "").await.expect(403);
    api::send(&jane, "GET", "/version", &[], "").await.expect(200);
    let nobody = api.token_client("guess").await;
    api::send(&nobody, "GET", "/api/v1/pods", &[], "").await.expect(401);
    api.act("joe", "DELETE", &format!("{MAPS}/x"), &Value::Null).await.expect(403);
    api.stop().await;
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    for secret in ["hunter2", "jane-token", "guess"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |resource: &str, verb: &str| {
        lines
            .iter()
            .find(|line| line["resource"] == resource && line["verb"] == verb)
            .unwrap_or_else(|| panic!("{text}"))
    };
    let made = find("secrets", "create");
    assert_eq!(
        (&made["user"], &made["decision"], &made["code"]),
        (&json!("jane"), &json!("allow"), &json!(201))
    );
    assert_eq!(made["groups"], json!(["devs", "system:authenticated"]));
    assert!(made["source"].as_str().unwrap().starts_with("127.0.0.1:") && made["latencyMicros"].is_u64());
    assert_eq!(find("nodes", "list")["decision"], "forbid");
    let unknown = find("pods", "list");
    assert_eq!((&unknown["decision"], &unknown["code"]), (&json!("unauthenticated"), &json!(401)));
    let acted = find("configmaps", "delete");
    assert_eq!(
        (&acted["impersonated"]["user"], &acted["name"], &acted["code"]),
        (&json!("joe"), &json!("x"), &json!(403))
    );
    assert_eq!(acted["source"], "in-process");
    assert!(lines.iter().any(|line| line["path"] == "/version" && line["verb"] == "get"));
}
