//! Exec over SPDY: the client opens one stream for each of its channels, named by the header `streamType`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Ends, STDERR, STDOUT, Sent, Size, Wanted, size};
use crate::protocol::Version;
use crate::spdy::{self, Connection, Headers, Reader, Stream, Writer};

/// How long a client may take to open its streams, as in the kubelet.
const CREATION: Duration = Duration::from_secs(30);
/// Longest text of a terminal's size.
const LONGEST_SIZE: usize = 1024;

const TYPE: &str = "streamType";
const TYPES: [&str; 5] = ["error", "stdin", "stdout", "stderr", "resize"];

/// The client's streams.
#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// Carries one exec over SPDY.
pub(super) async fn carry<S>(io: S, version: Version, asked: Wanted, ends: Ends)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reader, writer) = tokio::io::split(io);
    let (mut connection, carry) = spdy::serve(reader, writer, is_known);
    let work = async move {
        let streams = timeout(CREATION, Streams::collect(&mut connection, version, asked)).await;
        let Ok(Some(streams)) = streams else { return };
        streams.carry(version, ends).await;
    };
    tokio::pin!(carry, work);
    tokio::select! {
        () = &mut carry => {}
        () = &mut work => carry.await,
    }
}

fn is_known(headers: &Headers) -> bool {
    headers.get(TYPE).is_some_and(|kind| TYPES.contains(&kind))
}

// === impl Streams ===

impl Streams {
    /// Waits for all streams that the request promises. `None` if the client leaves.
    async fn collect(connection: &mut Connection, version: Version, asked: Wanted) -> Option<Self> {
        let mut streams = Self::default();
        while !streams.are_complete(version, asked) {
            let stream = connection.next().await?;
            let slot = match stream.headers.get(TYPE) {
                Some("error") => &mut streams.error,
                Some("stdin") => &mut streams.stdin,
                Some("stdout") => &mut streams.stdout,
                Some("stderr") => &mut streams.stderr,
                _ => &mut streams.resize,
            };
            // A second stream of the same type is reset by being dropped.
            slot.get_or_insert(stream);
        }
        Some(streams)
    }

    fn are_complete(&self, version: Version, asked: Wanted) -> bool {
        self.error.is_some()
            && self.stdin.is_some() >= asked.stdin
            && self.stdout.is_some() >= asked.stdout
            && self.stderr.is_some() >= asked.stderr
            && self.resize.is_some() >= (asked.tty && version.resizes())
    }

    async fn carry(self, version: Version, ends: Ends) {
        let Ends { stdin, sizes, outgoing, opened } = ends;
        let _ = opened.send(());
        let parts = |stream: Option<Stream>| stream.map(|stream| (stream.reader, stream.writer)).unzip();
        let (typed, stdin_writer) = parts(self.stdin);
        let (resized, resize_writer) = parts(self.resize);
        // Nobody reads what clients send on these three: dropping the readers throws it away.
        let writer = |stream: Option<Stream>| stream.map(|stream| stream.writer);
        let outputs = Outputs {
            version,
            error: writer(self.error),
            stdout: writer(self.stdout),
            stderr: writer(self.stderr),
        };
        let incoming = async {
            tokio::join!(pass_on(typed, stdin), resize(resized, sizes));
            std::future::pending().await
        };
        tokio::select! {
            () = outputs.send(outgoing) => {}
            () = incoming => {}
        }
        for writer in [stdin_writer, resize_writer].into_iter().flatten() {
            writer.finish().await;
        }
    }
}

async fn pass_on(typed: Option<Reader>, stdin: Option<mpsc::Sender<Bytes>>) {
    let (Some(mut typed), Some(stdin)) = (typed, stdin) else { return };
    while let Some(data) = typed.next().await {
        if stdin.send(data).await.is_err() {
            return;
        }
    }
}

/// Sizes come as JSON texts one after the other, cut anywhere.
async fn resize(resized: Option<Reader>, sizes: mpsc::Sender<Size>) {
    let Some(mut resized) = resized else { return };
    let mut text = Vec::new();
    while let Some(data) = resized.next().await {
        text.extend_from_slice(&data);
        let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
        let mut newest = None;
        for value in values.by_ref() {
            let Ok(value) = value else { break };
            newest = size(&value).or(newest);
        }
        let read = values.byte_offset();
        text.drain(..read);
        if let Some(size) = newest {
            let _ = sizes.try_send(size);
        }
        if text.len() > LONGEST_SIZE {
            return;
        }
    }
}

/// What the client gets.
struct Outputs {
    version: Version,
    error: Option<Writer>,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
}

// === impl Outputs ===

impl Outputs {
    /// Sends until the final status, then ends each stream.
    async fn send(mut self, mut outgoing: mpsc::Receiver<Sent>) {
        while let Some(sent) = outgoing.recv().await {
            let (writer, data) = match sent {
                Sent::Data(STDOUT, data) => (&mut self.stdout, data),
                Sent::Data(STDERR, data) => (&mut self.stderr, data),
                Sent::Data(..) => continue,
                Sent::End(status) => {
                    let text = self.version.status(&status);
                    if let Some(error) = &mut self.error {
                        let _ = error.send(Bytes::from(text)).await;
                    }
                    break;
                }
            };
            // A stream that the client has reset gets nothing; the others go on.
            if let Some(open) = writer
                && open.send(data).await.is_err()
            {
                *writer = None;
            }
        }
        for writer in [self.stdout, self.stderr, self.error].into_iter().flatten() {
            writer.finish().await;
        }
    }
}
