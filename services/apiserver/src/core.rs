//! One request, from any transport, to its answer.
//!
//! ```text
//! identity -> route -> allowed? -> negotiated? -> its turn? -> verb -> Reply      (Err(Status) anywhere becomes the reply)
//! ```
//!
//! **Invariant:** HTTPS and the in-process client both come through `Core::handle`; there is no other way in.

use std::{sync::Arc, time::Instant};

use futures::future::{BoxFuture, FutureExt as _};
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use store::Store;
use telemetry::Health;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::{Query, Status};

use crate::{
    accept,
    access::{Access, Note, Seat},
    admission::Admission,
    body::{self, Reply, RequestBody},
    definitions::Definitions,
    identity::Identity,
    input,
    kubelet::KubeletConnector,
    meta_paths,
    metrics::{Counters, Open, Subject, is_apply},
    registry::Registry,
    route::{self, Route, Target},
    rules::Rules,
    verb::{self, Call},
};

/// Everything a request may need.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) rules: Rules,
    pub(crate) admission: Admission,
    pub(crate) access: Access,
    pub(crate) health: Health,
    pub(crate) counters: Arc<Counters>,
    /// The URL that clients use.
    pub(crate) url: String,
    pub(crate) kubelet: Arc<dyn KubeletConnector>,
    /// Streams that outlive their request's answer (exec, port-forward) run here.
    pub(crate) tasks: TaskTracker,
    /// Ends watches and streams.
    pub(crate) shutdown: CancellationToken,
}

/// Where a request is counted, once it is known what it is about.
struct Counted<'a> {
    begun: Instant,
    open: &'a mut Option<Arc<Open>>,
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
        let (begun, mut open) = (Instant::now(), None);
        let (mut parts, body) = request.into_parts();
        // It has told who the client is, and is nobody else's business.
        parts.headers.remove(header::AUTHORIZATION);
        let mut note = self.access.note(&self.registry, identity.as_ref(), &parts);
        let answer = match identity {
            Some(identity) => {
                let counted = Counted { begun, open: &mut open };
                self.answer(&identity, parts, body, note.as_deref_mut(), counted).await
            }
            None => Err(Status::unauthorized()),
        };
        let mut reply = answer.unwrap_or_else(|status| failure(&status));
        if let Some(open) = open {
            open.answered(&reply);
            if open.is_long() {
                reply = reply.map(|body| body::holding(body, open));
            }
        }
        if let Some(note) = note {
            self.access.write_down(note, reply.status().as_u16()).await;
        }
        tracing::debug!(%user, %method, %path, status = reply.status().as_u16(), "request");
        reply
    }

    async fn answer(
        self: &Arc<Self>,
        client: &Identity,
        mut parts: Parts,
        body: RequestBody,
        mut note: Option<&mut Note>,
        counted: Counted<'_>,
    ) -> Result<Reply, Status> {
        let acting = self.access.acting(client, &mut parts.headers)?;
        if let (Some(note), Some(acting)) = (note.as_deref_mut(), &acting) {
            note.acting(acting);
        }
        let identity = acting.as_ref().unwrap_or(client);
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let target = match route::parse(&self.registry, parts.uri.path()) {
            Route::Resource(target) => target,
            Route::Unknown => {
                self.authorized(self.access.allow_unknown(identity, &parts, query.flag("watch")))?;
                note.into_iter().for_each(Note::allowed);
                return unknown(parts.uri.path());
            }
            Route::Path => {
                self.authorized(self.access.allow_path(identity, &parts.method, parts.uri.path()))?;
                note.into_iter().for_each(Note::allowed);
                counted.begin(self, Subject::of_path(parts.uri.path(), &parts.method));
                return self.path(&parts, &query).await;
            }
        };
        let verb = route::verb(&parts.method, &target, query.flag("watch"));
        self.authorized(self.access.allow(identity, verb, &target, &query))?;
        note.into_iter().for_each(Note::allowed);
        let subject = Subject::of(&target, verb, &parts.method, is_apply(&parts.headers), &query);
        let open = counted.begin(self, subject);
        if let Some(open) = open.filter(|open| open.is_long()) {
            // It is open for as long as its bytes flow.
            parts.extensions.insert(Arc::clone(open));
        }
        let accept = match accept::negotiate(&parts.headers) {
            Ok(accept) => accept,
            // Streams are not negotiated: kubectl asks for logs with `application/json, */*`, browsers with anything.
            Err(status) if !verb::is_stream(&target) => return Err(status),
            Err(_) => accept::Accept { encoding: accept::Encoding::Json, form: accept::Form::Object },
        };
        // Controllers that look at every kind read metadata only: no schema is compiled for them.
        let bare = matches!(verb, "get" | "list" | "watch")
            && accept.form == accept::Form::Partial
            && target.kind.has_stored_metadata()
            && query.get("fieldSelector").is_none();
        if !bare {
            target.kind.ready(&self.store).await?;
        }
        let (_seat, body) = self.turn(client, &target, &parts.method, body, open.map(|open| &**open)).await?;
        let call = Call::new(self, identity, target, query, accept, &parts);
        verb::dispatch(call, verb, parts, body).await
    }

    /// Waits until it is this client's turn. The body is read before, so that a slow one keeps no seat from others.
    async fn turn(
        &self,
        client: &Identity,
        target: &Target,
        method: &Method,
        body: RequestBody,
        open: Option<&Open>,
    ) -> Result<(Option<Seat>, RequestBody), Status> {
        let has_body = !matches!(*method, Method::GET | Method::HEAD);
        let body = if has_body && !client.is_internal() && !verb::is_stream(target) {
            body::full(input::read(body).await?)
        } else {
            body
        };
        let mut seat = std::pin::pin!(self.access.seat(client, target));
        if let Some(seated) = seat.as_mut().now_or_never() {
            return Ok((seated?, body));
        }
        let (begun, _waits) = (Instant::now(), self.counters.requests.waits(method));
        let seated = seat.await;
        open.into_iter().for_each(|open| open.waited(begun.elapsed()));
        Ok((seated?, body))
    }

    fn authorized(&self, verdict: Result<(), Status>) -> Result<(), Status> {
        self.counters.authorized(verdict.is_ok());
        verdict
    }

    async fn path(self: &Arc<Self>, parts: &Parts, query: &Query) -> Result<Reply, Status> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok(body::not_served());
        }
        meta_paths::answer(self, parts, query).await
    }
}

// === impl Counted ===

impl<'a> Counted<'a> {
    /// From here on the request counts.
    fn begin(self, core: &Core, subject: Option<Subject<'_>>) -> Option<&'a Arc<Open>> {
        *self.open = subject.map(|subject| core.counters.requests.begin(&subject, self.begun));
        self.open.as_ref()
    }
}

/// The answer below an API group on a path that names nothing: those of Kubernetes' own groups have a router that says so in a
/// `Status`.
fn unknown(path: &str) -> Result<Reply, Status> {
    let mut segments = path.split('/').skip(1);
    let group = match segments.next() {
        Some("api") => "",
        _ => segments.next().unwrap_or_default(),
    };
    let routed = kinds::table().iter().any(|kind| kind.group == group && kind.custom().is_none());
    if routed { Err(Status::no_such_path()) } else { Ok(body::not_served()) }
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
