//! Objects of a definition are converted by its webhook, wherever a version is asked for that is not the stored one.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{Api, start};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{TlsAcceptor, rustls};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const V1: &str = "/apis/example.com/v1/namespaces/default/hosts";
const V2: &str = "/apis/example.com/v2/namespaces/default/hosts";

/// A webhook: v1 has `spec.hostPort`, v2 `spec.host` and `spec.port`.
struct Webhook {
    url: String,
    bundle: String,
    calls: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

async fn webhook() -> Webhook {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/convert", listener.local_addr().unwrap().port());
    let calls = Arc::new(AtomicUsize::new(0));
    let (mut running, counted) = (JoinSet::new(), Arc::clone(&calls));
    running.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request| answer(request, Arc::clone(&counted)));
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Webhook { url, bundle: BASE64_STANDARD.encode(made.cert.pem()), calls, _running: running }
}

async fn answer(
    request: Request<Incoming>,
    calls: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    calls.fetch_add(1, Ordering::Relaxed);
    assert_eq!(request.uri().path(), "/convert");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    let request = review["request"].take();
    let wanted = request["desiredAPIVersion"].as_str().unwrap().to_owned();
    let objects = request["objects"].as_array().unwrap().iter();
    let converted: Vec<Value> = objects.map(|object| converted(object.clone(), &wanted)).collect();
    let broken = converted.iter().any(|object| object["metadata"]["name"] == "broken");
    let result = if broken {
        json!({"status": "Failed", "message": "it is broken"})
    } else {
        json!({"status": "Success"})
    };
    let answer = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "response": {"uid": request["uid"], "result": result, "convertedObjects": converted}});
    Ok(Response::new(Full::new(answer.to_string().into())))
}

fn converted(mut object: Value, wanted: &str) -> Value {
    object["apiVersion"] = wanted.into();
    let spec = object["spec"].take();
    object["spec"] = if wanted.ends_with("/v1") {
        json!({"hostPort": format!("{}:{}", spec["host"].as_str().unwrap(), spec["port"])})
    } else {
        let (host, port) = spec["hostPort"].as_str().unwrap().split_once(':').unwrap();
        json!({"host": host, "port": port.parse::<u16>().unwrap()})
    };
    object
}

fn definition(webhook: &Webhook) -> Value {
    let version = |name: &str, fields: Value| {
        json!({"name": name, "served": true, "storage": name == "v2", "schema": {"openAPIV3Schema":
            {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}},
            "selectableFields": if name == "v1" { json!([{"jsonPath": ".spec.hostPort"}]) } else { json!([]) }})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "hosts.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "hosts", "kind": "Host"},
            "versions": [
                version("v1", json!({"hostPort": {"type": "string"}})),
                version("v2", json!({"host": {"type": "string"}, "port": {"type": "integer"}})),
            ],
            "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
                "clientConfig": {"url": webhook.url, "caBundle": webhook.bundle}}}}})
}

fn host(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Host", "metadata": {"name": name}, "spec": {"hostPort": "a.b:80"}})
}

async fn with_hosts() -> (Api, Webhook) {
    let (api, webhook) = (start().await, webhook().await);
    api.post(CRDS, &definition(&webhook)).await.expect(201);
    (api, webhook)
}

#[tokio::test]
async fn reads_and_writes_go_through_the_webhook() {
    let (api, webhook) = with_hosts().await;
    let made = api.post(V1, &host("a")).await.expect(201);
    assert_eq!(
        (&made["apiVersion"], &made["spec"]),
        (&json!("example.com/v1"), &json!({"hostPort": "a.b:80"}))
    );
    let stored = api.get(&format!("{V2}/a")).await.expect(200);
    assert_eq!(stored["spec"], json!({"host": "a.b", "port": 80}));
    assert_eq!(stored["metadata"]["uid"], made["metadata"]["uid"]);
    let calls = webhook.calls.load(Ordering::Relaxed);
    api.get(&format!("{V2}/a")).await.expect(200);
    assert_eq!(webhook.calls.load(Ordering::Relaxed), calls, "what is stored as asked for is not converted");
    let patch = json!({"spec": {"hostPort": "c.d:443"}});
    let made = api.patch(&format!("{V1}/a"), "merge", &patch).await.expect(200);
    assert_eq!((&made["spec"]["hostPort"], &made["metadata"]["generation"]), (&json!("c.d:443"), &json!(2)));
    let mut new = api.get(&format!("{V2}/a")).await.expect(200);
    new["spec"]["port"] = 8443.into();
    api.put(&format!("{V2}/a"), &new).await.expect(200);
    api.post(V1, &host("b")).await.expect(201);
    let calls = webhook.calls.load(Ordering::Relaxed);
    let list = api.get(&format!("{V1}?fieldSelector=spec.hostPort%3Dc.d:8443")).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["spec"]["hostPort"], "c.d:8443");
    assert_eq!(webhook.calls.load(Ordering::Relaxed), calls + 1, "a list is converted at once");
    api.delete(&format!("{V1}/a"), &Value::Null).await.expect(200);
    api.get(&format!("{V1}/a")).await.expect(404);
}

#[tokio::test]
async fn watches_see_their_version() {
    let (api, _webhook) = with_hosts().await;
    api.post(V1, &host("a")).await.expect(201);
    let path = format!("{V1}?watch=true&timeoutSeconds=3");
    let watched = api.events(&path);
    let changed = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        api.patch(&format!("{V2}/a"), "merge", &json!({"spec": {"port": 81}})).await.expect(200);
        api.delete(&format!("{V2}/a"), &Value::Null).await.expect(200);
    };
    let (events, ()) = tokio::join!(watched, changed);
    let seen: Vec<(&str, &str)> = events
        .iter()
        .map(|e| (e["type"].as_str().unwrap(), e["object"]["spec"]["hostPort"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("ADDED", "a.b:80"), ("MODIFIED", "a.b:81"), ("DELETED", "a.b:81")]);
}

#[tokio::test]
async fn what_the_webhook_refuses_is_told_and_nothing_is_stored() {
    let (api, webhook) = with_hosts().await;
    let told = api.post(V1, &host("broken")).await.expect(500);
    let why = "conversion webhook for example.com/v1, Kind=Host failed: it is broken";
    assert!(told["message"].as_str().unwrap().ends_with(why), "{told}");
    api.get(&format!("{V2}/broken")).await.expect(404);
    api.post(V1, &host("a")).await.expect(201);
    // Who does not prove to be the host named is sent nothing.
    let mut other = definition(&webhook);
    let strange = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let bundle = BASE64_STANDARD.encode(strange.cert.pem());
    other["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = bundle.into();
    api.patch(&format!("{CRDS}/hosts.example.com"), "merge", &other).await.expect(200);
    let calls = webhook.calls.load(Ordering::Relaxed);
    let told = api.get(&format!("{V1}/a")).await.expect(500);
    assert!(told["message"].as_str().unwrap().contains("certificate"), "{told}");
    assert_eq!(webhook.calls.load(Ordering::Relaxed), calls);
    api.get(&format!("{V2}/a")).await.expect(200);
}
