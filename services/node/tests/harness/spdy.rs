//! A client that speaks SPDY as client-go does, over the API server in process.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use bytes::BytesMut;
use http::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use streams::spdy::Headers;
use streams::spdy::codec::{Decoder, Encoder};
use streams::spdy::frame::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// One connection.
pub struct Spdy {
    io: TokioIo<hyper::upgrade::Upgraded>,
    encoder: Encoder,
    decoder: Decoder,
    buffer: BytesMut,
    next: u32,
    /// What has come on each stream, and whether it has ended.
    pub got: BTreeMap<u32, (Vec<u8>, bool)>,
}

// === impl Spdy ===

impl Spdy {
    /// Upgrades a request; `protocols` are offered in this order. The chosen one comes back, or what was said against it.
    pub async fn open(client: &Client, path: &str, protocols: &[&str]) -> Result<(Self, String), String> {
        let mut request = Request::post(path).header("Connection", "Upgrade").header("Upgrade", "SPDY/3.1");
        for protocol in protocols {
            request = request.header("X-Stream-Protocol-Version", *protocol);
        }
        let mut reply = client.send(request.body(Body::empty()).unwrap()).await.unwrap();
        if reply.status() != StatusCode::SWITCHING_PROTOCOLS {
            let text = reply.into_body().collect_bytes().await.unwrap();
            return Err(String::from_utf8(text.to_vec()).unwrap());
        }
        assert_eq!(reply.headers()["upgrade"], "SPDY/3.1");
        let chosen = reply.headers()["x-stream-protocol-version"].to_str().unwrap().to_owned();
        let io = TokioIo::new(hyper::upgrade::on(&mut reply).await.unwrap());
        let (encoder, decoder) = (Encoder::default(), Decoder::default());
        let spdy = Self { io, encoder, decoder, buffer: BytesMut::new(), next: 1, got: BTreeMap::new() };
        Ok((spdy, chosen))
    }

    pub async fn send(&mut self, frame: Frame) {
        let mut out = BytesMut::new();
        self.encoder.encode(&frame, &mut out).unwrap();
        self.io.write_all(&out).await.unwrap();
    }

    /// Opens a stream and waits for its reply.
    pub async fn stream(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next;
        self.next += 2;
        let headers = Headers::new(headers.iter().copied());
        let (fin, unidirectional) = (false, false);
        self.send(Frame::SynStream { id, associated: 0, priority: 0, fin, unidirectional, headers }).await;
        loop {
            match self.frame().await {
                Some(Frame::SynReply { id: replied, .. }) if replied == id => return id,
                Some(_) => {}
                None => panic!("no reply to stream {id}"),
            }
        }
    }

    /// The streams of one connection to a port: error and data, in client-go's order.
    pub async fn pair(&mut self, port: u16, request: u32) -> (u32, u32) {
        let (port, request) = (port.to_string(), request.to_string());
        let headers = |kind| [("streamType", kind), ("port", port.as_str()), ("requestID", request.as_str())];
        let error = self.stream(&headers("error")).await;
        self.data(error, b"", true).await;
        (error, self.stream(&headers("data")).await)
    }

    pub async fn data(&mut self, id: u32, data: &[u8], fin: bool) {
        self.send(Frame::Data { id, fin, data: data.to_vec().into() }).await;
    }

    /// Reads until the stream ends; all of its text.
    pub async fn all(&mut self, id: u32) -> String {
        while !self.got.get(&id).is_some_and(|(_, ended)| *ended) {
            assert!(self.frame().await.is_some(), "stream {id} has no end: {:?}", self.got);
        }
        String::from_utf8(self.got[&id].0.clone()).unwrap()
    }

    async fn frame(&mut self) -> Option<Frame> {
        let frame = loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).unwrap() {
                break frame;
            }
            if self.io.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        };
        match &frame {
            Frame::Data { id, fin, data } => {
                let (all, ended) = self.got.entry(*id).or_default();
                all.extend_from_slice(data);
                *ended |= fin;
            }
            Frame::Reset { id, .. } => self.got.entry(*id).or_default().1 = true,
            _ => {}
        }
        Some(frame)
    }
}
