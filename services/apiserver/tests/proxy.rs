//! `proxy` of pods and services reaches pods through their nodes, by Kubernetes' rules.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::{convert::Infallible, io, sync::Arc};

use api::{Answer, Api, pod};
use apiserver::{KubeletConnector, NodeStream};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_util::task::TaskTracker;

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A node that says what it was asked.
#[derive(Default)]
struct Node {
    tasks: TaskTracker,
}

impl KubeletConnector for Node {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        assert_eq!(node, "n1");
        let (near, far) = tokio::io::duplex(1024);
        let server = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(far), service_fn(answer));
        self.tasks.spawn(async move { drop(server.await) });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn NodeStream>) })
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let asked = parts.uri.path_and_query().unwrap().to_string();
    let headers: Vec<String> = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != "content-length")
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
        .collect();
    let body = body.collect().await.unwrap().to_bytes();
    let text = format!("{} {asked} {} [{}]", parts.method, String::from_utf8_lossy(&body), headers.join(" "));
    let reply = Response::builder().header("access-control-allow-origin", "*").header("x-of-the-pod", "1");
    let reply = match asked.rsplit('/').next() {
        Some("moved") => reply.status(302).header("location", "/login?next=%2F"),
        Some("away") => reply.status(302).header("location", "https://example.org/"),
        Some("refused") => reply.status(503).header("x-agent-sandbox-refused", "true"),
        _ => reply,
    };
    Ok(reply.body(Full::from(text)).unwrap())
}

async fn bound(api: &Api, name: &str, ip: &str) {
    let mut sent = pod(name);
    sent["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080}]);
    api.post(PODS, &sent).await.expect(201);
    api.post(&format!("{PODS}/{name}/binding"), &json!({"target": {"name": "n1"}})).await.expect(201);
    let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}});
    api.patch(&format!("{PODS}/{name}/status"), "merge", &status).await.expect(200);
}

async fn start() -> Api {
    let api = api::start_with(|config| config.kubelet = Arc::new(Node::default())).await;
    bound(&api, "web", "10.0.0.5").await;
    api.post(PODS, &pod("waiting")).await.expect(201);
    api
}

fn location(answer: &Answer) -> &str {
    answer.headers["location"].to_str().unwrap()
}

/// Method, path and body as the node saw them.
fn seen(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.split(" [").next().unwrap()
}

#[tokio::test]
async fn a_pod_is_reached_by_name_port_and_scheme() {
    let api = start().await;
    for (id, want) in [
        ("web", "http/8080"),
        ("web:9000", "http/9000"),
        ("https:web:9443", "https/9443"),
        ("http:web:", "http/8080"),
    ] {
        let got = api.get(&format!("{PODS}/{id}/proxy/a%2Fb//c/?x=%201&y")).await;
        assert_eq!(seen(&got), format!("GET /proxy/default/web/{want}/a%2Fb//c/?x=%201&y "));
    }
    let got = api.send("PUT", &format!("{PODS}/web/proxy/"), &[], "body").await;
    assert_eq!(seen(&got), "PUT /proxy/default/web/http/8080/ body");
    for (id, code, want) in [
        ("ftp:web:80", 400, "invalid pod request \"ftp:web:80\""),
        ("web:0", 400, "invalid pod request \"web:0\": \"0\" is no port number"),
        ("web:http", 400, "invalid pod request \"web:http\": \"http\" is no port number"),
        ("waiting", 400, "address not allowed"),
        ("none:80", 404, "pods \"none\" not found"),
    ] {
        let status = api.get(&format!("{PODS}/{id}/proxy/")).await.expect(code);
        assert_eq!(status["message"], want);
    }
    let refused = api.send("TRACE", &format!("{PODS}/web/proxy/"), &[], "").await;
    assert_eq!(refused.status, 405);
}

/// Fact: the root without its slash is moved to where relative links work, on GET and HEAD only.
#[tokio::test]
async fn the_root_is_a_folder() {
    let api = start().await;
    let moved = api.get(&format!("{PODS}/web/proxy?a=b")).await;
    assert_eq!((moved.status.as_u16(), location(&moved)), (301, format!("{PODS}/web/proxy/?a=b").as_str()));
    let posted = api.send("POST", &format!("{PODS}/web/proxy"), &[], "x").await;
    assert_eq!(seen(&posted), "POST /proxy/default/web/http/8080/ x");
}

