//! A client that misbehaves costs little and hurts nobody else.
#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

#[path = "harness/api.rs"]
mod api;

use std::time::Duration;

use api::config_map;
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api as Kube, api::WatchParams};
use tokio::{net::TcpStream, time::timeout};

/// Whoever can prove who it is takes the place of somebody who is idle; who is being answered stays.
#[tokio::test]
async fn one_connection_more_than_allowed_takes_the_place_of_an_idle_one() {
    let api = api::start_with(|config| config.max_connections = 2).await;
    let (watcher, idler, newcomer) = (api.tls_client().await, api.tls_client().await, api.tls_client().await);
    let namespaces = |client: &kube::Client| Kube::<Namespace>::all(client.clone());
    let (watched, idle) = (namespaces(&watcher), namespaces(&idler));
    let events = watched.watch(&WatchParams::default(), "0").await.unwrap();
    let mut events = Box::pin(events);
    events.try_next().await.unwrap().unwrap();
    idle.get("default").await.unwrap();
    for _ in 0..3 {
        let answered = timeout(Duration::from_secs(10), namespaces(&newcomer).get("default")).await;
        assert_eq!(answered.unwrap().unwrap().metadata.name.as_deref(), Some("default"));
        timeout(Duration::from_secs(10), idle.get("default")).await.unwrap().unwrap();
    }
    for _ in 0..3 {
        timeout(Duration::from_secs(10), events.try_next()).await.unwrap().unwrap().unwrap();
    }
}

fn raise_the_limit_of_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Ten thousand sockets that say nothing, opened while another client works: it is served all the time, and so is one that
/// comes after them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_leave_another_client_unharmed() {
    raise_the_limit_of_open_files();
    let api = api::start().await;
    let address = api.url.strip_prefix("https://").unwrap().to_owned();
    let namespaces: Kube<Namespace> = Kube::all(api.tls_client().await);
    namespaces.get("default").await.unwrap();
    let mut silent = Vec::new();
    let mut slowest = Duration::ZERO;
    for round in 0..100 {
        for _ in 0..100 {
            silent
                .push(timeout(Duration::from_secs(10), TcpStream::connect(&address)).await.unwrap().unwrap());
        }
        let started = std::time::Instant::now();
        timeout(Duration::from_secs(5), namespaces.get("default")).await.unwrap().unwrap();
        slowest = slowest.max(started.elapsed());
        if round % 25 == 24 {
            let newcomer: Kube<Namespace> = Kube::all(api.tls_client().await);
            timeout(Duration::from_secs(5), newcomer.get("default")).await.unwrap().unwrap();
        }
    }
    assert_eq!(silent.len(), 10_000);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
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
