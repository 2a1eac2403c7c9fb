//! The verbs: one code path each, for every kind.

mod create;
mod delete;
mod draft;
mod get;
mod list;
mod modify;
mod page;
mod patch;
mod review;
mod subresource;
mod token;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use jiff::Timestamp;
use wire::{Query, Status};

use crate::{
    accept::Accept,
    body::{Reply, RequestBody},
    conversion,
    core::{Core, failure},
    identity::Identity,
    input,
    registry::KindRef,
    route::Target,
    stored, stream,
    view::View,
};

/// A request for a resource, understood and allowed.
pub(crate) struct Call<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) target: Target,
    pub(crate) query: Query,
    pub(crate) accept: Accept,
    pub(crate) identity: &'a Identity,
    pub(crate) now: Timestamp,
    /// The field manager when the request names none.
    agent: String,
    /// Texts for `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

/// Whether the answer is a byte stream of the node and not an object.
pub(crate) fn is_stream(target: &Target) -> bool {
    matches!(target.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy")
}

/// Runs a verb.
pub(crate) async fn dispatch(
    mut call: Call<'_>,
    verb: &'static str,
    parts: Parts,
    body: RequestBody,
) -> Result<Reply, Status> {
    call.warnings.extend(call.target.kind.deprecation.iter().map(ToString::to_string));
    let verbs = match call.target.subresource.as_str() {
        "" => call.kind().verbs,
        subresource => match call.kind().subresource(subresource) {
            Some(subresource) => subresource.verbs,
            None if call.kind().custom().is_some() => return Err(call.not_found()),
            None => return Err(Status::no_such_path()),
        },
    };
    if is_stream(&call.target) {
        return Box::pin(stream::open(call, parts, body)).await;
    }
    let unnamed = call.target.name.is_empty() && matches!(verb, "update" | "patch");
    let answer = match (verb, call.target.subresource.as_str()) {
        _ if unnamed && call.kind().custom().is_some() => Err(Status::bad_request("name must be provided")),
        // The router of Kubernetes' own kinds has reads for GET alone.
        _ if unnamed || (parts.method == Method::HEAD && call.kind().custom().is_none()) => {
            Err(Status::method_not_allowed())
        }
        _ if !verbs.contains(&verb) && call.kind().custom().is_some() => {
            Err(Status::method_not_supported(call.target.resource(), verb))
        }
        _ if !verbs.contains(&verb) => Err(Status::method_not_allowed()),
        ("watch", "") => watch::watch(&call).await,
        ("list", "") => list::list(&call).await,
        ("get", "" | "status" | "ephemeralcontainers") => get::get(&call).await,
        (_, "" | "status" | "finalize" | "ephemeralcontainers") => {
            let body = input::read(body).await?;
            Box::pin(write(&mut call, verb, &parts, &body)).await
        }
        _ => {
            let body = input::read(body).await?;
            Box::pin(subresource::dispatch(&mut call, verb, &parts, &body)).await
        }
    };
    Ok(with_warnings(answer.unwrap_or_else(|status| failure(&status)), &call.warnings))
}

async fn write(call: &mut Call<'_>, verb: &str, parts: &Parts, body: &[u8]) -> Result<Reply, Status> {
    match verb {
        "create" if call.kind().storage.is_none() => review::create(call, parts, body),
        "create" => create::create(call, parts, body).await,
        "update" => modify::update(call, parts, body).await,
        "patch" => patch::patch(call, parts, body).await,
        "delete" => delete::delete(call, parts, body).await,
        "deletecollection" => delete::collection(call, parts, body).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// The answer to a write over all namespaces: custom kinds have no such path, the others have it for reads.
fn nowhere(call: &Call<'_>) -> Result<Reply, Status> {
    match call.kind().custom() {
        Some(_) => Ok(crate::body::not_served()),
        None => Err(Status::method_not_allowed()),
    }
}

fn with_warnings(mut reply: Reply, warnings: &[String]) -> Reply {
    for warning in warnings {
        // A header is one line.
        let line = warning.replace(|letter: char| letter.is_control(), " ");
        let quoted = line.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            reply.headers_mut().append(header::WARNING, value);
        }
    }
    reply
}

// === impl Call ===

impl<'a> Call<'a> {
    /// Gathers what verbs need from a request.
    pub(crate) fn new(
        core: &'a Arc<Core>,
        identity: &'a Identity,
        target: Target,
        query: Query,
        accept: Accept,
        parts: &Parts,
    ) -> Self {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let agent = agent.map_or_else(|| identity.agent().to_owned(), wire::options::default_manager);
        Self { core, target, query, accept, identity, now: Timestamp::now(), agent, warnings: Vec::new() }
    }

    /// The kind, in the version asked for.
    pub(crate) fn kind(&self) -> &KindRef {
        &self.target.kind
    }

    /// The store's key of the object.
    pub(crate) fn key(&self) -> String {
        stored::key(self.kind(), &self.target.namespace, &self.target.name)
    }

    /// How the answer is shown.
    pub(crate) fn view(&self) -> Result<View, Status> {
        View::new(self.kind(), self.accept, &self.query)
    }

    /// A reply with one object, given as stored bytes.
    pub(crate) async fn reply(&self, status: StatusCode, bytes: Bytes) -> Result<Reply, Status> {
        let bytes = self.readable(bytes).await?;
        self.view()?.reply(status, &bytes)
    }

    /// Stored bytes as they can be read.
    pub(crate) async fn readable(&self, bytes: Bytes) -> Result<Bytes, Status> {
        conversion::readable(self.core, self.kind(), bytes).await
    }

    /// 404 for the object.
    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(self.target.resource(), &self.target.name)
    }

    /// The field manager: the one the request names, or the client's own name.
    pub(crate) fn manager_name(&self, asked: &str) -> String {
        if asked.is_empty() { self.agent.clone() } else { asked.to_owned() }
    }
}
