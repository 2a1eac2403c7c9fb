//! Port-forward on channels: for the n-th port, channel 2n carries data both ways and 2n + 1 an error message.
//!
//! The first message on each channel is the port's number, little endian, as the kubelet sends it.

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;

use crate::frame::{Frame, message};
use crate::{MAX_CHUNK, QUEUE, accept};

/// How much may wait in each direction of one port.
const BUFFER: usize = 64 << 10;

/// One forwarded port: connect [`Port::stream`] with whatever listens there.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// Data both ways; ends when the client leaves.
    pub stream: DuplexStream,
    /// Says why the port cannot be reached.
    pub failure: Failure,
}

/// Tells the client why a port cannot be reached.
#[derive(Debug)]
pub struct Failure {
    channel: u8,
    queue: mpsc::Sender<(u8, Bytes)>,
}

/// Serves a port-forward on the bytes after the upgrade. Run the returned future until it ends; it ends when the client
/// has left or all ports are done. At most 127 ports fit.
pub fn serve<S>(io: S, numbers: &[u16]) -> (Vec<Port>, impl Future<Output = ()> + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (queue, outgoing) = mpsc::channel(QUEUE);
    let mut ports = Vec::new();
    let mut ends = Vec::new();
    for (channel, number) in (0_u8..=252).step_by(2).zip(numbers) {
        let (stream, ours) = tokio::io::duplex(BUFFER);
        let failure = Failure { channel: channel + 1, queue: queue.clone() };
        ports.push(Port { number: *number, stream, failure });
        ends.push((channel, *number, ours));
    }
    (ports, carry(io, ends, queue, outgoing))
}

// === impl Failure ===

impl Failure {
    /// Sends the message on the port's error channel.
    pub async fn send(self, text: &str) {
        let _ = self.queue.send((self.channel, Bytes::copy_from_slice(text.as_bytes()))).await;
    }
}

async fn carry<S>(
    io: S,
    ends: Vec<(u8, u16, DuplexStream)>,
    queue: mpsc::Sender<(u8, Bytes)>,
    outgoing: mpsc::Receiver<(u8, Bytes)>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, source) = accept(io).await.split();
    let mut readers = Vec::new();
    let mut writers = Vec::new();
    for (channel, number, end) in ends {
        for channel in [channel, channel + 1] {
            if sink.send(message(channel, &number.to_le_bytes())).await.is_err() {
                return;
            }
        }
        let (reader, writer) = tokio::io::split(end);
        readers.push(pump(channel, reader, queue.clone()));
        writers.push(Some(writer));
    }
    drop(queue);
    let all = futures::future::join_all(readers);
    let flow = async { tokio::join!(all, drain(sink, outgoing)) };
    tokio::select! {
        _ = flow => {}
        () = receive(source, writers) => {}
    }
}

/// Takes what one port answers to the queue.
async fn pump(channel: u8, mut reader: ReadHalf<DuplexStream>, queue: mpsc::Sender<(u8, Bytes)>) {
    let mut buffer = vec![0; MAX_CHUNK];
    while let Ok(size @ 1..) = reader.read(&mut buffer).await {
        if queue.send((channel, Bytes::copy_from_slice(&buffer[..size]))).await.is_err() {
            return;
        }
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
            Frame::Leave => return,
            Frame::Data(..) | Frame::Close(_) | Frame::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    async fn next(client: &mut WebSocketStream<DuplexStream>) -> Vec<u8> {
        match client.next().await {
            Some(Ok(Message::Binary(data))) => data.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_port_has_a_data_and_an_error_channel() {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (mut ports, carry) = serve(ours, &[8080, 9]);
        let mut tasks = JoinSet::new();
        tasks.spawn(carry);
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        for greeting in [[0, 0x90, 0x1f], [1, 0x90, 0x1f], [2, 9, 0], [3, 9, 0]] {
            assert_eq!(next(&mut client).await, greeting);
        }
        client.send(message(0, b"ping")).await.unwrap();
        let mut second = ports.pop().unwrap();
        let mut first = ports.pop().unwrap();
        let mut buffer = [0; 4];
        first.stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ping");
        first.stream.write_all(b"pong").await.unwrap();
        assert_eq!(next(&mut client).await, b"\0pong");
        second.stream.shutdown().await.unwrap();
        second.failure.send("refused").await;
        assert_eq!(next(&mut client).await, b"\x03refused");
        drop(client);
        assert_eq!(first.stream.read(&mut buffer).await.unwrap(), 0, "the client has left");
    }
}
