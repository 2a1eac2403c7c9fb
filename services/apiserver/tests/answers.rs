//! Refusals carry Kubernetes' codes, reasons and words.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use api::{Answer, Api, config_map, pod, start};
use serde_json::json;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn check(answer: &Answer, code: u16, reason: &str, message: &str) {
    let status = answer.expect(code);
    assert_eq!((status["kind"].as_str(), status["apiVersion"].as_str()), (Some("Status"), Some("v1")));
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["code"], code);
    assert_eq!(status["reason"], reason, "{status}");
    assert_eq!(status["message"], message, "{status}");
}

#[tokio::test]
async fn what_does_not_exist() {
    let api = start().await;
    check(&api.get(&format!("{MAPS}/x")).await, 404, "NotFound", "configmaps \"x\" not found");
    let sandbox = api.get("/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes/x").await;
    check(&sandbox, 404, "NotFound", "sandboxes.agents.x-k8s.io \"x\" not found");
    // Facts (tests/differential, `get/unknown-resource` and `get/wrong-group`): a path that nothing serves is answered in plain
    // text, but below a group of Kubernetes' own by that group's router.
    for path in ["/api/v1/widgets", "/apis/apps/v1/namespaces/default/widgets", "/apis/apps/v7/pods"] {
        check(&api.get(path).await, 404, "NotFound", "the server could not find the requested resource");
    }
    for path in ["/apis/nope", "/apis/agents.x-k8s.io/v1beta1/widgets", "/nope", "/openapi/v1"] {
        let answer = api.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (404, "404 page not found\n"), "{path}");
    }
    assert_eq!(api.get(&format!("{MAPS}/x/status")).await.status, 404);
}

#[tokio::test]
async fn what_is_already_there_or_has_changed() {
    let api = start().await;
    let made = api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let again = api.post(MAPS, &config_map("a", "1")).await;
    check(&again, 409, "AlreadyExists", "configmaps \"a\" already exists");
    let mut changed = made.clone();
    changed["data"]["key"] = "2".into();
    api.put(&format!("{MAPS}/a"), &changed).await.expect(200);
    changed["data"]["key"] = "3".into();
    let stale = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your \
                 changes to the latest version and try again";
    check(&api.put(&format!("{MAPS}/a"), &changed).await, 409, "Conflict", stale);
    let mut other = config_map("a", "4");
    other["metadata"]["uid"] = "other".into();
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let text = format!(
        "Operation cannot be fulfilled on configmaps \"a\": Precondition failed: UID in precondition: other, UID in \
         object meta: {uid}"
    );
    check(&api.put(&format!("{MAPS}/a"), &other).await, 409, "Conflict", &text);
    let patch = json!({"metadata": {"resourceVersion": "1"}, "data": {"key": "5"}});
    check(&api.patch(&format!("{MAPS}/a"), "merge", &patch).await, 409, "Conflict", stale);
}

#[tokio::test]
async fn bodies_that_cannot_be_taken() {
    let api = start().await;
    let protobuf = [("content-type", "application/x-unheard-of")];
    let answer = api.send("POST", MAPS, &protobuf, "k8s\0").await;
    assert_eq!(answer.expect(415)["reason"], "UnsupportedMediaType");
    let text = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("the body of the request was in an unknown format - accepted media types include: ")
    );
    let json = [("content-type", "application/json")];
    let answer = api.send("POST", MAPS, &json, "{").await;
    assert_eq!(answer.expect(400)["reason"], "BadRequest");
    let big = format!("{{\"data\": {{\"a\": \"{}\"}}}}", "x".repeat(3 * 1024 * 1024));
    let answer = api.send("POST", MAPS, &json, big).await;
    check(&answer, 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728");
    let answer = api.post(MAPS, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}})).await;
    assert_eq!(answer.expect(400)["message"], "Pod in version \"v1\" cannot be handled as a ConfigMap");
    let mut elsewhere = config_map("x", "1");
    elsewhere["metadata"]["namespace"] = "other".into();
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    check(&api.post(MAPS, &elsewhere).await, 400, "BadRequest", text);
    api.post(MAPS, &config_map("a", "1")).await.expect(201);
    let text = "the name of the object (b) does not match the name on the URL (a)";
    check(&api.put(&format!("{MAPS}/a"), &config_map("b", "1")).await, 400, "BadRequest", text);
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    let sandbox = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes/x";
    let answer = api.send("PATCH", sandbox, &strategic, "{}").await;
    let text = "the body of the request was in an unknown format - accepted media types include: \
                application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    check(&answer, 415, "UnsupportedMediaType", text);
}

