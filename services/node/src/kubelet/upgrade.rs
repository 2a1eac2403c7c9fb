//! From an HTTP request to a WebSocket's bytes.

use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use streams::Protocol;

use super::{Body, Refused};

/// A WebSocket in the making: the answer to send, and the bytes after it.
pub(super) struct Upgrade {
    pub(super) response: Response<Body>,
    pub(super) protocol: Protocol,
    pub(super) on: hyper::upgrade::OnUpgrade,
}

/// The bytes after the upgrade.
pub(super) type Io = TokioIo<Upgraded>;

/// Accepts the upgrade in a protocol that both sides speak.
///
/// # Errors
/// It is no WebSocket request, or its protocols are not spoken here.
pub(super) fn accept(
    mut request: Request<Incoming>,
    choose: impl Fn(&str) -> Option<Protocol>,
) -> Result<Upgrade, Refused> {
    let header = |name: HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let refuse = |message: &str| Refused(StatusCode::BAD_REQUEST, message.to_owned());
    if !header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err(refuse("unable to upgrade: only WebSockets are spoken here"));
    }
    let key =
        header(SEC_WEBSOCKET_KEY).ok_or_else(|| refuse("unable to upgrade: Sec-WebSocket-Key is missing"))?;
    let all =
        request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered = all.collect::<Vec<_>>().join(",");
    let protocol = choose(&offered).ok_or_else(|| {
        refuse("unable to upgrade: none of the offered protocols is spoken: use v5.channel.k8s.io or v4.channel.k8s.io")
    })?;
    let on = hyper::upgrade::on(&mut request);
    let mut response = Response::new(Empty::<Bytes>::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name()));
    let accept =
        HeaderValue::from_str(&streams::accept_key(&key)).map_err(|_| refuse("unable to upgrade"))?;
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(Upgrade { response, protocol, on })
}

/// Waits for the bytes after the upgrade.
pub(super) async fn finish(on: hyper::upgrade::OnUpgrade) -> Option<Io> {
    match on.await {
        Ok(upgraded) => Some(TokioIo::new(upgraded)),
        Err(error) => {
            tracing::debug!(%error, "upgrade not finished");
            None
        }
    }
}
