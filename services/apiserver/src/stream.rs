//! Exec, attach, logs, port-forward and proxy: the request goes to the node, and bytes flow both ways.
//!
//! **Invariant:** nothing of a stream is interpreted or kept here; an upgraded connection ends when either side or the
//! server ends.

mod proxy;
mod request;

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::{body::Incoming, client::conn::http1, upgrade};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wire::{Qualified, Reason, Status, status::Details};

use crate::{
    body::{self, Reply, RequestBody},
    core::Core,
    metrics::Open,
    stored,
    verb::Call,
};

/// The most that is read of what a node says against a request.
const MAX_REFUSAL: usize = 16 * 1024;

/// Marks an answer that the node itself gave instead of what was asked for. Clients do not see it.
const REFUSED: HeaderName = HeaderName::from_static("x-agent-sandbox-refused");

/// Where a request goes: to a path of a node's endpoints, which see this host.
struct Passage<'a> {
    node: &'a str,
    path: &'a str,
    host: HeaderValue,
}

/// Forwards a request to the node it concerns.
pub(crate) async fn open(call: Call<'_>, parts: Parts, body: RequestBody) -> Result<Reply, Status> {
    let (node, path) = match (call.kind().plural.as_ref(), call.target.subresource.as_str()) {
        ("nodes", "proxy") => (call.target.name.clone(), request::node_path(&call.target, parts.uri.query())),
        (_, "proxy") => return proxy::open(call, parts, body).await,
        (_, subresource) => {
            if !matches!(parts.method, Method::GET | Method::POST) {
                return Err(Status::method_not_allowed());
            }
            let pod = pod(&call)?;
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
            let path = request::pod_path(&call, &pod, subresource)?;
            if node.is_empty() {
                return unassigned(&call.target.name, subresource);
            }
            (node, path)
        }
    };
    if call.kind().plural == "nodes" && call.core.store.get(&call.key()).is_none() {
        return Err(call.not_found());
    }
    let host = HeaderValue::from_str(&node).unwrap_or(HeaderValue::from_static("node"));
    let mut reply = forward(call.core, Passage { node: &node, path: &path, host }, parts, body).await?;
    reply.headers_mut().remove(REFUSED);
    if call.target.subresource == "log" && !reply.status().is_success() {
        return Err(failed_log(&call.target.name, reply).await);
    }
    Ok(reply)
}

/// What the node says against a log request, as the API server says it (`GenericHttpResponseChecker`).
async fn failed_log(pod: &str, reply: Reply) -> Status {
    let code = reply.status().as_u16();
    let text = Limited::new(reply.into_body(), MAX_REFUSAL).collect().await.map(Collected::to_bytes);
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).trim_end().to_owned();
    match code {
        400 => Status::bad_request(text),
        404 => {
            let why = format!("the server could not find the requested resource ( pods/log {pod})");
            Status::failure(404, Reason::NotFound, why).with(about_log(pod))
        }
        500 => Status::internal(text),
        code => {
            let why = format!(
                "the server responded with the status code {code} but did not return more information ( pods/log {pod})"
            );
            Status { reason: None, ..Status::failure(code, Reason::InternalError, why) }.with(about_log(pod))
        }
    }
}

fn about_log(pod: &str) -> Details {
    Details { name: pod.to_owned(), kind: "pods/log".to_owned(), ..Details::default() }
}

fn pod(call: &Call<'_>) -> Result<Value, Status> {
    let entry = call.core.store.get(&call.key()).ok_or_else(|| call.not_found())?;
    stored::decode_entry(call.kind(), &entry)
}

/// A pod that is on no node yet has no logs and nothing to run in.
fn unassigned(name: &str, subresource: &str) -> Result<Reply, Status> {
    if subresource == "log" {
        let mut reply = Response::new(body::full(""));
        *reply.status_mut() = StatusCode::NO_CONTENT;
        return Ok(reply);
    }
    Err(Status::bad_request(format!("pod {name} does not have a host assigned")))
}

