//! Port-forward as clients see it.

use super::*;
use crate::frame::message;
use crate::spdy::frame::Frame;
use crate::spdy::tests::client::Client;
use futures::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

type Ports = mpsc::UnboundedReceiver<Port>;

fn start(protocol: Forward, numbers: &[u16], tasks: &mut JoinSet<()>) -> (Ports, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (ports, carry) = serve(ours, protocol, numbers.to_vec());
    tasks.spawn(carry);
    (ports, theirs)
}

async fn websocket(io: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

async fn next(client: &mut WebSocketStream<DuplexStream>) -> Vec<u8> {
    match client.next().await {
        Some(Ok(Message::Binary(data))) => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_port_has_a_data_and_an_error_channel() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Channels, &[8080, 9], &mut tasks);
    let mut client = websocket(theirs).await;
    for greeting in [[0, 0x90, 0x1f], [1, 0x90, 0x1f], [2, 9, 0], [3, 9, 0]] {
        assert_eq!(next(&mut client).await, greeting);
    }
    client.send(message(0, b"ping")).await.unwrap();
    let (mut first, second) = (ports.recv().await.unwrap(), ports.recv().await.unwrap());
    let mut buffer = [0; 4];
    first.stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
    first.stream.write_all(b"pong").await.unwrap();
    assert_eq!(next(&mut client).await, b"\0pong");
    second.failure.send("refused".to_owned());
    drop(second.stream);
    assert_eq!(next(&mut client).await, b"\x03refused");
    drop(client);
    assert_eq!(first.stream.read(&mut buffer).await.unwrap(), 0, "the client has left");
}

#[tokio::test]
async fn a_port_that_ends_its_answer_still_gets_what_the_client_sends() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Channels, &[80], &mut tasks);
    let mut client = websocket(theirs).await;
    let mut port = ports.recv().await.unwrap();
    port.stream.write_all(b"answer").await.unwrap();
    port.stream.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.send(message(0, b"late")).await.unwrap();
    for expected in [&b"\0\x50\0"[..], b"\x01\x50\0", b"\0answer"] {
        assert_eq!(next(&mut client).await, expected);
    }
    assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))), "the end of the answer");
    let mut late = String::new();
    while client.next().await.is_some() {}
    port.stream.read_to_string(&mut late).await.unwrap();
    assert_eq!(late, "late");
}

#[tokio::test]
async fn what_a_client_sent_before_it_closed_arrives_and_then_ends() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Channels, &[80], &mut tasks);
    let mut client = websocket(theirs).await;
    let mut port = ports.recv().await.unwrap();
    client.send(message(0, &[7; 40_000])).await.unwrap();
    client.close(None).await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!port.gone.is_cancelled());
    let mut all = Vec::new();
    port.stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 40_000);
    port.stream.write_all(b"to nobody").await.unwrap();
    let gone = port.gone.clone();
    drop(port);
    gone.cancelled().await;
}

/// The two streams of one connection, opened as client-go does: the error stream first, which it closes at once.
async fn pair<S>(client: &mut Client<S>, port: &str, request: &str) -> (u32, u32)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let headers = |kind| [("streamType", kind), ("port", port), ("requestID", request)];
    let error = client.open(&headers("error")).await;
    client.data(error, b"", true).await;
    (error, client.open(&headers("data")).await)
}

#[tokio::test]
async fn connections_over_spdy_are_carried_beside_each_other() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Spdy, &[], &mut tasks);
    let mut client = Client::new(theirs);
    let (error, one) = pair(&mut client, "80", "0").await;
    let (_, two) = pair(&mut client, "81", "1").await;
    let (mut first, mut second) = (ports.recv().await.unwrap(), ports.recv().await.unwrap());
    assert_eq!((first.number, second.number), (80, 81));
    client.data(two, b"two", false).await;
    client.data(one, b"one", true).await;
    let mut all = String::new();
    first.stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "one", "the client's direction has ended");
    first.stream.write_all(b"answer").await.unwrap();
    let mut buffer = [0; 3];
    second.stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"two");
    drop(first);
    assert_eq!(client.all(one).await, b"answer");
    assert_eq!(client.all(error).await, b"", "no error, and its end");
}