#[tokio::test]
async fn redirects_are_the_clients_business_and_stay_below_the_pod() {
    let api = start().await;
    let moved = api.get(&format!("{PODS}/web/proxy/a/moved")).await;
    assert_eq!(moved.status, 302, "not followed");
    assert_eq!(moved.headers["location"], format!("{PODS}/web/proxy/login?next=%2F"));
    let away = api.get(&format!("{PODS}/web/proxy/away")).await;
    assert_eq!((away.status.as_u16(), location(&away)), (302, "https://example.org/"));
}

#[tokio::test]
async fn headers_are_those_of_the_client_without_its_credentials_and_its_connection() {
    let api = start().await;
    let headers = [
        ("authorization", "Bearer secret"),
        ("host", "example.org"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("connection", "x-once"),
        ("x-once", "1"),
        ("accept", "text/html"),
    ];
    let got = api.send("GET", &format!("{PODS}/web/proxy/p"), &headers, "").await;
    let headers = got.text.split_once('[').unwrap().1.to_owned();
    for want in [
        "host=example.org",
        "cookie=a=1; b=2",
        "accept=text/html",
        &format!("x-forwarded-uri={PODS}/web/proxy/p"),
    ] {
        assert!(headers.contains(want), "{want}: {headers}");
    }
    assert!(!headers.contains("secret") && !headers.contains("once"), "{headers}");
    assert!(!got.headers.contains_key("access-control-allow-origin"));
    assert_eq!(got.headers["x-of-the-pod"], "1");
}

#[tokio::test]
async fn what_the_node_refuses_is_a_status() {
    let api = start().await;
    let status = api.get(&format!("{PODS}/web/proxy/refused")).await.expect(503);
    assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("ServiceUnavailable")));
    assert!(status["message"].as_str().unwrap().starts_with("GET /proxy/"), "{status}");
}

async fn endpoints(api: &Api, name: &str, addresses: serde_json::Value) {
    let object = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": [
        {"addresses": addresses, "ports": [{"name": "web", "port": 9000}, {"name": "admin", "port": 9443}]},
    ]});
    let path = "/api/v1/namespaces/default/endpoints";
    api.post(path, &object).await.expect(201);
}

async fn service(api: &Api, name: &str) {
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [
        {"name": "web", "port": 80, "targetPort": 9000}, {"name": "admin", "port": 443, "targetPort": 9443},
    ]}});
    api.post(SERVICES, &object).await.expect(201);
}

fn address(ip: &str, pod: &str, namespace: &str) -> serde_json::Value {
    json!({"ip": ip, "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace}})
}

#[tokio::test]
async fn a_service_is_reached_through_one_of_its_pods() {
    let api = start().await;
    service(&api, "front").await;
    endpoints(&api, "front", json!([address("10.0.0.5", "web", "default")])).await;
    for (id, want) in [
        ("front:80", "http/9000"),
        ("front:web", "http/9000"),
        ("https:front:admin", "https/9443"),
        ("https:front:443", "https/9443"),
    ] {
        let got = api.get(&format!("{SERVICES}/{id}/proxy/x")).await;
        assert_eq!(seen(&got), format!("GET /proxy/default/web/{want}/x "), "{id}");
    }
    for (id, code, want) in [
        ("front:81", 503, "no service port 81 found for service \"front\""),
        ("front:none", 503, "no endpoints available for service \"front:none\""),
        ("missing", 404, "services \"missing\" not found"),
        ("a:b:c", 400, "invalid service request \"a:b:c\""),
    ] {
        let status = api.get(&format!("{SERVICES}/{id}/proxy/x")).await.expect(code);
        assert_eq!(status["message"], want);
    }
}

/// Who may write endpoints must not be able to make the server reach anything but a pod of the same namespace.
#[tokio::test]
async fn an_address_that_is_no_pods_is_never_reached() {
    let api = start().await;
    for (name, addresses) in [
        ("bare", json!([{"ip": "10.0.0.5"}])),
        ("loopback", json!([address("127.0.0.1", "web", "default")])),
        ("metadata", json!([address("169.254.169.254", "web", "default")])),
        ("abroad", json!([address("10.0.0.5", "web", "other")])),
        ("nobody", json!([address("10.0.0.5", "none", "default")])),
    ] {
        service(&api, name).await;
        // Some of these Kubernetes refuses to store; then nothing can be reached either.
        let object = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": [
            {"addresses": addresses, "ports": [{"name": "web", "port": 9000}]},
        ]});
        api.post("/api/v1/namespaces/default/endpoints", &object).await;
        let status = api.get(&format!("{SERVICES}/{name}:web/proxy/")).await.expect(503);
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with("no endpoints available for service"), "{name}: {message}");
    }
}
