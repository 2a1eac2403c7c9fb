//! Exec, attach, logs, port-forward and node proxy reach the node as they were sent.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::{convert::Infallible, io, sync::Arc};

use api::{Api, pod};
use apiserver::{KubeletConnector, NodeStream};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn, upgrade};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api as Kube, api::AttachParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::TaskTracker;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A node that says what it was asked, and echoes bytes after an upgrade.
#[derive(Default)]
struct Node {
    tasks: TaskTracker,
}

impl KubeletConnector for Node {
    fn connect<'a>(&'a self, node: &'a str) -> BoxFuture<'a, io::Result<Box<dyn NodeStream>>> {
        if node != "n1" {
            return Box::pin(async { Err(io::Error::other("no such node")) });
        }
        let (near, far) = tokio::io::duplex(1024);
        let tasks = self.tasks.clone();
        let service = service_fn(move |request| answer(request, tasks.clone()));
        let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        self.tasks.spawn(async move { drop(server.with_upgrades().await) });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn NodeStream>) })
    }
}

async fn answer(
    mut request: Request<Incoming>,
    tasks: TaskTracker,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let asked = request.uri().path_and_query().unwrap().to_string();
    if let Some(wanted) = request.headers().get("upgrade").cloned() {
        let upgraded = upgrade::on(&mut request);
        tasks.spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            stream.write_all(format!("{asked}\n").as_bytes()).await.unwrap();
            let (mut read, mut write) = tokio::io::split(stream);
            drop(tokio::io::copy(&mut read, &mut write).await);
        });
        let mut reply = Response::new(Full::default());
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        reply.headers_mut().insert("upgrade", wanted);
        reply.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        return Ok(reply);
    }
    if let Some(code) = asked.split("tailLines=4").nth(1).and_then(|last| format!("4{last}").parse().ok()) {
        let mut reply = Response::new(Full::from("container \"main\" in pod \"one\" is waiting to start\n"));
        *reply.status_mut() = StatusCode::from_u16(code).unwrap();
        return Ok(reply);
    }
    let method = request.method().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = format!("{method} {asked} {}", String::from_utf8_lossy(&body));
    Ok(Response::new(Full::from(text)))
}

async fn start() -> Api {
    let api = api::start_with(|config| config.kubelet = Arc::new(Node::default())).await;
    let mut two = pod("two");
    two["spec"]["containers"] = json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]);
    for (sent, name) in [(pod("one"), "one"), (two, "two")] {
        api.post(PODS, &sent).await.expect(201);
        api.post(&format!("{PODS}/{name}/binding"), &json!({"target": {"name": "n1"}})).await.expect(201);
    }
    api.post(PODS, &pod("waiting")).await.expect(201);
    api.post("/api/v1/nodes", &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}))
        .await
        .expect(201);
    api
}

#[tokio::test]
async fn logs_come_from_the_node() {
    let api = start().await;
    let answer = api.get(&format!("{PODS}/one/log?follow=true&tailLines=5&stream=Stdout")).await;
    assert_eq!(answer.text, "GET /containerLogs/default/one/main?follow=true&tailLines=5&stream=Stdout ");
    let answer = api.get(&format!("{PODS}/two/log?container=b")).await;
    assert_eq!(answer.text, "GET /containerLogs/default/two/b ");
    let status = api.get(&format!("{PODS}/two/log")).await.expect(400);
    assert_eq!(status["message"], "a container name must be specified for pod two, choose one of: [a b]");
    let status = api.get(&format!("{PODS}/two/log?container=c")).await.expect(400);
    assert_eq!(status["message"], "container c is not valid for pod two");
    assert_eq!(api.get(&format!("{PODS}/none/log")).await.status, 404);
    let waiting = api.get(&format!("{PODS}/waiting/log")).await;
    // Fact: tests/differential, `log/not-scheduled`.
    assert_eq!((waiting.status.as_u16(), waiting.text.as_str()), (204, ""));
    // Facts: `GenericHttpResponseChecker` wraps what the kubelet says against a log request.
    let status = api.get(&format!("{PODS}/one/log?tailLines=400")).await.expect(400);
    let text = "container \"main\" in pod \"one\" is waiting to start";
    assert_eq!((status["kind"].as_str(), status["message"].as_str()), (Some("Status"), Some(text)));
    let status = api.get(&format!("{PODS}/one/log?tailLines=404")).await.expect(404);
    assert_eq!(status["message"], "the server could not find the requested resource ( pods/log one)");
    assert_eq!(api.kubectl(&["logs", "one"], "").await, "GET /containerLogs/default/one/main ");
}