#[tokio::test]
async fn a_port_that_cannot_be_reached_says_why_and_the_connection_goes_on() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Spdy, &[], &mut tasks);
    let mut client = Client::new(theirs);
    let (error, _) = pair(&mut client, "9", "0").await;
    let Port { stream, failure, .. } = ports.recv().await.unwrap();
    failure.send("connection refused".to_owned());
    drop(stream);
    assert_eq!(client.all(error).await, b"connection refused");
    pair(&mut client, "80", "1").await;
    assert_eq!(ports.recv().await.unwrap().number, 80);
}

#[tokio::test]
async fn a_port_over_spdy_may_end_its_answer_and_go_on_reading() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Spdy, &[], &mut tasks);
    let mut client = Client::new(theirs);
    let (_, data) = pair(&mut client, "80", "0").await;
    let mut port = ports.recv().await.unwrap();
    port.stream.write_all(b"done").await.unwrap();
    port.stream.shutdown().await.unwrap();
    assert_eq!(client.all(data).await, b"done");
    client.data(data, b"but this", true).await;
    let mut all = String::new();
    port.stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "but this");
}

/// Fact: client-go resets the data stream once it has seen the end of the answer, and then waits for the error stream's end.
#[tokio::test]
async fn a_reset_gives_the_port_up_and_ends_the_error_stream() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Spdy, &[], &mut tasks);
    let mut client = Client::new(theirs);
    let (error, data) = pair(&mut client, "80", "0").await;
    let port = ports.recv().await.unwrap();
    client.send(Frame::Reset { id: data, status: 5 }).await;
    port.gone.cancelled().await;
    assert_eq!(client.all(error).await, b"");
}

#[tokio::test]
async fn streams_without_a_port_are_refused() {
    let mut tasks = JoinSet::new();
    let (_ports, theirs) = start(Forward::Spdy, &[], &mut tasks);
    let mut client = Client::new(theirs);
    for headers in [
        &[("streamType", "data")][..],
        &[("streamType", "data"), ("port", "0")],
        &[("streamType", "data"), ("port", "65536")],
        &[("streamType", "stdin"), ("port", "80")],
    ] {
        let id = client.open(headers).await;
        assert_eq!(client.next().await, Some(Frame::Reset { id, status: 5 }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_partner_never_comes_is_told_so() {
    let mut tasks = JoinSet::new();
    let (_ports, theirs) = start(Forward::Spdy, &[], &mut tasks);
    let mut client = Client::new(theirs);
    let error = client.open(&[("streamType", "error"), ("port", "80"), ("requestID", "4")]).await;
    let text = String::from_utf8(client.all(error).await).unwrap();
    assert_eq!(text, "(request=4) timed out waiting for streams");
}

#[tokio::test]
async fn spdy_comes_in_a_websocket_too() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Tunnel, &[], &mut tasks);
    let (reader, writer) = tunnel::open(websocket(theirs).await);
    let mut client = Client::new(tokio::io::join(reader, writer));
    let (_, data) = pair(&mut client, "80", "0").await;
    let mut port = ports.recv().await.unwrap();
    client.data(data, &[1; 100_000], true).await;
    let mut all = Vec::new();
    port.stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 100_000);
    port.stream.write_all(b"answer").await.unwrap();
    drop(port);
    assert_eq!(client.all(data).await, b"answer");
    drop(client);
    tokio::time::timeout(Duration::from_secs(3), tasks.join_next()).await.expect("ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_text_message_has_no_place_in_a_tunnel() {
    let mut tasks = JoinSet::new();
    let (mut ports, theirs) = start(Forward::Tunnel, &[], &mut tasks);
    let mut client = websocket(theirs).await;
    client.send(Message::Text("hello".into())).await.unwrap();
    assert!(ports.recv().await.is_none());
}
