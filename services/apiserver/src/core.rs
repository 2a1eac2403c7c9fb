//! One request, from any transport, to its answer.
//!
//! ```text
//! identity -> route -> allowed? -> negotiated? -> verb -> Reply          (Err(Status) anywhere becomes the reply)
//! ```
//!
//! **Invariant:** HTTPS and the in-process client both come through `Core::handle`; there is no other way in.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{Query, Status, status::Attempt};

use crate::{
    accept,
    admission::Admission,
    body::{self, Reply, RequestBody},
    identity::Identity,
    kubelet::KubeletConnector,
    meta_paths,
    route::{self, Route, Target},
    rules::Rules,
    verb::{self, Call},
};

/// Everything a request may need.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) rules: Rules,
    pub(crate) admission: Admission,
    pub(crate) kubelet: Arc<dyn KubeletConnector>,
    /// Streams that outlive their request's answer (exec, port-forward) run here.
    pub(crate) tasks: TaskTracker,
    /// Ends watches and streams.
    pub(crate) shutdown: CancellationToken,
}

// === impl Core ===

impl Core {
    /// Answers a request. `identity` is none when the client proved none.
    pub(crate) fn handle(
        self: &Arc<Self>,
        identity: Option<Identity>,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Reply> {
        Box::pin(self.clone().handled(identity, request))
    }

    async fn handled(self: Arc<Self>, identity: Option<Identity>, request: Request<RequestBody>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let user = identity.as_ref().map_or("", Identity::name).to_owned();
        let answer = match identity {
            Some(identity) => self.answer(&identity, request).await,
            None => Err(Status::unauthorized()),
        };
        let reply = answer.unwrap_or_else(|status| failure(&status));
        tracing::debug!(%user, %method, %path, status = reply.status().as_u16(), "request");
        reply
    }

    async fn answer(
        self: &Arc<Self>,
        identity: &Identity,
        request: Request<RequestBody>,
    ) -> Result<Reply, Status> {
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let target = match route::parse(parts.uri.path()) {
            Route::Resource(target) => target,
            Route::Unknown if identity.may_do_everything() => return Ok(body::not_served()),
            Route::Path | Route::Unknown => return self.path(identity, &parts),
        };
        let verb = route::verb(&parts.method, &target, query.flag("watch"));
        allow(identity, verb, &target)?;
        let accept = match accept::negotiate(&parts.headers) {
            Ok(accept) => accept,
            // Streams are not negotiated: kubectl asks for logs with `application/json, */*`, browsers with anything.
            Err(status) if !verb::is_stream(&target) => return Err(status),
            Err(_) => accept::Accept { encoding: accept::Encoding::Json, form: accept::Form::Object },
        };
        let call = Call::new(self, identity, target, query, accept, &parts);
        verb::dispatch(call, verb, parts, body).await
    }

    fn path(self: &Arc<Self>, identity: &Identity, parts: &Parts) -> Result<Reply, Status> {
        let path = parts.uri.path();
        let open = meta_paths::is_open_to_all_users(path);
        if !open && !identity.may_do_everything() {
            return Err(Status::denied_path(identity.name(), &parts.method.as_str().to_lowercase(), path));
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(body::not_served());
        }
        meta_paths::answer(self, parts)
    }
}

/// Refuses what the identity may not do.
fn allow(identity: &Identity, verb: &str, target: &Target) -> Result<(), Status> {
    if identity.may_do_everything() {
        return Ok(());
    }
    Err(Status::denied(&Attempt {
        user: identity.name(),
        verb,
        resource: target.resource(),
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
    }))
}

/// A failure as a reply.
pub(crate) fn failure(status: &Status) -> Reply {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = body::json(code, status);
    let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if wait > 0 {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    reply
}
