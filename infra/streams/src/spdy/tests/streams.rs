//! Streams of a connection as a client sees them.

use super::client::Client;
use crate::spdy::frame::{Frame, status};
use crate::spdy::{Connection, Headers, serve};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

fn start(tasks: &mut JoinSet<()>) -> (Connection, Client<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    let (connection, carry) = serve(reader, writer, |headers| headers.get("bad").is_none());
    tasks.spawn(carry);
    (connection, Client::new(theirs))
}

fn reply(id: u32) -> Option<Frame> {
    Some(Frame::SynReply { id, fin: false, headers: Headers::default() })
}

fn data(id: u32, text: &'static str, fin: bool) -> Option<Frame> {
    Some(Frame::Data { id, fin, data: Bytes::from_static(text.as_bytes()) })
}

#[tokio::test]
async fn a_stream_is_accepted_and_carries_data_both_ways() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let id = client.open(&[("streamType", "data"), ("port", "80")]).await;
    let mut stream = connection.next().await.unwrap();
    assert_eq!((stream.headers.get("streamType"), stream.headers.get("port")), (Some("data"), Some("80")));
    client.data(id, b"ping", false).await;
    assert_eq!(stream.reader.next().await.unwrap(), "ping");
    stream.writer.send(Bytes::from_static(b"pong")).await.unwrap();
    assert_eq!(client.next().await, reply(id));
    assert_eq!(client.next().await, data(id, "pong", false));
}

#[tokio::test]
async fn each_direction_closes_on_its_own() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let id = client.open(&[]).await;
    let mut stream = connection.next().await.unwrap();
    client.data(id, b"last", true).await;
    assert_eq!(stream.reader.next().await.unwrap(), "last");
    assert_eq!(stream.reader.next().await, None);
    assert!(!stream.gone.is_cancelled(), "our direction is open");
    stream.writer.send(Bytes::from_static(b"more")).await.unwrap();
    stream.writer.finish().await;
    assert_eq!(client.next().await, reply(id));
    assert_eq!(client.next().await, data(id, "more", false));
    assert_eq!(client.next().await, data(id, "", true));
}

#[tokio::test]
async fn a_reset_ends_one_stream_and_no_other() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let (one, two) = (client.open(&[]).await, client.open(&[]).await);
    let (mut first, mut second) = (connection.next().await.unwrap(), connection.next().await.unwrap());
    client.send(Frame::Reset { id: one, status: status::CANCEL }).await;
    first.gone.cancelled().await;
    assert_eq!(first.reader.next().await, None);
    assert!(first.writer.send(Bytes::from_static(b"x")).await.is_err());
    client.data(two, b"still here", false).await;
    assert_eq!(second.reader.next().await.unwrap(), "still here");
    drop(second);
    assert_eq!((client.next().await, client.next().await), (reply(one), reply(two)));
    assert_eq!(client.next().await, Some(Frame::Reset { id: two, status: status::CANCEL }), "dropped");
}

#[tokio::test]
async fn pings_are_answered_and_what_is_unknown_is_ignored() {
    let mut tasks = JoinSet::new();
    let (_connection, mut client) = start(&mut tasks);
    client.send(Frame::Settings { clear: false, values: vec![(4, 100), (7, 1)] }).await;
    client.send(Frame::WindowUpdate { id: 0, more: 10 }).await;
    client.send(Frame::Unknown(20)).await;
    client.send(Frame::Data { id: 99, fin: false, data: Bytes::from_static(b"nobody") }).await;
    client.send(Frame::Ping(2)).await;
    client.send(Frame::Ping(1)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)));
}

#[tokio::test]
async fn streams_that_are_not_liked_are_reset() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let id = client.open(&[("bad", "yes")]).await;
    assert_eq!(client.next().await, Some(Frame::Reset { id, status: status::CANCEL }));
    let id = client.open(&[]).await;
    assert_eq!(connection.next().await.unwrap().id, id);
}

