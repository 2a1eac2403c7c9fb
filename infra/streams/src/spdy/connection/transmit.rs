//! The writing side of a connection.

use super::{Outgoing, Shared};
use crate::MAX_CHUNK;
use crate::spdy::codec::Encoder;
use crate::spdy::frame::Frame;
use bytes::BytesMut;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// Writes what the streams have to say, answers first.
pub(super) struct Transmit {
    pub(super) shared: Arc<Shared>,
    pub(super) control: mpsc::Receiver<Frame>,
    pub(super) data: mpsc::Receiver<Outgoing>,
    pub(super) encoder: Encoder,
    pub(super) buffer: BytesMut,
}

// === impl Transmit ===

impl Transmit {
    pub(super) async fn run<W: AsyncWrite + Unpin>(mut self, mut writer: W) -> io::Result<()> {
        loop {
            let end = self.shared.end.clone();
            // A stream's reply stands before its data because replies are asked for first.
            tokio::select! {
                biased;
                Some(frame) = self.control.recv() => self.encode(&frame)?,
                Some(data) = self.data.recv() => self.encode_data(data)?,
                () = end.cancelled() => break,
            }
            while self.buffer.len() < MAX_CHUNK && self.encode_more()? {}
            self.write(&mut writer).await?;
        }
        let last = self.shared.state.lock().last();
        self.encode(&Frame::GoAway { last, status: 0 })?;
        self.write(&mut writer).await?;
        writer.shutdown().await
    }

    /// Takes what waits already into the same write.
    fn encode_more(&mut self) -> io::Result<bool> {
        if let Ok(frame) = self.control.try_recv() {
            self.encode(&frame)?;
            return Ok(true);
        }
        let Ok(data) = self.data.try_recv() else { return Ok(false) };
        self.encode_data(data)?;
        Ok(true)
    }

    fn encode_data(&mut self, Outgoing { id, fin, data }: Outgoing) -> io::Result<()> {
        {
            let mut state = self.shared.state.lock();
            if !state.sends(id) {
                return Ok(());
            }
            if fin {
                state.finish_output(id);
            }
        }
        self.encode(&Frame::Data { id, fin, data })
    }

    fn encode(&mut self, frame: &Frame) -> io::Result<()> {
        self.encoder.encode(frame, &mut self.buffer).map_err(io::Error::other)
    }

    async fn write<W: AsyncWrite + Unpin>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&self.buffer).await?;
        self.buffer.clear();
        writer.flush().await
    }
}
