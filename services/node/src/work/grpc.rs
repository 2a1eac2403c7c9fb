//! Asks a Pod's `grpc.health.v1.Health` service how it is.
//!
//! The two messages have one field each, so they are written and read here.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::GRPCAction;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Most of an answer that is read.
const ANSWER_LIMIT: usize = 4 << 10;

/// `HealthCheckResponse.ServingStatus`.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// `Unimplemented` among the codes of gRPC.
const UNIMPLEMENTED: &str = "12";

/// Asks once.
///
/// # Errors
/// In the kubelet's words: no connection, no answer in time, or an answer that is not `SERVING`.
pub(super) async fn check(action: &GRPCAction, address: Ipv4Addr, timeout: Duration) -> Result<(), String> {
    let port = u16::try_from(action.port).map_err(|_| format!("invalid port number: {}", action.port))?;
    let service = action.service.as_deref().unwrap_or_default();
    let connecting = tokio::time::timeout(timeout, TcpStream::connect((address, port)));
    let begun = tokio::time::Instant::now();
    let failed = |error: String| {
        format!("timeout: failed to connect service \"{address}:{port}\" within {timeout:?}: {error}")
    };
    let stream = match connecting.await {
        Ok(connected) => connected.map_err(|error| failed(format!("dial tcp {address}:{port}: {error}")))?,
        Err(_) => return Err(failed("context deadline exceeded".to_owned())),
    };
    let left = timeout.saturating_sub(begun.elapsed());
    let authority = format!("{address}:{port}");
    let asked = async {
        match action.mode.as_deref() {
            None | Some("" | "Plaintext") => ask(stream, &authority, service).await,
            Some("TLS") => {
                let stream = super::tls::begin(stream, &address.to_string(), "h2").await.map_err(failed)?;
                ask(stream, &authority, service).await
            }
            Some(other) => Err(format!("the mode {other:?} is not supported; use Plaintext or TLS")),
        }
    };
    match tokio::time::timeout(left, asked).await {
        Ok(Ok(1)) => Ok(()),
        Ok(Ok(status)) => {
            let name = usize::try_from(status).ok().and_then(|status| STATUSES.get(status)).unwrap_or(&"?");
            Err(format!("service unhealthy (responded with {name:?})"))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(format!("timeout: health rpc did not complete within {timeout:?}")),
    }
}

/// One call; gives the status in the answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    authority: &str,
    service: &str,
) -> Result<u64, String> {
    let broken = |error: &dyn std::fmt::Display| format!("error: health rpc probe failed: {error}");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(Tasks::default(), TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
    let request = http::Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/agent-sandbox")
        .body(Full::new(framed(service)))
        .map_err(|error| broken(&error))?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let headers = answer.headers().clone();
        if !answer.status().is_success() {
            return Err(broken(&format!(
                "unexpected HTTP status code received from server: {}",
                answer.status()
            )));
        }
        let body =
            Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await.map_err(|error| broken(&error))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let of = |name: &str| {
            let value = trailers.get(name).or_else(|| headers.get(name))?;
            Some(value.to_str().ok()?.to_owned())
        };
        let message = of("grpc-message").unwrap_or_default();
        match of("grpc-status").as_deref() {
            Some("0") => serving_status(&body.to_bytes()).ok_or_else(|| broken(&"the answer is not one")),
            Some(UNIMPLEMENTED) => Err(format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
            )),
            Some(code) => Err(broken(&format!("rpc error: code = {code} desc = {message}"))),
            None => Err(broken(&"server closed the stream without sending trailers")),
        }
    };
    tokio::select! {
        answer = exchange => answer,
        Err(error) = connection => Err(broken(&error)),
    }
}

/// A `HealthCheckRequest` as a frame of gRPC: not compressed, its length, and the message with `service` as field 1.
fn framed(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.put_u8(u8::try_from(length).unwrap_or(0));
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

/// Field 1 of a `HealthCheckResponse` in its frame; an empty message has the default. None for anything else.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let length = u32::from_be_bytes(*head.last_chunk()?);
    if head[0] != 0 || u32::try_from(message.len()).ok()? != length {
        return None;
    }
    let (mut status, mut rest) = (0, message);
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        rest = match tag & 7 {
            0 => {
                let (value, after) = varint(after)?;
                status = if tag >> 3 == 1 { value } else { status };
                after
            }
            2 => {
                let (length, after) = varint(after)?;
                after.get(usize::try_from(length).ok()?..)?
            }
            1 => after.get(8..)?,
            5 => after.get(4..)?,
            _ => return None,
        };
    }
    Some(status)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(at).ok()? * 7)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// The tasks of one connection; they end with it.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.lock().spawn(async move { drop(task.await) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::service::service_fn;

    #[test]
    fn the_messages_are_those_of_the_protocol() {
        assert_eq!(framed("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(framed("db")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        assert_eq!(framed(&"x".repeat(300))[5..8], [0x0a, 0xac, 0x02]);
        for (frame, status) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[0, 0, 0, 0, 5, 0x12, 1, b'x', 8, 2], Some(2)),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 9, 8, 1], None),
            (&[0, 0, 0, 0, 2, 0x0a, 9], None),
            (&[0, 0], None),
        ] {
            assert_eq!(serving_status(frame), status, "{frame:?}");
        }
    }

    /// Serves one connection with this status of the call and this answer.
    async fn server(code: &'static str, answer: &'static [u8]) -> (JoinSet<()>, u16) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                let asked = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(asked, framed("db"));
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", code.parse().unwrap());
                let body =
                    Full::new(Bytes::from_static(answer)).with_trailers(async move { Some(Ok(trailers)) });
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            });
            let _ = hyper::server::conn::http2::Builder::new(Tasks::default())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        (tasks, port)
    }

    #[tokio::test]
    async fn a_service_is_healthy_only_if_it_says_that_it_serves() {
        for (code, answer, outcome) in [
            ("0", &[0, 0, 0, 0, 2, 8, 1][..], Ok(())),
            ("0", &[0, 0, 0, 0, 2, 8, 2], Err("service unhealthy (responded with \"NOT_SERVING\")")),
            ("12", &[], Err("error: this server does not implement the grpc health protocol")),
            ("5", &[], Err("error: health rpc probe failed: rpc error: code = 5")),
        ] {
            let (_tasks, port) = server(code, answer).await;
            let action =
                GRPCAction { port: i32::from(port), service: Some("db".to_owned()), ..GRPCAction::default() };
            let checked = check(&action, Ipv4Addr::LOCALHOST, Duration::from_secs(5)).await;
            match (checked, outcome) {
                (Ok(()), Ok(())) => {}
                (Err(said), Err(begins)) => assert!(said.starts_with(begins), "{said}"),
                (checked, outcome) => panic!("{checked:?} instead of {outcome:?}"),
            }
        }
    }
}
