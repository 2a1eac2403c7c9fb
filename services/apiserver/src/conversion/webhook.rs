//! The call of a conversion webhook: HTTPS to a URL, or to a pod behind a Service.
//!
//! **Invariants.**
//! - Nothing is sent to who does not prove to be the host named, by the `caBundle` of the definition; no other authority is
//!   trusted.
//! - Pods are reached through their node, as by `kubectl port-forward`: this server dials none.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Portforwarder;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{core::Core, identity::Identity, kubelet::NodeStream, server, stream};

/// How long a webhook may take, as in Kubernetes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer.
const BIGGEST: usize = 32 * 1024 * 1024;
/// The port of a webhook that names none.
const PORT: u16 = 443;

/// A way to a webhook.
struct Way {
    stream: Box<dyn NodeStream>,
    host: String,
    path: String,
    /// Carries the stream, where it goes through a node.
    _forwarder: Option<Portforwarder>,
}

/// Sends a request; gives the answer.
pub(super) async fn call(core: &Arc<Core>, webhook: &Value, request: Vec<u8>) -> Result<Bytes, String> {
    let exchange = Box::pin(exchange(core, &webhook["clientConfig"], request));
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
    }
}

async fn exchange(core: &Arc<Core>, config: &Value, request: Vec<u8>) -> Result<Bytes, String> {
    let trusted = trusted(config)?;
    let way = match config["url"].as_str() {
        Some(url) => to_url(url).await?,
        None => to_service(core, &config["service"]).await?,
    };
    let name = ServerName::try_from(way.host.clone()).map_err(text)?;
    let stream = TlsConnector::from(Arc::new(trusted)).connect(name, way.stream).await.map_err(text)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    // Ends with its sender, which lives until the answer is read.
    core.tasks.spawn(async move { drop(connection.await) });
    let request = Request::post(way.path)
        .header(header::HOST, way.host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(Full::new(Bytes::from(request)))
        .map_err(text)?;
    let reply = sender.send_request(request).await.map_err(text)?;
    if reply.status() != StatusCode::OK {
        return Err(format!("the webhook answered {}", reply.status()));
    }
    Ok(Limited::new(reply.into_body(), BIGGEST).collect().await.map_err(text)?.to_bytes())
}

/// Trust in the authorities of the definition, and in nobody else.
fn trusted(config: &Value) -> Result<ClientConfig, String> {
    let bundle = BASE64_STANDARD.decode(config["caBundle"].as_str().unwrap_or_default()).map_err(text)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle) {
        roots.add(certificate.map_err(text)?).map_err(text)?;
    }
    if roots.is_empty() {
        return Err("the definition has no caBundle to know the webhook by".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(text)?.with_root_certificates(roots).with_no_client_auth())
}

async fn to_url(url: &str) -> Result<Way, String> {
    let url: Uri = url.parse().map_err(text)?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), url.port_u16().unwrap_or(PORT))).await.map_err(text)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok(Way { stream: Box::new(stream), host, path, _forwarder: None })
}

async fn to_service(core: &Arc<Core>, service: &Value) -> Result<Way, String> {
    let field = |name: &str| service[name].as_str().unwrap_or_default();
    let (name, namespace) = (field("name"), field("namespace"));
    let port = service["port"].as_u64().unwrap_or(u64::from(PORT));
    let (pod, port) = stream::behind(core, namespace, name, port).map_err(|status| status.message)?;
    let client = server::client_of(core, Identity::component("conversion-webhook"), namespace);
    let pods: kube::Api<Pod> = kube::Api::namespaced(client, namespace);
    let mut forwarder = pods.portforward(&pod, &[port]).await.map_err(text)?;
    let stream = forwarder.take_stream(port).ok_or("the pod cannot be reached")?;
    let path = match field("path") {
        "" => "/".to_owned(),
        path => format!("/{}", path.trim_start_matches('/')),
    };
    let host = format!("{name}.{namespace}.svc");
    Ok(Way { stream: Box::new(stream), host, path, _forwarder: Some(forwarder) })
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn text(error: impl ToString) -> String {
    error.to_string()
}