#[tokio::test]
async fn more_streams_than_fit_are_refused() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let mut held = Vec::new();
    for _ in 0..1024 {
        let id = client.open(&[]).await;
        held.push(connection.next().await.unwrap());
        assert_eq!(client.next().await, reply(id));
    }
    let id = client.open(&[]).await;
    assert_eq!(client.next().await, Some(Frame::Reset { id, status: status::REFUSED_STREAM }));
}

/// Fact: moby/spdystream's client drains what has come before it acts on a GOAWAY.
#[tokio::test]
async fn the_goodbye_comes_after_everything_that_was_sent() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let id = client.open(&[]).await;
    let mut stream = connection.next().await.unwrap();
    for _ in 0..10 {
        stream.writer.send(Bytes::from_static(b"0123456789")).await.unwrap();
    }
    stream.writer.finish().await;
    drop(connection);
    assert_eq!(client.all(id).await.len(), 100);
    assert_eq!(client.next().await, Some(Frame::GoAway { last: id, status: 0 }));
    drop(client);
    tokio::time::timeout(Duration::from_secs(1), tasks.join_next()).await.expect("ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_on_every_stream() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    client.open(&[]).await;
    let mut stream = connection.next().await.unwrap();
    drop(client);
    stream.gone.cancelled().await;
    assert_eq!(stream.reader.next().await, None);
    assert!(connection.next().await.is_none());
}

#[tokio::test]
async fn bytes_that_are_not_spdy_end_the_connection_with_a_goodbye() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(ours);
    let (_connection, carry) = serve(reader, writer, |_| true);
    let mut tasks = JoinSet::new();
    tasks.spawn(carry);
    theirs.write_all(b"\x80GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).await.unwrap();
    assert_eq!(&all[..8], [0x80, 3, 0, 7, 0, 0, 0, 8], "GOAWAY");
}

#[tokio::test]
async fn data_that_nobody_takes_holds_the_client_back() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let id = client.open(&[]).await;
    let mut stream = connection.next().await.unwrap();
    let flood = async {
        for _ in 0..1024 {
            client.data(id, &[0; 1024], false).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_millis(200), flood).await;
    assert!(waited.is_err(), "1 MiB must not be buffered for one stream");
    let mut got = 0;
    while let Ok(Some(data)) = tokio::time::timeout(Duration::from_millis(50), stream.reader.next()).await {
        got += data.len();
    }
    assert!((100 << 10..512 << 10).contains(&got), "{got}");
}

#[tokio::test]
async fn data_for_a_reader_that_is_gone_is_thrown_away() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    let (one, two) = (client.open(&[]).await, client.open(&[]).await);
    let first = connection.next().await.unwrap();
    let mut second = connection.next().await.unwrap();
    drop(first.reader);
    for _ in 0..1024 {
        client.data(one, &[0; 1024], false).await;
    }
    client.data(two, b"through", false).await;
    assert_eq!(second.reader.next().await.unwrap(), "through");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_sender_back() {
    let mut tasks = JoinSet::new();
    let (mut connection, mut client) = start(&mut tasks);
    client.open(&[]).await;
    let mut stream = connection.next().await.unwrap();
    let flood = async {
        for _ in 0..1024 {
            stream.writer.send(Bytes::from(vec![0; 32 << 10])).await.unwrap();
        }
    };
    let waited = tokio::time::timeout(Duration::from_millis(200), flood).await;
    assert!(waited.is_err(), "32 MiB must not be buffered");
}

#[tokio::test]
async fn a_client_that_only_asks_and_never_reads_is_dropped() {
    let (ours, theirs) = tokio::io::duplex(64);
    let (reader, writer) = tokio::io::split(ours);
    let (_connection, carry) = serve(reader, writer, |_| true);
    let mut tasks = JoinSet::new();
    tasks.spawn(carry);
    let mut client = Client::new(theirs);
    tasks.spawn(async move {
        for _ in 0..2000 {
            client.send(Frame::Ping(1)).await;
        }
    });
    let ended = tokio::time::timeout(Duration::from_secs(5), tasks.join_next()).await;
    assert!(ended.is_ok(), "the connection ends");
}
