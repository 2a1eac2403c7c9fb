//! Port-forward over SPDY: for each connection to a port the client opens an error stream and a data stream, which belong
//! together by the header `requestID`.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{End, Port, open};
use crate::MAX_CHUNK;
use crate::spdy::{self, Headers, Stream};

/// How long the second stream of a pair may take, as in the kubelet.
const PAIRING: Duration = Duration::from_secs(30);
/// How often this is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A stream whose partner is not there yet.
struct Half {
    stream: Stream,
    since: Instant,
}

/// Which streams wait, and which pairs are carried.
struct Pairs {
    opened: mpsc::UnboundedSender<Port>,
    halves: HashMap<String, Half>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// Carries all connections of one client.
pub(super) async fn carry<R, W>(reader: R, writer: W, opened: mpsc::UnboundedSender<Port>)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let (mut connection, carry) = spdy::serve(reader, writer, is_known);
    let mut pairs = Pairs { opened, halves: HashMap::new(), running: FuturesUnordered::new() };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            tokio::select! {
                stream = connection.next() => match stream {
                    Some(stream) => pairs.take(stream),
                    None => return,
                },
                Some(()) = pairs.running.next() => {}
                now = look.tick() => pairs.give_up(now),
            }
        }
    };
    tokio::select! {
        () = carry => {}
        () = work => {}
    }
}

/// Streams that name no port or are of another type are reset, as the kubelet does.
fn is_known(headers: &Headers) -> bool {
    number(headers).is_some() && matches!(headers.get("streamType"), Some("data" | "error"))
}

fn number(headers: &Headers) -> Option<u16> {
    headers.get("port")?.parse().ok().filter(|number| *number > 0)
}

fn is_data(stream: &Stream) -> bool {
    stream.headers.get("streamType") == Some("data")
}

/// What a pair has in common. Clients of before Kubernetes 1.1 name no request: their data stream follows the error stream.
fn request(stream: &Stream) -> String {
    match stream.headers.get("requestID").filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None if is_data(stream) => stream.id.saturating_sub(2).to_string(),
        None => stream.id.to_string(),
    }
}

// === impl Pairs ===

impl Pairs {
    fn take(&mut self, stream: Stream) {
        let request = request(&stream);
        let Some(half) = self.halves.remove(&request) else {
            self.halves.insert(request, Half { stream, since: Instant::now() });
            return;
        };
        let (data, error) = match (is_data(&half.stream), is_data(&stream)) {
            (true, false) => (half.stream, stream),
            (false, true) => (stream, half.stream),
            // The same again: the newcomer is reset by being dropped.
            _ => {
                self.halves.insert(request, half);
                return;
            }
        };
        let Some(number) = number(&data.headers) else { return };
        let (port, end) = open(number);
        if self.opened.send(port).is_ok() {
            self.running.push(Box::pin(carry_pair(data, error, end)));
        }
    }

    /// Ends what has waited too long for its partner.
    fn give_up(&mut self, now: Instant) {
        let late = self.halves.extract_if(|_, half| now.duration_since(half.since) > PAIRING);
        for (request, Half { stream, .. }) in late {
            if is_data(&stream) {
                continue;
            }
            let text = format!("(request={request}) timed out waiting for streams");
            let mut writer = stream.writer;
            self.running.push(Box::pin(async move {
                let _ = writer.send(Bytes::from(text)).await;
                writer.finish().await;
            }));
        }
    }
}

/// Carries one connection: until the port is done with both directions, or the client has reset the data stream.
async fn carry_pair(data: Stream, error: Stream, end: End) {
    let Stream { mut reader, mut writer, gone, .. } = data;
    let End { stream, failure, here } = end;
    let (mut from_port, mut to_port) = tokio::io::split(stream);
    let inward = async {
        while let Some(data) = reader.next().await {
            if to_port.write_all(&data).await.is_err() {
                break;
            }
        }
        let _ = to_port.shutdown().await;
        // What comes after a failed write is thrown away.
        while reader.next().await.is_some() {}
        std::future::pending().await
    };
    let outward = async {
        let mut buffer = vec![0; MAX_CHUNK];
        while let Ok(size @ 1..) = from_port.read(&mut buffer).await {
            if writer.send(Bytes::copy_from_slice(&buffer[..size])).await.is_err() {
                break;
            }
        }
        writer.finish().await;
        failure.await.ok()
    };
    let failed = tokio::select! {
        failed = outward => failed,
        () = inward => None,
        () = gone.cancelled() => None,
    };
    drop(here);
    let mut error = error.writer;
    if let Some(text) = failed {
        let _ = error.send(Bytes::from(text)).await;
    }
    error.finish().await;
}
