//! SPDY frames: however the bytes are cut into pieces they mean the same; what was read is written and read again; and a
//! connection that gets them ends when the client has left.

use bytes::{Bytes, BytesMut};
use std::time::Duration;
use streams::spdy::{
    codec::{Decoder, Encoder},
    frame::Frame,
    serve,
};
use tokio::io::AsyncWriteExt as _;

pub(crate) fn run(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let whole = read(data, data.len());
    let pieces = read(data, usize::from(*first));
    assert_eq!(joined(whole.0.clone()), joined(pieces.0), "in pieces of {first} bytes");
    assert_eq!(whole.1, pieces.1, "in pieces of {first} bytes");

    let (mut encoder, mut written) = (Encoder::default(), BytesMut::new());
    // Frames that the decoder lets pass and no encoder would write are left out: there is nothing to compare.
    let kept: Vec<Frame> =
        whole.0.into_iter().filter(|frame| encoder.encode(frame, &mut written).is_ok()).collect();
    let again = read(&written, written.len());
    assert!(!again.1, "what was written can be read");
    assert_eq!(joined(again.0), joined(kept));

    serve_all(data);
}

/// All frames up to the end or the first mistake, and whether there was one.
fn read(bytes: &[u8], piece: usize) -> (Vec<Frame>, bool) {
    let (mut decoder, mut buffer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// Data of one frame may come in pieces: puts them together as far as the frame's end is told.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut out: Vec<Frame> = Vec::new();
    for frame in frames {
        match (out.last_mut(), frame) {
            (Some(Frame::Data { id, fin, data }), Frame::Data { id: next, fin: last, data: more })
                if *id == next && !*fin =>
            {
                *data = Bytes::from([&data[..], &more[..]].concat());
                *fin = last;
            }
            (_, frame) => out.push(frame),
        }
    }
    out
}

fn serve_all(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (ours, theirs) = tokio::io::duplex(1 << 12);
        let (reader, writer) = tokio::io::split(ours);
        let (mut connection, carry) = serve(reader, writer, |headers| headers.get("bad").is_none());
        let (mut answers, mut asks) = tokio::io::split(theirs);
        let talk = async {
            // The server may have hung up; then the rest is not read.
            let _ = asks.write_all(data).await;
            let _ = asks.shutdown().await;
        };
        let listen = async {
            // It ends with the connection, in whatever way.
            let _ = tokio::io::copy(&mut answers, &mut tokio::io::sink()).await;
        };
        let echo = async {
            while let Some(mut stream) = connection.next().await {
                if let Some(data) = stream.reader.next().await {
                    let _ = stream.writer.send(data).await;
                }
                stream.writer.finish().await;
            }
        };
        let all = async { tokio::join!(carry, talk, echo, listen) };
        // A minute by the clock of the runtime, which stands still while anybody works.
        tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .expect("the connection ends when the client has left");
    });
}
