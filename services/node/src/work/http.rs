//! HTTP GET towards a Pod, for probes and hooks.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

/// Most of a probe's answer that is read.
const BODY_LIMIT: usize = 10 << 10;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends the request and reads the beginning of the answer.
///
/// # Errors
/// In plain words: no connection, no answer in time, or a scheme that is not spoken.
pub(crate) async fn get(
    action: &HTTPGetAction,
    container: &Container,
    address: Ipv4Addr,
    timeout: Duration,
) -> Result<Answer, String> {
    if action.scheme.as_deref().is_some_and(|scheme| !scheme.eq_ignore_ascii_case("HTTP")) {
        return Err("HTTPS probes are not supported on this node; use tcpSocket, exec or HTTP".to_owned());
    }
    let port = port(&action.port, container)?;
    let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| address.to_string());
    let path = action.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let url = format!("http://{host}:{port}{path}");
    let sent = async {
        let stream = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(|error| format!("dial tcp {host}:{port}: {error}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let request = request(action, &host, port, &path)?;
        let exchange = async move {
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
            let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
            Ok(Answer { status, body: body.unwrap_or_default() })
        };
        tokio::select! {
            answer = exchange => answer,
            Err(error) = connection => Err(error.to_string()),
        }
    };
    match tokio::time::timeout(timeout, sent).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("Get {url:?}: {error}")),
        Err(_) => Err(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

/// The number of a port given by number or by name.
///
/// # Errors
/// No port of the container has that name.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| format!("couldn't find port: {port:?}"))
}

fn request(
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    path: &str,
) -> Result<http::Request<Empty<Bytes>>, String> {
    let mut request = http::Request::get(path).header("Connection", "close");
    let mut named = (false, false);
    for header in action.http_headers.iter().flatten() {
        named.0 |= header.name.eq_ignore_ascii_case("host");
        named.1 |= header.name.eq_ignore_ascii_case("user-agent");
        request = request.header(&header.name, &header.value);
    }
    if !named.0 {
        request = request.header("Host", format!("{host}:{port}"));
    }
    if !named.1 {
        request = request.header("User-Agent", "kube-probe/agent-sandbox");
    }
    request.header("Accept", "*/*").body(Empty::new()).map_err(|error| error.to_string())
}