/// A pod behind a port of a service, and the pod's port.
pub(crate) fn behind(
    core: &Core,
    namespace: &str,
    service: &str,
    port: u64,
) -> Result<(String, u16), Status> {
    let found = proxy::behind(core, namespace, &format!("{service}:{port}"))?;
    Ok((found.pod, found.port))
}

async fn forward(
    core: &Arc<Core>,
    passage: Passage<'_>,
    parts: Parts,
    body: RequestBody,
) -> Result<Reply, Status> {
    let node = passage.node;
    let unreachable = |error: &dyn std::fmt::Display| dial_failure(node, error);
    let io = core.kubelet.connect(node).await.map_err(|error| unreachable(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(io)).await.map_err(|error| unreachable(&error))?;
    let connection: BoxFuture<'static, hyper::Result<()>> = Box::pin(connection.with_upgrades());
    let shutdown = core.shutdown.clone();
    core.tasks.spawn(async move {
        if let Some(Err(error)) = shutdown.run_until_cancelled(connection).await {
            tracing::debug!(%error, "stream to the node ended");
        }
    });
    let mut inbound = Request::from_parts(parts, body);
    let open = inbound.extensions_mut().remove::<Arc<Open>>();
    let client = inbound.extensions_mut().remove::<upgrade::OnUpgrade>();
    let outbound = request::to_node(inbound, passage)?;
    let reply = sender.send_request(outbound).await.map_err(|error| unreachable(&error))?;
    if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
        return splice(core, client, reply, open);
    }
    let (mut parts, body) = reply.into_parts();
    request::drop_hop_headers(&mut parts.headers);
    // The sender must live as long as the body flows.
    let body = body.map_frame(move |frame| {
        let _ = &sender;
        frame
    });
    Ok(Response::from_parts(parts, body::boxed(body)))
}

/// Answers 101 and copies bytes until one side ends.
fn splice(
    core: &Arc<Core>,
    client: Option<upgrade::OnUpgrade>,
    mut reply: Response<Incoming>,
    open: Option<Arc<Open>>,
) -> Result<Reply, Status> {
    let Some(client) = client else {
        return Err(Status::bad_request("unable to upgrade: the connection cannot be upgraded"));
    };
    let node = upgrade::on(&mut reply);
    let shutdown = core.shutdown.clone();
    core.tasks.spawn(async move {
        if let Err(error) = copy(client, node, shutdown).await {
            tracing::debug!(%error, "spliced stream ended");
        }
        drop(open);
    });
    let (mut parts, _) = reply.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, body::full("")))
}

async fn copy(
    client: upgrade::OnUpgrade,
    node: upgrade::OnUpgrade,
    shutdown: CancellationToken,
) -> Result<(), body::BoxError> {
    let (client, node) = tokio::try_join!(client, node)?;
    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
    let copied = shutdown.run_until_cancelled(tokio::io::copy_bidirectional(&mut client, &mut node)).await;
    copied.transpose()?;
    Ok(())
}

fn dial_failure(node: &str, error: &dyn std::fmt::Display) -> Status {
    let why = format!("error dialing backend: node {node:?}: {error}");
    tracing::debug!(node, %error, "node cannot be reached");
    Status::failure(500, Reason::InternalError, why)
}

/// The pod's container that a stream is about.
fn container(pod: &Value, asked: Option<&str>) -> Result<String, Status> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let names = |list: &str| -> Vec<&str> {
        let list = pod["spec"][list].as_array();
        list.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let known = |asked: &str| main.contains(&asked) || init.contains(&asked);
    match (asked.filter(|asked| !asked.is_empty()), main.as_slice()) {
        (Some(asked), _) if known(asked) => Ok(asked.to_owned()),
        (Some(asked), _) => {
            Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
        }
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            let init = if init.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", init.join(" "))
            };
            let main = main.join(" ");
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{main}]{init}"
            )))
        }
    }
}

/// The plural of pods, for messages.
const PODS: Qualified<'static> = Qualified::new("", "pods");