#[tokio::test]
async fn fields_that_are_unknown_or_of_the_wrong_type() {
    let api = start().await;
    let mut bad = pod("p");
    bad["spec"]["nonsense"] = 1.into();
    let text = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.nonsense\"";
    check(&api.post(&format!("{PODS}?fieldValidation=Strict"), &bad).await, 400, "BadRequest", text);
    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"t"},"data":{"a":"1","a":"2"}}"#;
    let json = [("content-type", "application/json")];
    let answer = api.send("POST", &format!("{MAPS}?fieldValidation=Strict"), &json, twice).await;
    let text = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \
                \"data.a\"";
    check(&answer, 400, "BadRequest", text);
    let warned = api.post(PODS, &bad).await;
    assert_eq!(warned.status, 201, "{}", warned.text);
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"spec.nonsense\\\"\"");
    assert_eq!(warned.json()["spec"].get("nonsense"), None);
    let mut ignored = bad.clone();
    ignored["metadata"]["name"] = "q".into();
    let answer = api.post(&format!("{PODS}?fieldValidation=Ignore"), &ignored).await;
    assert!(answer.status == 201 && !answer.headers.contains_key("warning"));
    let mut wrong = pod("r");
    wrong["spec"]["containers"] = "none".into();
    let answer = api.post(PODS, &wrong).await;
    assert_eq!(answer.expect(400)["reason"], "BadRequest");
    let sandbox = json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "s"},
        "spec": {"podTemplate": {"spec": {"containers": "none"}}}});
    let answer = api.post("/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes", &sandbox).await;
    let status = answer.expect(422);
    assert_eq!(status["reason"], "Invalid");
    let text = status["message"].as_str().unwrap();
    assert!(text.starts_with("Sandbox.agents.x-k8s.io \"s\" is invalid: "), "{text}");
    assert!(
        text.contains("spec.podTemplate.spec.containers in body must be of type array: \"string\""),
        "{text}"
    );
}

#[tokio::test]
async fn methods_and_media_types_that_do_not_fit() {
    let api = start().await;
    let text = "the server does not allow this method on the requested resource";
    check(&api.post("/api/v1/pods", &pod("p")).await, 405, "MethodNotAllowed", text);
    check(&api.put(MAPS, &config_map("a", "1")).await, 405, "MethodNotAllowed", text);
    let only_protobuf = [("accept", "application/vnd.kubernetes.protobuf")];
    let answer = api.send("GET", MAPS, &only_protobuf, "").await;
    let text = "only the following media types are accepted: application/json, application/yaml";
    check(&answer, 406, "NotAcceptable", text);
    let yaml = api.send("GET", "/api/v1/namespaces/default", &[("accept", "application/yaml")], "").await;
    assert!(yaml.status == 200 && yaml.text.contains("kind: Namespace\n"), "{}", yaml.text);
    assert_eq!(yaml.headers["content-type"], "application/yaml");
}

