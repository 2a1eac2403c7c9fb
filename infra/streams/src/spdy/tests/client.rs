//! The client's side of a connection, for tests.

use crate::spdy::codec::{Decoder, Encoder};
use crate::spdy::{Headers, frame::Frame};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Sends frames and receives them.
pub(crate) struct Client<S> {
    io: S,
    encoder: Encoder,
    decoder: Decoder,
    buffer: BytesMut,
    next: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(io: S) -> Self {
        let (encoder, decoder) = (Encoder::default(), Decoder::default());
        Self { io, encoder, decoder, buffer: BytesMut::new(), next: 1 }
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        self.encoder.encode(&frame, &mut out).unwrap();
        self.io.write_all(&out).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Opens a stream and gives its number.
    pub(crate) async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next;
        self.next += 2;
        let headers = Headers::new(headers.iter().copied());
        let (fin, unidirectional) = (false, false);
        self.send(Frame::SynStream { id, associated: 0, priority: 0, fin, unidirectional, headers }).await;
        id
    }

    pub(crate) async fn data(&mut self, id: u32, data: &[u8], fin: bool) {
        self.send(Frame::Data { id, fin, data: data.to_vec().into() }).await;
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// All data of one stream until its end, whatever else comes.
    pub(crate) async fn all(&mut self, stream: u32) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            match frame {
                Frame::Data { id, fin, data } if id == stream => {
                    all.extend_from_slice(&data);
                    if fin {
                        break;
                    }
                }
                Frame::Reset { id, .. } if id == stream => break,
                _ => {}
            }
        }
        all
    }
}
