//! Certificates that are replaced while the server runs: nobody notices but those who look at them.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "harness/api.rs"]
mod api;

use std::{sync::Arc, time::Duration};

use api::Api;
use apiserver::standing;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use telemetry::ManualClock;
use tokio::{net::TcpStream, task::JoinSet};

/// A server whose clock stands `days` behind.
async fn behind(days: i64) -> (Api, ManualClock) {
    let clock = ManualClock::new(Timestamp::now() - SignedDuration::from_hours(24 * days));
    let shared = Arc::new(clock.clone());
    let api = api::start_with(move |config| {
        config.clock = shared;
        config.certificate_look = Duration::from_millis(20);
    });
    (api.await, clock)
}

/// A client's certificate and key, as PEM.
type Pair = (Vec<u8>, Vec<u8>);

fn admin(api: &Api) -> Pair {
    let read = |name: &str| std::fs::read(api.pki_dir().join(name)).unwrap();
    (read("admin.crt"), read("admin.key"))
}

/// A connection, and the certificate that the server showed.
async fn connect(
    api: &Api,
    (cert, key): &Pair,
    tasks: &mut JoinSet<()>,
) -> (SendRequest<Empty<bytes::Bytes>>, CertificateDer<'static>) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(api.pki_dir().join("ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(cert).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    let tcp = TcpStream::connect(api.url.trim_start_matches("https://")).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let shown = tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
    tasks.spawn(async move { connection.await.unwrap() });
    (sender, shown)
}

async fn ask(sender: &mut SendRequest<Empty<bytes::Bytes>>) -> StatusCode {
    sender.ready().await.unwrap();
    let request = Request::get("/api/v1/pods").header("host", "test").body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    status
}

/// Waits until the certificate on the disk is another one.
async fn replaced(api: &Api, name: &str, before: &[u8]) {
    for _ in 0..500 {
        if std::fs::read(api.pki_dir().join(name)).unwrap() != before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name} was not replaced");
}

#[tokio::test]
async fn the_servers_certificate_is_replaced_and_connections_stay() {
    let (api, clock) = behind(364).await;
    let mut tasks = JoinSet::new();
    let me = admin(&api);
    let before = std::fs::read(api.pki_dir().join("apiserver.crt")).unwrap();
    let (mut open, old) = connect(&api, &me, &mut tasks).await;
    assert_eq!(ask(&mut open).await, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(std::fs::read(api.pki_dir().join("apiserver.crt")).unwrap(), before, "it is not due yet");
    clock.set(Timestamp::now());
    replaced(&api, "apiserver.crt", &before).await;
    // The file is there a moment before it is served.
    for _ in 0..100 {
        if connect(&api, &me, &mut tasks).await.1 != old {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mut new, shown) = connect(&api, &me, &mut tasks).await;
    assert_ne!(shown, old);
    assert_eq!((ask(&mut open).await, ask(&mut new).await), (StatusCode::OK, StatusCode::OK));
    let now = Timestamp::now();
    for found in standing(&api.pki_dir()).unwrap() {
        assert!(found.until > now + SignedDuration::from_hours(24 * 360), "{found:?}");
    }
}

#[tokio::test]
async fn the_administrators_certificate_is_replaced_while_the_old_one_is_still_good() {
    let (api, clock) = behind(370).await;
    let mut tasks = JoinSet::new();
    let old = admin(&api);
    clock.set(Timestamp::now());
    replaced(&api, "admin.crt", &old.0).await;
    let new = admin(&api);
    assert_ne!(old.1, new.1, "the key is another one, too");
    for pair in [old, new] {
        let (mut sender, _) = connect(&api, &pair, &mut tasks).await;
        assert_eq!(ask(&mut sender).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn certificates_are_told_with_their_ends_and_nothing_is_made() {
    let api = api::start().await;
    let found = standing(&api.pki_dir()).unwrap();
    let days = |until: Timestamp| (until.as_second() - Timestamp::now().as_second()) / 86_400;
    let told: Vec<_> =
        found.iter().map(|one| (one.what, days(one.until) / 100, days(one.due_from) / 100)).collect();
    assert_eq!(told, [("server", 3, 3), ("administrator", 7, 3), ("authority", 36, 32)]);
    let nowhere = api.pki_dir().join("nowhere");
    assert_eq!(standing(&nowhere).unwrap(), []);
    assert!(!nowhere.exists());
    std::fs::write(api.pki_dir().join("ca.crt"), "nothing").unwrap();
    assert!(standing(&api.pki_dir()).unwrap_err().to_string().contains("ca"));
}
