//! `proxy`: one HTTP request to a port of a Pod, at the address that this node gave it and nowhere else.
//!
//! The API server has made the request what the Pod shall see; here it is only passed on, and so is the answer, an upgrade
//! included. Redirects are the client's business.

use std::io;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Body, Kubelet, REFUSED, Refused, dial};
use crate::registry::Pod;
use crate::work::tls;

/// Any byte stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Passes a request on; `path` is what the Pod sees.
pub(super) async fn serve(
    kubelet: &Kubelet,
    mut request: Request<Incoming>,
    pod: Arc<Pod>,
    (scheme, port): (&str, &str),
    path: &str,
) -> Result<Response<Body>, Refused> {
    let wrong = |what: String| Refused(StatusCode::BAD_REQUEST, what);
    let number = port.parse().map_err(|_| wrong(format!("{port:?} is no port")))?;
    let uri = path.parse().map_err(|error| wrong(format!("path {path:?}: {error}")))?;
    let stream = connect(&pod, scheme, number).await.map_err(|error| unreachable(&pod, number, &error))?;
    let failed = |error: hyper::Error| {
        let message = format!("error trying to reach service: {error}");
        Refused(StatusCode::SERVICE_UNAVAILABLE, message)
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let connection = connection.with_upgrades();
    kubelet.tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a proxied pod ended");
        }
    });
    let client = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    *request.uri_mut() = uri;
    let mut response = sender.send_request(request).await.map_err(failed)?;
    if let Some(client) = client.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        let pod = hyper::upgrade::on(&mut response);
        kubelet.tasks.spawn(async move {
            if let Ok((client, pod)) = tokio::try_join!(client, pod) {
                let (mut client, mut pod) = (TokioIo::new(client), TokioIo::new(pod));
                let _ = tokio::io::copy_bidirectional(&mut client, &mut pod).await;
            }
        });
    } else {
        drop_hop_headers(response.headers_mut());
    }
    // Only this node itself may say that it refuses.
    response.headers_mut().remove(REFUSED);
    // The sender must live as long as the body flows.
    Ok(response.map(move |body| {
        let frame = move |frame| {
            let _ = &sender;
            frame
        };
        body.map_frame(frame).boxed()
    }))
}

async fn connect(pod: &Pod, scheme: &str, port: u16) -> io::Result<Box<dyn Stream>> {
    let stream = dial::address(pod, port).await?;
    if scheme != "https" {
        return Ok(Box::new(stream));
    }
    let address = stream.peer_addr()?.ip().to_string();
    Ok(Box::new(tls::begin(stream, &address, "http/1.1").await.map_err(io::Error::other)?))
}

/// Kubernetes' code and words.
fn unreachable(pod: &Pod, port: u16, error: &io::Error) -> Refused {
    let address = pod.address().map(|address| address.to_string()).unwrap_or_default();
    let why = dial::reason(error);
    let message = format!("error trying to reach service: dial tcp {address}:{port}: {why}");
    Refused(StatusCode::SERVICE_UNAVAILABLE, message)
}

/// Drops what concerns this one connection only; hyper frames the body anew.
fn drop_hop_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "trailer"] {
        headers.remove(name);
    }
}
