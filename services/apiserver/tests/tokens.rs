//! Tokens: static ones, and those of service accounts.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::os::unix::fs::PermissionsExt as _;

use api::{Api, pod, start, start_with};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

async fn account(api: &Api) -> Value {
    api.post(ACCOUNTS, &json!({"metadata": {"name": "bot"}})).await.expect(201)
}

async fn token(api: &Api, spec: Value) -> String {
    let answer = api.post(&format!("{ACCOUNTS}/bot/token"), &json!({"spec": spec})).await.expect(201);
    answer["status"]["token"].as_str().unwrap().to_owned()
}

/// The status of a request of a client that has nothing but this token.
async fn status(api: &Api, token: &str) -> u16 {
    let client = api.token_client(token).await;
    api::send(&client, "GET", PODS, &[], "").await.status.as_u16()
}

async fn review(api: &Api, token: &str, audiences: &[&str]) -> Value {
    let spec = json!({"spec": {"token": token, "audiences": audiences}});
    api.post("/apis/authentication.k8s.io/v1/tokenreviews", &spec).await.expect(201)["status"].clone()
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_is_its_account_and_says_so_as_kubernetes_does() {
    let api = start().await;
    let account = account(&api).await;
    let answer = api
        .post(&format!("{ACCOUNTS}/bot/token"), &json!({"spec": {"expirationSeconds": 600}}))
        .await
        .expect(201);
    assert_eq!(answer["kind"], "TokenRequest");
    assert_eq!(answer["spec"]["audiences"], json!([ISSUER]));
    let token = answer["status"]["token"].as_str().unwrap();
    let claims = claims(token);
    assert_eq!(
        (&claims["iss"], &claims["sub"]),
        (&json!(ISSUER), &json!("system:serviceaccount:default:bot"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert_eq!(
        claims["kubernetes.io"],
        json!({"namespace": "default", "serviceaccount": {"name": "bot", "uid": account["metadata"]["uid"]}})
    );
    assert_eq!(status(&api, token).await, 403, "known, and without rights");
    let client = api.token_client(token).await;
    let refused = api::send(&client, "GET", PODS, &[], "").await;
    let text = refused.expect(403)["message"].as_str().unwrap().to_owned();
    assert!(
        text.contains("User \"system:serviceaccount:default:bot\" cannot list resource \"pods\""),
        "{text}"
    );
    let me = json!({});
    let headers = [("content-type", "application/json")];
    let me = api::send(
        &client,
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        &headers,
        me.to_string(),
    )
    .await;
    let info = me.expect(201)["status"]["userInfo"].clone();
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!((&info["groups"], &info["uid"]), (&json!(groups), &account["metadata"]["uid"]));
}

#[tokio::test]
async fn a_token_ends_with_its_account() {
    let api = start().await;
    account(&api).await;
    let token = token(&api, json!({})).await;
    assert_eq!(status(&api, &token).await, 403);
    api.delete(&format!("{ACCOUNTS}/bot"), &Value::Null).await.expect(200);
    assert_eq!(status(&api, &token).await, 401);
    account(&api).await;
    assert_eq!(status(&api, &token).await, 401, "another account of the same name is another account");
    let error = review(&api, &token, &[]).await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("does not match claim"), "{error}");
}

#[tokio::test]
async fn a_token_ends_with_what_it_is_bound_to() {
    let api = start().await;
    account(&api).await;
    let mut object = pod("p");
    object["spec"]["serviceAccountName"] = "bot".into();
    let made = api.post(PODS, &object).await.expect(201);
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let bound =
        token(&api, json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}}))
            .await;
    let found = review(&api, &bound, &[]).await;
    assert_eq!(found["authenticated"], true);
    assert_eq!(found["user"]["extra"]["authentication.kubernetes.io/pod-uid"], json!([uid]));
    assert_eq!(found["audiences"], json!([ISSUER]));
    api.delete(&format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    let gone = review(&api, &bound, &[]).await;
    assert_eq!(
        gone,
        json!({"user": {}, "error": "[invalid bearer token, service account token has been invalidated]"})
    );
    assert_eq!(status(&api, &bound).await, 401);
}

#[tokio::test]
async fn what_cannot_be_bound_is_refused_in_kubernetes_words() {
    let api = start().await;
    account(&api).await;
    api.post(PODS, &pod("other")).await.expect(201);
    for (spec, code, want) in [
        (
            json!({"expirationSeconds": 10}),
            422,
            "spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "none"}}),
            404,
            "pods \"none\" not found",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "other"}}),
            400,
            "cannot bind token for serviceaccount \"bot\" to pod running with serviceaccount \"default\"",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}),
            400,
            "cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "other", "uid": "x"}}),
            409,
            "does not match the UID in record",
        ),
    ] {
        let refused = api.post(&format!("{ACCOUNTS}/bot/token"), &json!({"spec": spec})).await.expect(code);
        assert!(refused["message"].as_str().unwrap().contains(want), "{refused}");
    }
    let missing = api.post(&format!("{ACCOUNTS}/none/token"), &json!({})).await.expect(404);
    assert_eq!(missing["message"], "serviceaccounts \"none\" not found");
}

