//! Ends a connection whose peer takes nothing.
//!
//! Reads may wait for ever (an idle keep-alive connection, an exec), but not before the first request has begun; a write
//! that cannot proceed may not.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// As long as the beginning that tells HTTP/2 from HTTP/1; until then nobody else has a deadline.
const BEGINNING: usize = 24;

/// A stream whose writes fail once they have been stuck for a while, and whose reads fail if little comes at first.
pub(super) struct StallGuard<T> {
    inner: T,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    stuck: bool,
    /// The deadline of the beginning, and how much of it is still to come.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
}

// === impl StallGuard ===

impl<T> StallGuard<T> {
    pub(super) fn new(inner: T, limit: Duration, patience: Duration) -> Self {
        let beginning = Some((Box::pin(sleep(patience)), BEGINNING));
        Self { inner, limit, deadline: Box::pin(sleep(limit)), stuck: false, beginning }
    }

    fn watched<R>(&mut self, polled: Poll<io::Result<R>>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.stuck = false;
            return polled;
        }
        if !self.stuck {
            self.stuck = true;
            let at = Instant::now() + self.limit;
            self.deadline.as_mut().reset(at);
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for StallGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let Some((deadline, missing)) = &mut self.beginning else { return polled };
        *missing = missing.saturating_sub(buf.filled().len() - before);
        if *missing == 0 {
            self.beginning = None;
            return polled;
        }
        if polled.is_pending() {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")));
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for StallGuard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watched(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.watched(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watched(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_dropped_after_the_limit() {
        let (near, _far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near, Duration::from_secs(60), Duration::from_secs(5));
        let started = Instant::now();
        let error = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_says_little_at_first_is_dropped_and_one_that_has_begun_is_kept() {
        let guarded = |near| StallGuard::new(near, Duration::from_secs(60), Duration::from_secs(30));
        let (near, mut far) = tokio::io::duplex(64);
        let mut drops = guarded(near);
        let slow = async {
            for byte in b"PRI * HTTP/2" {
                drop(far.write_all(&[*byte]).await);
                sleep(Duration::from_secs(4)).await;
            }
        };
        let started = Instant::now();
        let mut buf = [0; 24];
        let (read, ()) = tokio::join!(async { drops.read_exact(&mut buf).await }, slow);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed().as_secs() >= 30);
        let (near, mut far) = tokio::io::duplex(64);
        let mut keeps = guarded(near);
        far.write_all(&[b'x'; 24]).await.unwrap();
        keeps.read_exact(&mut buf).await.unwrap();
        let later = async {
            sleep(Duration::from_secs(600)).await;
            far.write_all(b"y").await.unwrap();
        };
        let (read, ()) = tokio::join!(async { keeps.read_u8().await }, later);
        assert_eq!(read.unwrap(), b'y');
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_reads_now_and_then_is_kept() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut guarded = StallGuard::new(near, Duration::from_secs(60), Duration::from_secs(5));
        let reader = async {
            let mut buf = [0; 16];
            for _ in 0..4 {
                sleep(Duration::from_secs(50)).await;
                far.read_exact(&mut buf).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 64]), reader);
        written.unwrap();
    }
}
