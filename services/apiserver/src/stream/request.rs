//! Requests as the node's endpoints want them.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, Request, header};
use serde_json::Value;
use wire::{Query, Status};

use super::{PODS, Passage, container};
use crate::{body::RequestBody, route::Target, verb::Call};

/// Options of logs that go to the node as they are.
const LOG_OPTIONS: [&str; 9] = [
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
    "pretty",
];
/// Options of exec and attach: the API's name, the node's name.
const STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// Headers that concern one connection only.
const HOP_HEADERS: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The path of a node's own endpoint.
pub(super) fn node_path(target: &Target, query: Option<&str>) -> String {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{}{query}", target.rest)
}

/// The path of a pod's endpoint on its node.
pub(super) fn pod_path(call: &Call<'_>, pod: &Value, subresource: &str) -> Result<String, Status> {
    let (namespace, name) = (&call.target.namespace, &call.target.name);
    let query = &call.query;
    match subresource {
        "portforward" => Ok(format!("/portForward/{namespace}/{name}{}", ports(query))),
        "log" => {
            let container = container(pod, query.get("container"))?;
            Ok(format!("/containerLogs/{namespace}/{name}/{container}{}", log_options(query)?))
        }
        "exec" | "attach" => {
            let container = container(pod, query.get("container"))?;
            let options = stream_options(query);
            if !options.contains("=1") {
                return Err(Status::bad_request("you must specify at least one of stdin, stdout, stderr"));
            }
            Ok(format!("/{subresource}/{namespace}/{name}/{container}{options}"))
        }
        other => Err(Status::method_not_supported(PODS, other)),
    }
}

/// The client's request as it goes to the node: same method, headers and body, another place.
pub(super) fn to_node(
    inbound: Request<RequestBody>,
    passage: Passage<'_>,
) -> Result<Request<RequestBody>, Status> {
    let (mut parts, body) = inbound.into_parts();
    let path = passage.path;
    parts.uri = path.parse().map_err(|error| Status::bad_request(format!("path {path:?}: {error}")))?;
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    if !is_upgrade(&parts.headers) {
        drop_hop_headers(&mut parts.headers);
    }
    parts.headers.remove(header::AUTHORIZATION);
    parts.headers.insert(header::HOST, passage.host);
    Ok(Request::from_parts(parts, body))
}

/// Whether a request wants another protocol.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

/// Drops headers that concern one connection only, and those that `Connection` names.
pub(super) fn drop_hop_headers(headers: &mut HeaderMap) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_HEADERS {
        headers.remove(name);
    }
}

fn stream_options(query: &Query) -> String {
    let mut out = String::new();
    for command in query.all("command") {
        append(&mut out, "command", command);
    }
    // kubectl names each stream; a client that names none gets the output, as Kubernetes defaults it.
    let named = STREAMS.iter().any(|(api, _)| query.get(api).is_some());
    for (api, node) in STREAMS {
        let wanted = query.flag(api) || (!named && matches!(api, "stdout" | "stderr"));
        if wanted {
            append(&mut out, node, "1");
        }
    }
    out
}

fn log_options(query: &Query) -> Result<String, Status> {
    for name in ["sinceSeconds", "tailLines", "limitBytes"] {
        query.integer(name)?;
    }
    let mut out = String::new();
    for name in LOG_OPTIONS {
        if let Some(value) = query.non_empty(name) {
            append(&mut out, name, value);
        }
    }
    Ok(out)
}

/// The ports of a port-forward. SPDY clients name them in their streams, WebSocket clients in the query.
fn ports(query: &Query) -> String {
    let mut out = String::new();
    for port in query.all("ports").flat_map(|ports| ports.split(',')) {
        append(&mut out, "port", port);
    }
    out
}

fn append(out: &mut String, name: &str, value: &str) {
    out.push(if out.is_empty() { '?' } else { '&' });
    out.push_str(name);
    out.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_whatever_is_in_it() {
        let query = Query::parse("command=sh&command=-c&command=echo+%22a%26b%22&stdout=true&tty=false");
        let got = stream_options(&query);
        assert_eq!(got, "?command=sh&command=-c&command=echo%20%22a%26b%22&output=1");
        let back = Query::parse(&got[1..]);
        assert_eq!(back.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo \"a&b\""]);
    }

    #[test]
    fn headers_of_one_connection_go_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Once"), ("x-once", "1"), ("keep-alive", "5"), ("te", "trailers")]
        {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers.insert("x-kept", "2".parse().unwrap());
        drop_hop_headers(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn log_options_that_are_no_numbers_are_refused() {
        assert!(log_options(&Query::parse("tailLines=many")).is_err());
        assert_eq!(
            log_options(&Query::parse("tailLines=5&follow=true")).unwrap(),
            "?follow=true&tailLines=5"
        );
    }
}