#[tokio::test]
async fn a_token_for_others_is_none_here() {
    let api = start().await;
    account(&api).await;
    let vault = token(&api, json!({"audiences": ["vault"]})).await;
    assert_eq!(status(&api, &vault).await, 401);
    assert_eq!(review(&api, &vault, &[]).await["authenticated"], Value::Null);
    assert_eq!(review(&api, &vault, &["vault", "x"]).await["audiences"], json!(["vault"]));
    for wrong in ["x", "a.b.c", &format!("{vault}x")] {
        assert_eq!(review(&api, wrong, &[]).await, json!({"user": {}, "error": "invalid bearer token"}));
        assert_eq!(status(&api, wrong).await, 401);
    }
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_others_can_check_them() {
    let api = start().await;
    account(&api).await;
    let config = api.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(config["issuer"], ISSUER);
    assert!(config["jwks_uri"].as_str().unwrap().ends_with("/openid/v1/jwks"));
    let keys = api.get("/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    let header = token(&api, json!({})).await.split('.').next().unwrap().to_owned();
    let header: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(keys.json()["keys"][0]["kid"], header["kid"]);
    // Fact: service accounts may read both, other users may not.
    let client = api.token_client(&token(&api, json!({})).await).await;
    assert_eq!(api::send(&client, "GET", "/openid/v1/jwks", &[], "").await.status, 200);
    assert_eq!(api.act("jane", "GET", "/openid/v1/jwks", &Value::Null).await.status, 403);
}

fn token_file(dir: &tempfile::TempDir, mode: u32) -> std::path::PathBuf {
    let path = dir.path().join("tokens");
    std::fs::write(&path, "s3cret,jane,7,\"devs,qa\"\nroot-token,root,,system:masters\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[tokio::test]
async fn static_tokens_are_their_users() {
    let dir = tempfile::tempdir().unwrap();
    let file = token_file(&dir, 0o600);
    let api = start_with(|config| config.token_file = Some(file)).await;
    assert_eq!(status(&api, "root-token").await, 200);
    assert_eq!(status(&api, "s3cret").await, 403);
    assert_eq!(status(&api, "S3cret").await, 401);
    let user = review(&api, "s3cret", &[]).await["user"].clone();
    assert_eq!(
        user,
        json!({"username": "jane", "uid": "7", "groups": ["devs", "qa", "system:authenticated"]})
    );
}

#[tokio::test]
async fn a_token_file_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        store::Store::open(store::Config { dir: dir.path().join("store"), ..store::Config::default() })
            .unwrap();
    let config = apiserver::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        pki_dir: dir.path().join("pki"),
        token_file: Some(token_file(&dir, 0o644)),
        ..apiserver::Config::default()
    };
    let error = apiserver::Server::build(config, store).await.unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("can be read by others: chmod 600"), "{said}");
}

// Fact: the admission plugin ServiceAccount.
#[tokio::test]
async fn a_pod_gets_the_token_of_an_account_that_gives_one() {
    let api = start().await;
    account(&api).await;
    let mounted = async |name: &str, change: &dyn Fn(&mut Value)| {
        let mut object = pod(name);
        change(&mut object["spec"]);
        let made = api.post(PODS, &object).await.expect(201);
        let volumes = made["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let found =
            volumes.iter().find(|volume| volume["name"].as_str().unwrap().starts_with("kube-api-access-"));
        found.cloned()
    };
    let volume = mounted("a", &|spec| spec["serviceAccountName"] = "bot".into()).await.unwrap();
    let source = &volume["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(*source, json!({"path": "token", "expirationSeconds": 3607}));
    let declined = mounted("b", &|spec| {
        spec["serviceAccountName"] = "bot".into();
        spec["automountServiceAccountToken"] = false.into();
    });
    assert_eq!(declined.await, None);
    assert_eq!(mounted("c", &|_| ()).await, None, "the account `default` gives none");
    let asked = mounted("d", &|spec| spec["automountServiceAccountToken"] = true.into());
    assert!(asked.await.is_some());
}