#[tokio::test]
async fn options_that_make_no_sense() {
    let api = start().await;
    let answer = api.get(&format!("{MAPS}?labelSelector=a+%3D%3D%3D+b")).await;
    assert_eq!(answer.expect(400)["reason"], "BadRequest");
    let answer = api.get(&format!("{PODS}?fieldSelector=spec.nope%3D1")).await;
    // Fact (tests/differential, `list/field-unknown`): kubectl adds which resource it is.
    check(&answer, 400, "BadRequest", "field label not supported: spec.nope");
    assert_eq!(
        api.get(&format!("{MAPS}?continue=rubbish&limit=1")).await.expect(400)["message"],
        "invalid continue token: continue key is not valid: illegal base64 data at input byte 6"
    );
    let future = api.get(&format!("{MAPS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan")).await;
    let status = future.expect(504);
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    let answer = api.post(&format!("{MAPS}?dryRun=Some"), &config_map("a", "1")).await;
    assert_eq!(answer.expect(422)["reason"], "Invalid");
    let unnamed = json!({"apiVersion": "v1", "kind": "ConfigMap"});
    let status = api.post(MAPS, &unnamed).await.expect(422);
    assert_eq!(
        status["message"],
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"
    );
    let mut versioned = config_map("v", "1");
    versioned["metadata"]["resourceVersion"] = "5".into();
    let answer = api.post(MAPS, &versioned).await;
    assert_eq!(answer.json()["message"], "resourceVersion should not be set on objects to be created");
}

async fn over_tls(api: &Api, with_cert: Option<(&str, &str)>, path: &str) -> (u16, serde_json::Value) {
    let url = format!("{}{path}", api.url);
    let ca = api.pki_dir().join("ca.crt");
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-s", "--noproxy", "*", "-w", "\n%{http_code}", "--cacert", ca.to_str().unwrap(), &url]);
    if let Some((cert, key)) = with_cert {
        curl.args(["--cert", cert, "--key", key]);
    }
    let out = curl.output().await.unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

// Fact: Kubernetes answers a client that it cannot identify like this, with no other field.
#[tokio::test]
async fn clients_without_a_certificate_of_ours_are_unauthorized() {
    let api = start().await;
    let other = start().await;
    let (cert, key) = (other.pki_dir().join("admin.crt"), other.pki_dir().join("admin.key"));
    let foreign = Some((cert.to_str().unwrap(), key.to_str().unwrap()));
    for (cert, path) in
        [(None, "/api/v1/pods"), (None, "/healthz"), (None, "/version"), (foreign, "/api/v1/pods")]
    {
        let (code, body) = over_tls(&api, cert, path).await;
        assert_eq!(code, 401, "{path}");
        let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "Unauthorized", "reason": "Unauthorized", "code": 401});
        assert_eq!(body, want);
    }
    let (cert, key) = (api.pki_dir().join("admin.crt"), api.pki_dir().join("admin.key"));
    let ours = Some((cert.to_str().unwrap(), key.to_str().unwrap()));
    assert_eq!(over_tls(&api, ours, "/api/v1/pods").await.0, 200);
}

#[tokio::test]
async fn users_that_are_not_administrators_are_forbidden() {
    let api = api::start_as(apiserver::Identity::user("jane", ["developers".to_owned()])).await;
    let text = "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \
                \"default\"";
    check(&api.get(PODS).await, 403, "Forbidden", text);
    let text = "nodes \"n\" is forbidden: User \"jane\" cannot get resource \"nodes\" in API group \"\" at the cluster scope";
    check(&api.get("/api/v1/nodes/n").await, 403, "Forbidden", text);
    let text = "pods \"p\" is forbidden: User \"jane\" cannot create resource \"pods/exec\" in API group \"\" in the \
                namespace \"default\"";
    check(&api.post(&format!("{PODS}/p/exec?command=sh"), &json!(null)).await, 403, "Forbidden", text);
    check(
        &api.get("/metrics").await,
        403,
        "Forbidden",
        "forbidden: User \"jane\" cannot get path \"/metrics\"",
    );
    assert_eq!(api.get("/version").await.status, 200);
    assert_eq!(api.get("/apis").await.status, 200);
}
