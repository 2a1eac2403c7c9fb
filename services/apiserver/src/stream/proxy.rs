//! `proxy` of pods and services: HTTP to a port of a pod, through its node.
//!
//! **Invariant:** the node chooses the address, by the pod's name and from what it gave out itself; no address that
//! somebody wrote into an object is ever dialled.

mod location;
mod target;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts, uri::Authority};
use http_body_util::{BodyExt as _, Limited};
use wire::{Reason, Status};

use self::target::Destination;
pub(super) use self::target::behind;
use super::{MAX_REFUSAL, Passage, forward, request};
use crate::{
    body::{self, Reply, RequestBody},
    verb::Call,
};

/// Methods that are passed on.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
/// What a pod says about who may read its answers is not about this server.
const CORS: [HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// Forwards a request to a pod, or to one of the pods of a service.
pub(super) async fn open(call: Call<'_>, mut parts: Parts, body: RequestBody) -> Result<Reply, Status> {
    if !METHODS.contains(&parts.method) {
        return Err(Status::method_not_allowed());
    }
    let destination = match call.kind().plural.as_ref() {
        "services" => target::of_service(&call)?,
        _ => target::of_pod(&call)?,
    };
    let asked = parts.uri.clone();
    let upgrading = request::is_upgrade(&parts.headers);
    let browsing = matches!(parts.method, Method::GET | Method::HEAD);
    if !upgrading && browsing && call.target.rest.is_empty() && !asked.path().ends_with('/') {
        // Links of a page at the root are relative to a folder.
        return Ok(moved(&asked));
    }
    let host = host(&parts);
    let path = path(&call, &destination, asked.query());
    prepare(&mut parts.headers, asked.path());
    let passage = Passage { node: &destination.node, path: &path, host: host.clone() };
    let mut reply = forward(call.core, passage, parts, body).await?;
    if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(reply);
    }
    if reply.headers_mut().remove(super::REFUSED).is_some() {
        return Err(refusal(reply).await);
    }
    for name in CORS {
        reply.headers_mut().remove(name);
    }
    rewrite_location(
        reply.headers_mut(),
        &call,
        &destination,
        asked.path(),
        host.to_str().unwrap_or_default(),
    );
    Ok(reply)
}

fn moved(asked: &http::Uri) -> Reply {
    let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut reply = body::text(StatusCode::MOVED_PERMANENTLY, "");
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", asked.path())) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    reply
}

/// The host that the client named; pods see it as it was sent.
fn host(parts: &Parts) -> HeaderValue {
    let authority = parts.uri.authority().map(Authority::as_str);
    let named = authority.and_then(|authority| HeaderValue::from_str(authority).ok());
    let named = named.or_else(|| parts.headers.get(header::HOST).cloned());
    named.unwrap_or(HeaderValue::from_static("localhost"))
}

/// The path of the node's endpoint; what follows the port is what the pod sees.
fn path(call: &Call<'_>, destination: &Destination, query: Option<&str>) -> String {
    let Destination { pod, scheme, port, .. } = destination;
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("/proxy/{}/{pod}/{scheme}/{port}/{}{query}", call.target.namespace, call.target.rest)
}

fn prepare(headers: &mut HeaderMap, asked: &str) {
    if let Ok(uri) = HeaderValue::from_str(asked) {
        headers.insert("x-forwarded-uri", uri);
    }
    // HTTP/2 sends cookies one by one, HTTP/1.1 does not.
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// A redirect of the pod, as it must be for a client that sees the pod below the path of this server.
fn rewrite_location(
    headers: &mut HeaderMap,
    call: &Call<'_>,
    destination: &Destination,
    asked: &str,
    host: &str,
) {
    let Some(found) = headers.get(header::LOCATION).and_then(|found| found.to_str().ok()) else { return };
    let below = format!("/{}", call.target.rest);
    let prefix = asked.strip_suffix(&below).unwrap_or(asked).trim_end_matches('/');
    let rewritten = location::rewrite(found, prefix, &destination.authority, host);
    if let Ok(rewritten) = HeaderValue::from_str(&rewritten) {
        headers.insert(header::LOCATION, rewritten);
    }
}

/// What a node refuses, as a status.
async fn refusal(reply: Reply) -> Status {
    let code = reply.status().as_u16();
    let text = Limited::new(reply.into_body(), MAX_REFUSAL).collect().await;
    let text = text.map(|text| text.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    match code {
        503 => Status::unavailable(text),
        400 => Status::bad_request(text),
        _ => Status::failure(code, Reason::InternalError, text),
    }
}
