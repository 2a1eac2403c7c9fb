//! A client that misbehaves costs little and hurts nobody else.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::time::Duration;

use api::config_map;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api as Kube;
use tokio::{net::TcpStream, time::timeout};

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let api = api::start_with(|config| config.max_connections = 1).await;
    let address = api.url.strip_prefix("https://").unwrap();
    let silent = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let namespaces: Kube<Namespace> = Kube::all(api.tls_client().await);
    assert!(timeout(Duration::from_millis(500), namespaces.get("default")).await.is_err());
    drop(silent);
    let answered = timeout(Duration::from_secs(20), namespaces.get("default")).await;
    assert_eq!(answered.unwrap().unwrap().metadata.name.as_deref(), Some("default"));
}

#[tokio::test]
async fn noise_instead_of_tls_is_dropped() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let api = api::start().await;
    let mut noise = TcpStream::connect(api.url.strip_prefix("https://").unwrap()).await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(20), noise.read_to_end(&mut rest)).await;
    assert!(ended.is_ok());
    assert!(!String::from_utf8_lossy(&rest).contains("200"), "{rest:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_held() {
    let api = api::start().await;
    let json = [("content-type", "application/json")];
    let maps = "/api/v1/namespaces/default/configmaps";
    let answer = api.send("POST", maps, &json, vec![b' '; 3 * 1024 * 1024 + 1]).await;
    assert_eq!(answer.status, 413);
    // One byte less is only bad JSON.
    let answer = api.send("POST", maps, &json, vec![b' '; 3 * 1024 * 1024]).await;
    assert_eq!(answer.status, 400);
    api.post(maps, &config_map("a", "1")).await.expect(201);
}

#[tokio::test]
async fn nesting_without_end_is_refused() {
    let api = api::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for (kind, body) in [
        ("application/json", "[".repeat(1_000_000)),
        ("application/json", "{\"a\":".repeat(100_000)),
        ("application/yaml", "- ".repeat(100_000)),
        ("application/yaml", "a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
          d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
          g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n".to_owned()),
    ] {
        let answer = api.send("POST", maps, &[("content-type", kind)], body).await;
        assert_eq!(answer.status, 400, "{kind}");
    }
}
