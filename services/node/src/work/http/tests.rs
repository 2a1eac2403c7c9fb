use super::*;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

fn place(path: &str) -> Place {
    Place { secure: false, host: "10.0.0.2".to_owned(), port: 8080, path: path.to_owned() }
}

#[test]
fn a_location_is_read_from_where_it_was_given() {
    for (location, url) in [
        ("/ok", "http://10.0.0.2:8080/ok"),
        ("deep?x=1", "http://10.0.0.2:8080/a/deep?x=1"),
        ("?y", "http://10.0.0.2:8080/a/b?y"),
        ("https://10.0.0.2/s#part", "https://10.0.0.2:443/s"),
        ("//elsewhere:81/", "http://elsewhere:81/"),
    ] {
        assert_eq!(
            place("/a/b?q").redirected(location).map(|place| place.url()).as_deref(),
            Some(url),
            "{location}"
        );
    }
    assert_eq!(place("/").redirected("ftp://10.0.0.2/"), None);
}

/// Answers each connection by the path that is asked for.
async fn server(tls: Option<tokio_rustls::TlsAcceptor>) -> (JoinSet<()>, i32) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            match &tls {
                Some(tls) => answer(tls.accept(stream).await.unwrap()).await,
                None => answer(stream).await,
            }
        }
    });
    (tasks, i32::from(port))
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut request = vec![0; 4096];
    let size = stream.read(&mut request).await.unwrap();
    let request = String::from_utf8_lossy(&request[..size]).into_owned();
    let (status, location) = match request.split(' ').nth(1).unwrap_or_default() {
        "/ok" => ("200 OK", ""),
        "/moved" => ("302 Found", "/ok"),
        "/to-broken" => ("302 Found", "/broken"),
        "/away" => ("302 Found", "http://192.0.2.1/"),
        "/round" => ("307 Temporary Redirect", "/round"),
        _ => ("500 Internal Server Error", ""),
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}

async fn status(scheme: &str, port: i32, path: &str) -> Result<u16, String> {
    let action = HTTPGetAction {
        scheme: Some(scheme.to_owned()),
        port: IntOrString::Int(port),
        path: Some(path.to_owned()),
        ..HTTPGetAction::default()
    };
    let got = get(&action, &Container::default(), Ipv4Addr::LOCALHOST, Duration::from_secs(5)).await;
    got.map(|answer| answer.status)
}

/// The kubelet follows redirects to the same host, takes one to another host as success, and gives up after ten.
#[tokio::test]
async fn redirects_are_followed_within_the_pod_only() {
    let (_tasks, port) = server(None).await;
    assert_eq!(status("HTTP", port, "/moved").await, Ok(200));
    assert_eq!(status("HTTP", port, "/to-broken").await, Ok(500));
    assert_eq!(status("HTTP", port, "/away").await, Ok(302));
    let error = status("HTTP", port, "/round").await.unwrap_err();
    assert!(error.ends_with("stopped after 10 redirects"), "{error}");
}

/// The kubelet does not verify the certificate of a probe's answer.
#[tokio::test]
async fn https_is_spoken_with_any_certificate() {
    let key = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .unwrap();
    let (_tasks, port) = server(Some(std::sync::Arc::new(config).into())).await;
    assert_eq!(status("HTTPS", port, "/ok").await, Ok(200));
    assert_eq!(status("https", port, "/moved").await, Ok(200));
    let (_tasks, port) = server(None).await;
    let error = status("HTTPS", port, "/ok").await.unwrap_err();
    assert!(error.contains("tls: "), "{error}");
}

/// The host's loopback and the cloud's metadata service are open to the agent and closed to the sandbox.
#[test]
fn no_host_but_the_pods_own_is_asked() {
    let own = Ipv4Addr::new(10, 0, 0, 2);
    for fine in [None, Some(""), Some("10.0.0.2")] {
        assert_eq!(own_host(fine, own).as_deref(), Ok("10.0.0.2"));
    }
    for other in ["127.0.0.1", "169.254.169.254", "localhost", "010.0.0.2"] {
        assert!(own_host(Some(other), own).is_err(), "{other}");
    }
}
