//! HTTP GET towards a Pod, for probes and hooks.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Most of a probe's answer that is read.
const BODY_LIMIT: usize = 10 << 10;

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// The statuses that send a client elsewhere.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends the request and reads the beginning of the answer. Redirects are followed as the kubelet does: within the same
/// host, up to ten; one that leads elsewhere is the answer itself.
///
/// # Errors
/// In plain words: no connection, no answer in time, or a scheme that is not spoken.
pub(crate) async fn get(
    action: &HTTPGetAction,
    container: &Container,
    address: Ipv4Addr,
    timeout: Duration,
) -> Result<Answer, String> {
    let first = Place::asked(action, container, address)?;
    let url = first.url();
    match tokio::time::timeout(timeout, follow(action, first)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

async fn follow(action: &HTTPGetAction, mut place: Place) -> Result<Answer, String> {
    for _ in 0..=MAX_REDIRECTS {
        let url = place.url();
        let said = |error: String| format!("Get {url:?}: {error}");
        let (answer, location) = exchange(action, &place).await.map_err(said)?;
        match location.and_then(|location| place.redirected(&location)) {
            Some(next) if next.host == place.host => place = next,
            _ => return Ok(answer),
        }
    }
    Err(format!("Get {:?}: stopped after {MAX_REDIRECTS} redirects", place.url()))
}

/// One request: the answer, and where it sends us, if it does.
async fn exchange(action: &HTTPGetAction, place: &Place) -> Result<(Answer, Option<String>), String> {
    let Place { secure, host, port, .. } = place;
    let stream = TcpStream::connect((host.as_str(), *port))
        .await
        .map_err(|error| format!("dial tcp {host}:{port}: {error}"))?;
    let request = request(action, host, *port, &place.path)?;
    if *secure {
        send(super::tls::begin(stream, host, "http/1.1").await?, request).await
    } else {
        send(stream, request).await
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: http::Request<Empty<Bytes>>,
) -> Result<(Answer, Option<String>), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let location = answer.headers().get("location").filter(|_| REDIRECTS.contains(&status));
        let location = location.and_then(|location| location.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), BODY_LIMIT).collect().await;
        let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
        Ok((Answer { status, body: body.unwrap_or_default() }, location))
    };
    tokio::select! {
        answer = exchange => answer,
        Err(error) = connection => Err(error.to_string()),
    }
}

// === impl Place ===

impl Place {
    fn asked(action: &HTTPGetAction, container: &Container, address: Ipv4Addr) -> Result<Self, String> {
        let secure = match action.scheme.as_deref().unwrap_or("HTTP") {
            scheme if scheme.eq_ignore_ascii_case("HTTP") => false,
            scheme if scheme.eq_ignore_ascii_case("HTTPS") => true,
            other => return Err(format!("the scheme {other:?} is not supported; use HTTP or HTTPS")),
        };
        let port = port(&action.port, container)?;
        let host = own_host(action.host.as_deref(), address)?;
        let path = action.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        Ok(Self { secure, host, port, path })
    }

    fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path)
    }

    /// Where a `Location` leads from here; none if it cannot be read.
    fn redirected(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.secure { "https" } else { "http" };
            return self.redirected(&format!("{scheme}://{rest}"));
        }
        if location.contains("://") {
            let uri: http::Uri = location.parse().ok()?;
            let secure = match uri.scheme_str()? {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
            let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
            return Some(Self { secure, host: uri.host()?.to_owned(), port, path });
        }
        let path = self.path.split('?').next().unwrap_or("/");
        let path = match location {
            _ if location.starts_with('/') => location.to_owned(),
            _ if location.starts_with('?') => format!("{path}{location}"),
            _ => format!("{}/{location}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        Some(Self { path, ..self.clone() })
    }
}

/// The Pod's address, which is all that is asked: the agent reaches more of the host and its network than the Pod may.
///
/// # Errors
/// Another host was named.
pub(crate) fn own_host(asked: Option<&str>, address: Ipv4Addr) -> Result<String, String> {
    let own = address.to_string();
    match asked {
        None | Some("") => Ok(own),
        Some(host) if host == own => Ok(own),
        Some(host) => Err(format!("the host {host:?} is not the pod's own address: remove the field")),
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

#[cfg(test)]
mod tests;
