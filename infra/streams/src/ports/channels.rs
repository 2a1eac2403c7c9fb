//! Port-forward on channels: for the n-th port, channel 2n carries data both ways and 2n + 1 an error message.
//!
//! The first message on each channel is the port's number, little endian, as the kubelet sends it. The dialect has no
//! word for the end of one direction. The end of the last port is told by closing the WebSocket, and what the client has
//! sent until it answers still arrives; a client that closes it ends the data of every port and gets no more.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::{Port, open};
use crate::frame::{Frame, message};
use crate::{GOODBYE, MAX_CHUNK, QUEUE, accept};

/// How long a port may take to take what a client sent before it left.
const LINGER: Duration = Duration::from_secs(10);

type Queue = mpsc::Sender<(u8, Bytes)>;

/// Carries all ports of one WebSocket.
pub(super) async fn carry<S>(io: S, numbers: &[u16], opened: mpsc::UnboundedSender<Port>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, source) = accept(io).await.split();
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let mut pumps = Vec::new();
    let mut writers = Vec::new();
    let mut here = Vec::new();
    for (channel, number) in (0_u8..=252).step_by(2).zip(numbers) {
        for channel in [channel, channel + 1] {
            if sink.send(message(channel, &number.to_le_bytes())).await.is_err() {
                return;
            }
        }
        let (port, end) = open(*number);
        let _ = opened.send(port);
        let (reader, writer) = tokio::io::split(end.stream);
        pumps.push(pump(channel, reader, end.failure, queue.clone()));
        writers.push(Some(writer));
        here.push(end.here);
    }
    drop((queue, opened));
    let flow = async { tokio::join!(futures::future::join_all(pumps), drain(sink, outgoing)) };
    let receive = receive(source, writers);
    tokio::pin!(flow, receive);
    tokio::select! {
        _ = &mut flow => { let _ = timeout(GOODBYE, receive).await; }
        () = &mut receive => { let _ = timeout(LINGER, flow).await; }
    }
}

/// Takes what one port answers to the queue; when the client has left, to nowhere.
async fn pump(
    channel: u8,
    mut reader: ReadHalf<DuplexStream>,
    mut failure: oneshot::Receiver<String>,
    queue: Queue,
) {
    let mut buffer = vec![0; MAX_CHUNK];
    while let Ok(size @ 1..) = reader.read(&mut buffer).await {
        let _ = queue.send((channel, Bytes::copy_from_slice(&buffer[..size]))).await;
    }
    if let Ok(text) = failure.try_recv() {
        let _ = queue.send((channel + 1, Bytes::from(text))).await;
    }
}

async fn drain<S>(
    mut sink: SplitSink<WebSocketStream<S>, tokio_tungstenite::tungstenite::Message>,
    mut outgoing: mpsc::Receiver<(u8, Bytes)>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some((channel, data)) = outgoing.recv().await {
        if sink.send(message(channel, &data)).await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}

/// Takes what the client sends to the ports, and its end.
async fn receive<S>(
    mut source: SplitStream<WebSocketStream<S>>,
    mut writers: Vec<Option<WriteHalf<DuplexStream>>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = source.next().await {
        match Frame::read(message, false) {
            Frame::Data(channel, data) if channel % 2 == 0 => {
                let Some(writer) = writers.get_mut(usize::from(channel / 2)) else { continue };
                let Some(open) = writer else { continue };
                if open.write_all(&data).await.is_err() {
                    *writer = None;
                }
            }
            Frame::Leave => break,
            Frame::Data(..) | Frame::Close(_) | Frame::Nothing => {}
        }
    }
    for mut writer in writers.into_iter().flatten() {
        let _ = writer.shutdown().await;
    }
}
