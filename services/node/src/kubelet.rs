//! The kubelet-shaped endpoints: exec, attach, logs, port-forward, proxy and images, as HTTP/1.1 on any byte stream.
//!
//! Whoever can open a stream here is trusted: the API server has checked who asks.

mod attach;
mod dial;
mod exec;
mod images;
mod log;
mod ports;
mod proxy;
mod upgrade;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;

use crate::registry::{Live, Pod};
use crate::shared::Shared;

/// Longest time that a request waits for a node that takes over the Pods of an earlier run.
const ADOPTION: Duration = Duration::from_secs(15);

/// Marks an answer of the node itself that is not what was asked for, as against one that a Pod gave.
const REFUSED: http::HeaderName = http::HeaderName::from_static("x-agent-sandbox-refused");

/// What an answer carries. Only that of a proxied Pod may break off.
type Body = BoxBody<Bytes, hyper::Error>;

/// The endpoints of one node. Cheap to clone.
#[derive(Clone)]
pub struct Kubelet {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// An answer that is not what was asked for: a code, and a sentence for people.
struct Refused(StatusCode, String);

/// The parameters of a request; each may be given several times.
struct Query(HashMap<String, Vec<String>>);

// === impl Kubelet ===

impl Kubelet {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: TaskTracker::new() }
    }

    /// Serves one connection until the other side closes it. Streams that were upgraded go on until they end.
    pub async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let this = self.clone();
        let service = service_fn(move |request| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the node's endpoints ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.route(request).await {
            Ok(response) => response,
            Err(Refused(status, message)) => {
                let mut response = text(status, message);
                response.headers_mut().insert(REFUSED, http::HeaderValue::from_static("true"));
                response
            }
        }
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
        let parts: Vec<String> = request.uri().path().trim_matches('/').split('/').map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let query = Query::of(request.uri().query().unwrap_or_default());
        match (request.method(), parts.as_slice()) {
            (_, ["exec", namespace, pod, container]) => {
                let live = self.live(namespace, pod, container).await?.1;
                exec::serve(self, request, &query, &live, container)
            }
            (_, ["attach", namespace, pod, container]) => {
                let live = self.live(namespace, pod, container).await?.1;
                attach::serve(self, request, &query, &live, container).await
            }
            (_, ["portForward", namespace, pod]) => {
                let found = self.pod(namespace, pod).await?;
                ports::serve(self, request, &query, pod, found)
            }
            (_, ["proxy", namespace, pod, scheme, port, ..]) => {
                let found = self.pod(namespace, pod).await?;
                let inner = inner_path(request.uri(), 6);
                proxy::serve(self, request, found, (scheme, port), &inner).await
            }
            (&Method::GET, ["containerLogs", namespace, pod, container]) => {
                let live = self.live(namespace, pod, container).await?.1;
                log::serve(self, &query, &live, pod, container).await
            }
            (_, ["images", rest @ ..]) => images::serve(self, rest, request, &query).await,
            (&Method::GET, ["healthz"]) => Ok(text(StatusCode::OK, "ok")),
            _ => Err(Refused(StatusCode::NOT_FOUND, "404 page not found".to_owned())),
        }
    }

    /// Waits for a node that has just started: what it does not know yet may well be there.
    async fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refused> {
        let settled = tokio::time::timeout(ADOPTION, self.shared.registry.settled(namespace, name)).await;
        let known = settled.map_err(|_| {
            Refused(StatusCode::SERVICE_UNAVAILABLE, "the node is starting: try again".to_owned())
        })?;
        known.ok_or_else(|| Refused(StatusCode::NOT_FOUND, format!("pod \"{name}\" not found on this node")))
    }

    async fn live(&self, namespace: &str, pod: &str, container: &str) -> Result<(Arc<Pod>, Live), Refused> {
        let found = self.pod(namespace, pod).await?;
        let Some(live) = found.container(container) else {
            let message =
                format!("container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating");
            return Err(Refused(StatusCode::BAD_REQUEST, message));
        };
        Ok((found, live))
    }
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kubelet")
    }
}

// === impl Query ===

impl Query {
    fn of(text: &str) -> Self {
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(decoded(name)).or_default().push(decoded(value));
        }
        Self(all)
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// A number, if there is one.
    ///
    /// # Errors
    /// What is there is no such number.
    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refused> {
        let parse = |value: &str| {
            let wrong = || Refused(StatusCode::BAD_REQUEST, format!("{name}: invalid value {value:?}"));
            value.parse().map_err(|_| wrong())
        };
        self.get(name).map(parse).transpose()
    }
}

/// What follows the n-th slash of the path, with the query, exactly as it was sent.
fn inner_path(uri: &http::Uri, n: usize) -> String {
    let path = uri.path();
    let start = path.match_indices('/').nth(n - 1).map_or(path.len(), |(at, _)| at);
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = path.get(start..).filter(|path| !path.is_empty()).unwrap_or("/");
    format!("{path}{query}")
}

/// Undoes percent encoding and `+`; what is not valid stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::from(message.into())).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

/// An answer that is sent piece by piece as it comes.
fn streamed(pieces: mpsc::Receiver<Bytes>, kind: &'static str) -> Response<Body> {
    let frames = ReceiverStream::new(pieces).map(|piece| Ok(Frame::data(piece)));
    let mut response = Response::new(StreamBody::new(SyncStream(frames)).boxed());
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

/// A stream that is only ever polled through an exclusive reference, so sharing it is harmless.
struct SyncStream<S>(S);

impl<S: tokio_stream::Stream + Unpin> tokio_stream::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_keep_their_order() {
        let query = Query::of("command=sh&command=-c&command=echo%20a%2Bb+c&input=1&tty=true&output=0&n=5");
        assert_eq!(query.all("command"), ["sh", "-c", "echo a+b c"]);
        assert!(query.flag("input") && query.flag("tty") && !query.flag("output") && !query.flag("missing"));
        assert!(matches!(query.number::<usize>("n"), Ok(Some(5))));
        assert!(query.number::<usize>("tty").is_err());
        assert_eq!(decoded("100%"), "100%");
    }

    #[test]
    fn a_proxied_path_is_not_touched() {
        let inner = |path: &str| inner_path(&path.parse().unwrap(), 6);
        assert_eq!(inner("/proxy/ns/pod/http/80/a%2Fb//c/?x=%20&y"), "/a%2Fb//c/?x=%20&y");
        assert_eq!(inner("/proxy/ns/pod/http/80/"), "/");
        assert_eq!(inner("/proxy/ns/pod/http/80?q"), "/?q");
    }
}
