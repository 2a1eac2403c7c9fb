//! The same over SPDY.

use super::*;
use crate::Version;
use crate::spdy::frame::Frame;
use crate::spdy::tests::client::Client as Spdy;

fn start(
    version: Version,
    asked: Wanted,
    wanted: Wanted,
    tasks: &mut JoinSet<()>,
) -> (Session, Spdy<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (session, carry) = serve(ours, Exec::Spdy(version), asked, wanted);
    tasks.spawn(carry);
    (session, Spdy::new(theirs))
}

async fn open(client: &mut Spdy<DuplexStream>, kind: &str) -> u32 {
    client.open(&[("streamType", kind)]).await
}

fn no_terminal() -> Wanted {
    Wanted { tty: false, ..all() }
}

#[tokio::test]
async fn every_channel_is_a_stream_and_all_end_with_the_status() {
    let mut tasks = JoinSet::new();
    let (mut session, mut client) = start(Version::V4, no_terminal(), no_terminal(), &mut tasks);
    let (error, stdin) = (open(&mut client, "error").await, open(&mut client, "stdin").await);
    let (stdout, stderr) = (open(&mut client, "stdout").await, open(&mut client, "stderr").await);
    assert!(session.opened().await);
    client.data(stdin, b"typed", true).await;
    assert_eq!(session.stdin.recv().await.as_deref(), Some(b"typed".as_slice()));
    assert_eq!(session.stdin.recv().await, None, "stdin is closed, the rest is not");
    session.output.stdout(Bytes::from_static(b"out")).await.unwrap();
    session.output.stderr(Bytes::from_static(b"err")).await.unwrap();
    session.output.finish(status::exited(7)).await;
    let mut got = std::collections::BTreeMap::<u32, (Vec<u8>, bool)>::new();
    while let Some(frame) = client.next().await {
        match frame {
            Frame::Data { id, fin, data } => {
                let (all, ended) = got.entry(id).or_default();
                all.extend_from_slice(&data);
                *ended |= fin;
            }
            Frame::GoAway { .. } => break,
            _ => {}
        }
    }
    assert_eq!(got[&stdout], (b"out".to_vec(), true));
    assert_eq!(got[&stderr], (b"err".to_vec(), true));
    assert!(got[&stdin].1);
    let status: Value = serde_json::from_slice(&got[&error].0).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "7");
}

#[tokio::test]
async fn nothing_runs_before_all_streams_are_there() {
    let mut tasks = JoinSet::new();
    let asked = Wanted { stdin: true, stdout: true, ..Wanted::default() };
    let (mut session, mut client) = start(Version::V4, asked, asked, &mut tasks);
    open(&mut client, "error").await;
    open(&mut client, "stdout").await;
    let early = tokio::time::timeout(Duration::from_millis(50), session.opened()).await;
    assert!(early.is_err());
    drop(client);
    tasks.join_next().await;
    session.gone.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_opens_its_streams_is_dropped() {
    let mut tasks = JoinSet::new();
    let (mut session, mut client) = start(Version::V4, all(), all(), &mut tasks);
    open(&mut client, "error").await;
    assert!(!session.opened().await);
    session.gone.cancelled().await;
}

#[tokio::test]
async fn sizes_come_one_after_the_other_cut_anywhere() {
    let mut tasks = JoinSet::new();
    let asked = Wanted { stdin: false, stdout: true, stderr: false, tty: true };
    let (mut session, mut client) = start(Version::V3, asked, asked, &mut tasks);
    open(&mut client, "error").await;
    open(&mut client, "stdout").await;
    let resize = open(&mut client, "resize").await;
    assert!(session.opened().await);
    client.data(resize, b"{\"Width\":80,\"Hei", false).await;
    client.data(resize, b"ght\":24}\n", false).await;
    assert_eq!(session.sizes.recv().await, Some(Size { width: 80, height: 24 }));
    client.data(resize, b"{\"Width\":120,\"Height\":40}\n", false).await;
    assert_eq!(session.sizes.recv().await, Some(Size { width: 120, height: 40 }));
}

/// Fact: before v4 the error stream holds a sentence, and nothing after success.
#[tokio::test]
async fn old_versions_get_a_sentence() {
    for (version, code, want) in
        [(Version::V2, 3, "command terminated with non-zero exit code: exit status 3"), (Version::V3, 0, "")]
    {
        let mut tasks = JoinSet::new();
        let asked = Wanted { stdout: true, ..Wanted::default() };
        let (mut session, mut client) = start(version, asked, asked, &mut tasks);
        let error = open(&mut client, "error").await;
        open(&mut client, "stdout").await;
        assert!(session.opened().await);
        session.output.finish(status::exited(code)).await;
        assert_eq!(String::from_utf8(client.all(error).await).unwrap(), want);
    }
}

/// A container without stdin may still be attached to by a client that offers it.
#[tokio::test]
async fn a_stream_that_was_asked_for_and_is_not_wanted_is_drained() {
    let mut tasks = JoinSet::new();
    let asked = Wanted { stdin: true, stdout: true, ..Wanted::default() };
    let wanted = Wanted { stdin: false, ..asked };
    let (mut session, mut client) = start(Version::V4, asked, wanted, &mut tasks);
    open(&mut client, "error").await;
    let stdin = open(&mut client, "stdin").await;
    let stdout = open(&mut client, "stdout").await;
    assert!(session.opened().await);
    assert_eq!(session.stdin.recv().await, None);
    for _ in 0..1024 {
        client.data(stdin, &[0; 1024], false).await;
    }
    session.output.stdout(Bytes::from_static(b"out")).await.unwrap();
    session.output.finish(status::success()).await;
    assert_eq!(client.all(stdout).await, b"out");
}