async fn raw_upgrade(api: &Api, protocol: &str, path: &str) -> (String, String) {
    // A TLS connection of our own: only so can the bytes after the 101 be seen.
    let dir = api.pki_dir();
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let address = api.url.strip_prefix("https://").unwrap();
    let mut openssl = tokio::process::Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-connect", address, "-CAfile", &file("ca.crt")]);
    openssl.args(["-cert", &file("admin.crt"), "-key", &file("admin.key")]);
    openssl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = openssl.stderr(std::process::Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    stdin.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("\r\n\r\n") || !seen.ends_with('\n') || seen.ends_with("\r\n\r\n") {
        seen.push(char::from(stdout.read_u8().await.unwrap()));
    }
    stdin.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    stdout.read_exact(&mut echo).await.unwrap();
    (seen, String::from_utf8(echo.to_vec()).unwrap())
}

#[tokio::test]
async fn an_upgrade_is_passed_on_whatever_its_protocol() {
    let api = start().await;
    let exec =
        format!("{PODS}/one/exec?command=sh&command=-c&command=echo+a%26b&stdin=true&stdout=true&tty=true");
    for protocol in ["SPDY/3.1", "websocket"] {
        let (head, echo) = raw_upgrade(&api, protocol, &exec).await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert!(head.to_lowercase().contains(&format!("upgrade: {}\r\n", protocol.to_lowercase())), "{head}");
        let want =
            "/exec/default/one/main?command=sh&command=-c&command=echo%20a%26b&input=1&output=1&tty=1\n";
        assert!(head.ends_with(want), "{head}");
        assert_eq!(echo, "ping");
    }
    let (head, _) = raw_upgrade(&api, "SPDY/3.1", &format!("{PODS}/one/portforward")).await;
    assert!(head.ends_with("/portForward/default/one\n"), "{head}");
}

#[tokio::test]
async fn in_process_clients_can_upgrade_too() {
    let api = start().await;
    let pods: Kube<Pod> = Kube::default_namespaced(api.client.clone());
    // The echo is no WebSocket peer, so only the refusals of the handshake can be seen by kube's client.
    let refused = pods.exec("one", ["sh"], &AttachParams::default()).await.err().unwrap();
    assert!(matches!(refused, kube::Error::UpgradeConnection(_)), "{refused:?}");
    let refused = pods.exec("waiting", ["sh"], &AttachParams::default()).await.err().unwrap();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 400), "{refused:?}");
    let refused = pods.exec("none", ["sh"], &AttachParams::default()).await.err().unwrap();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 404), "{refused:?}");
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_named() {
    let api = start().await;
    api.post(PODS, &pod("lost")).await.expect(201);
    api.post(&format!("{PODS}/lost/binding"), &json!({"target": {"name": "n2"}})).await.expect(201);
    let status: Value = api.get(&format!("{PODS}/lost/log")).await.expect(500);
    let text = status["message"].as_str().unwrap();
    assert!(text.starts_with("error dialing backend: node \"n2\""), "{text}");
}

#[tokio::test]
async fn a_node_proxy_passes_method_path_and_body() {
    let api = start().await;
    let answer = api.send("POST", "/api/v1/nodes/n1/proxy/images/pull?reference=a%2Fb", &[], "body").await;
    assert_eq!(answer.text, "POST /images/pull?reference=a%2Fb body");
    assert_eq!(api.get("/api/v1/nodes/n1/proxy/images").await.text, "GET /images ");
    assert_eq!(
        api.send("DELETE", "/api/v1/nodes/n1/proxy/images?reference=x", &[], "").await.text,
        "DELETE /images?reference=x "
    );
    assert_eq!(api.get("/api/v1/nodes/none/proxy/images").await.status, 404);
}
