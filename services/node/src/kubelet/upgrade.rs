//! From an HTTP request to the bytes of a WebSocket or of SPDY.

use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use streams::{Names, Offer};

use super::{Body, Refused};

/// What clients offer over SPDY, and what we answer.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// A stream in the making: the answer to send, and the bytes after it.
pub(super) struct Upgrade<T> {
    pub(super) response: Response<Body>,
    pub(super) protocol: T,
    pub(super) on: hyper::upgrade::OnUpgrade,
}

/// The bytes after the upgrade.
pub(super) type Io = TokioIo<Upgraded>;

/// Accepts the upgrade in a protocol that both sides speak.
///
/// # Errors
/// It is no such request, or its protocols are not spoken here.
pub(super) fn accept<T: Copy>(
    mut request: Request<Incoming>,
    offer: &Offer<T>,
) -> Result<Upgrade<T>, Refused> {
    let headers = request.headers();
    let (upgrade, answers, protocol) = match list(headers, &UPGRADE).to_ascii_lowercase().as_str() {
        "websocket" => websocket(headers, offer)?,
        "spdy/3.1" => spdy(headers, offer)?,
        other => {
            let message =
                format!("unable to upgrade: neither a WebSocket nor SPDY/3.1 is asked for, but {other:?}");
            return Err(Refused(StatusCode::BAD_REQUEST, message));
        }
    };
    let on = hyper::upgrade::on(&mut request);
    let mut response = Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.extend(answers);
    Ok(Upgrade { response, protocol, on })
}

/// How one kind of upgrade is answered: its name, more headers, and what is spoken.
type Answer<T> = (&'static str, Vec<(HeaderName, HeaderValue)>, T);

fn websocket<T: Copy>(headers: &HeaderMap, offer: &Offer<T>) -> Result<Answer<T>, Refused> {
    let refuse = |message: String| Refused(StatusCode::BAD_REQUEST, message);
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let key = key.ok_or_else(|| refuse("unable to upgrade: Sec-WebSocket-Key is missing".to_owned()))?;
    let chosen = offer.for_websocket(&list(headers, &SEC_WEBSOCKET_PROTOCOL));
    let (name, protocol) = chosen.ok_or_else(|| {
        let spoken = spoken(offer.websocket);
        refuse(format!("unable to upgrade: none of the offered protocols is spoken: use {spoken}"))
    })?;
    let accept = HeaderValue::from_str(&streams::accept_key(key))
        .map_err(|_| refuse("unable to upgrade: Sec-WebSocket-Key is wrong".to_owned()))?;
    let answers =
        vec![(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name)), (SEC_WEBSOCKET_ACCEPT, accept)];
    Ok(("websocket", answers, protocol))
}

fn spdy<T: Copy>(headers: &HeaderMap, offer: &Offer<T>) -> Result<Answer<T>, Refused> {
    let offered = list(headers, &STREAM_PROTOCOL);
    let (name, protocol) = offer.for_spdy(&offered).ok_or_else(|| {
        // Kubernetes' code and words.
        let message = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{offered}], server accepts [{}]",
            spoken(offer.spdy)
        );
        Refused(StatusCode::FORBIDDEN, message)
    })?;
    let answers = name.map(|name| (STREAM_PROTOCOL, HeaderValue::from_static(name)));
    Ok(("SPDY/3.1", answers.into_iter().collect(), protocol))
}

fn spoken<T>(names: Names<T>) -> String {
    names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// All values of a header, separated by commas.
fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
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
