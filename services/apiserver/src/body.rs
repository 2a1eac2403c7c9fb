//! Bodies of requests and replies, and the replies that need no object.
//!
//! **Invariant:** a list is sent as the stored bytes themselves (`Chunks`), never joined in memory.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde::Serialize;

/// Small pieces are sent together up to this many bytes.
const FRAME: usize = 16 * 1024;

/// Any error a body may end with.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct BodyError(BoxError);
/// The body of a request from any transport.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BodyError>;
/// The body of a reply to any transport.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, BodyError>;
/// A reply.
pub(crate) type Reply = Response<ReplyBody>;

/// Pieces sent one after the other, with a known total length.
#[derive(Debug)]
struct Chunks {
    pieces: VecDeque<Bytes>,
    left: u64,
}

/// A body of one piece.
pub(crate) fn full(bytes: impl Into<Bytes>) -> ReplyBody {
    Full::new(bytes.into()).map_err(infallible).boxed_unsync()
}

/// A body of many pieces.
pub(crate) fn chunks(pieces: VecDeque<Bytes>) -> ReplyBody {
    let left = pieces.iter().map(|piece| piece.len() as u64).sum();
    Chunks { pieces, left }.map_err(infallible).boxed_unsync()
}

/// A body whose pieces are not known yet.
pub(crate) fn stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> ReplyBody {
    StreamBody::new(pieces.map(|bytes| Ok(Frame::data(bytes)))).boxed_unsync()
}

/// A reply of JSON bytes.
pub(crate) fn json_bytes(status: StatusCode, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    reply
}

/// A reply of a value as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    json_bytes(status, full(to_json(value)))
}

/// A reply of plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(full(text));
    *reply.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, plain);
    reply
}

/// What Kubernetes answers on a path that nothing serves.
pub(crate) fn not_served() -> Reply {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// Serialises a value that cannot fail to serialise.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("maps have string keys, so JSON always serialises")
}

/// A body of another transport as one of ours.
pub(crate) fn boxed<B>(body: B) -> UnsyncBoxBody<Bytes, BodyError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(|error| BodyError(error.into())).boxed_unsync()
}

/// A body that keeps something until it has been sent.
pub(crate) fn holding<T: Send + 'static>(body: ReplyBody, kept: T) -> ReplyBody {
    body.map_frame(move |frame| {
        let _ = &kept;
        frame
    })
    .boxed_unsync()
}

fn infallible(never: Infallible) -> BodyError {
    match never {}
}

// === impl Chunks ===

impl Chunks {
    /// The next piece: a big one as it is, small ones together, because each frame has its price.
    fn take(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        let fits = |size: usize, next: &Bytes| size + next.len() <= FRAME;
        if !self.pieces.front().is_some_and(|next| fits(first.len(), next)) {
            return Some(first);
        }
        let mut joined = BytesMut::with_capacity(FRAME);
        joined.extend_from_slice(&first);
        while let Some(next) = self.pieces.pop_front_if(|next| fits(joined.len(), next)) {
            joined.extend_from_slice(&next);
        }
        Some(joined.freeze())
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.take();
        self.left -= next.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_go_together_and_big_ones_as_they_are() {
        let big = Bytes::from(vec![b'x'; FRAME]);
        let pieces = [&b"["[..], b"a", b","]
            .map(Bytes::from_static)
            .into_iter()
            .chain([big.clone(), Bytes::from_static(b"]")]);
        let pieces: VecDeque<Bytes> = pieces.collect();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut chunks = Chunks { pieces, left };
        assert_eq!(chunks.take().unwrap(), "[a,");
        let second = chunks.take().unwrap();
        assert_eq!(second.as_ptr(), big.as_ptr());
        assert_eq!(chunks.take().unwrap(), "]");
        assert!(chunks.take().is_none());
    }
}
