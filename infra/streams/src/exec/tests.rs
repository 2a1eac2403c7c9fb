//! The protocol as a client sees it.

use super::*;
use crate::Protocol;
use crate::frame::message;
use crate::status;
use futures::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

mod over_spdy;

type Client = WebSocketStream<DuplexStream>;

async fn pair(protocol: Protocol, wanted: Wanted, tasks: &mut JoinSet<()>) -> (Session, Client) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (session, carry) = serve(ours, Exec::WebSocket(protocol), wanted, wanted);
    tasks.spawn(carry);
    (session, WebSocketStream::from_raw_socket(theirs, Role::Client, None).await)
}

fn all() -> Wanted {
    Wanted { stdin: true, stdout: true, stderr: true, tty: true }
}

async fn next(client: &mut Client) -> Option<(u8, Vec<u8>)> {
    match client.next().await? {
        Ok(Message::Binary(data)) => Some((data[0], data[1..].to_vec())),
        _ => None,
    }
}

#[tokio::test]
async fn output_and_status_arrive_in_order_and_then_the_connection_closes() {
    let mut tasks = JoinSet::new();
    let (session, mut client) = pair(Protocol::V5, all(), &mut tasks).await;
    session.output.stdout(Bytes::from_static(b"out")).await.unwrap();
    session.output.stderr(Bytes::from_static(b"err")).await.unwrap();
    session.output.finish(status::exited(7)).await;
    assert_eq!(next(&mut client).await, Some((1, vec![])), "the greeting");
    assert_eq!(next(&mut client).await, Some((1, b"out".to_vec())));
    assert_eq!(next(&mut client).await, Some((2, b"err".to_vec())));
    let (channel, body) = next(&mut client).await.unwrap();
    assert_eq!(channel, 3);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["details"]["causes"][0]["message"], "7");
    assert!(
        matches!(client.next().await, Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Normal)
    );
    while client.next().await.is_some() {}
    tokio::time::timeout(Duration::from_secs(1), tasks.join_next()).await.expect("ends").unwrap().unwrap();
}

#[tokio::test]
async fn v5_closes_stdin_alone_and_output_goes_on() {
    let mut tasks = JoinSet::new();
    let (mut session, mut client) = pair(Protocol::V5, all(), &mut tasks).await;
    client.send(message(STDIN, b"typed")).await.unwrap();
    client.send(message(255, &[STDIN])).await.unwrap();
    assert_eq!(session.stdin.recv().await.as_deref(), Some(b"typed".as_slice()));
    assert_eq!(session.stdin.recv().await, None);
    assert!(!session.gone.is_cancelled());
    session.output.stdout(Bytes::from_static(b"still here")).await.unwrap();
    next(&mut client).await;
    assert_eq!(next(&mut client).await, Some((1, b"still here".to_vec())));
}

#[tokio::test]
async fn sizes_are_read_and_nonsense_is_ignored() {
    let mut tasks = JoinSet::new();
    let (mut session, mut client) = pair(Protocol::V4, all(), &mut tasks).await;
    for text in ["{", r#"{"Width":-1,"Height":2}"#, r#"{"Width":120,"Height":40}"#] {
        client.send(message(RESIZE, text.as_bytes())).await.unwrap();
    }
    assert_eq!(session.sizes.recv().await, Some(Size { width: 120, height: 40 }));
}

#[tokio::test]
async fn a_client_that_leaves_ends_stdin_and_is_noticed() {
    let mut tasks = JoinSet::new();
    let (mut session, client) = pair(Protocol::V5, all(), &mut tasks).await;
    drop(client);
    assert_eq!(session.stdin.recv().await, None);
    session.gone.cancelled().await;
    assert_eq!(session.output.stdout(Bytes::from_static(b"x")).await, Err(Gone));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_output_back() {
    let mut tasks = JoinSet::new();
    let (session, _client) = pair(Protocol::V5, all(), &mut tasks).await;
    let flood = async {
        for _ in 0..1024 {
            session.output.stdout(Bytes::from(vec![0; MAX_CHUNK])).await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(200), flood).await.is_err(),
        "32 MiB must not be buffered"
    );
}

#[tokio::test]
async fn what_was_not_asked_for_is_dropped_on_both_sides() {
    let mut tasks = JoinSet::new();
    let wanted = Wanted { stdout: true, ..Wanted::default() };
    let (mut session, mut client) = pair(Protocol::V5, wanted, &mut tasks).await;
    client.send(message(STDIN, b"x")).await.unwrap();
    assert_eq!(session.stdin.recv().await, None);
    session.output.stderr(Bytes::from_static(b"e")).await.unwrap();
    session.output.stdout(Bytes::from_static(b"o")).await.unwrap();
    next(&mut client).await;
    assert_eq!(next(&mut client).await, Some((1, b"o".to_vec())));
}

#[tokio::test]
async fn large_output_is_cut_into_messages() {
    let mut tasks = JoinSet::new();
    let (session, mut client) = pair(Protocol::V5, all(), &mut tasks).await;
    let data = vec![7; MAX_CHUNK * 2 + 1];
    tasks.spawn(async move { session.output.stdout(Bytes::from(data)).await.unwrap() });
    next(&mut client).await;
    for size in [MAX_CHUNK, MAX_CHUNK, 1] {
        assert_eq!(next(&mut client).await.unwrap().1.len(), size);
    }
}
