//! The codec: what is written is read, and nothing else is ever taken for it.

use crate::spdy::codec::{Decoder, Encoder, Malformed};
use crate::spdy::{Headers, frame::Frame};
use bytes::{Bytes, BytesMut};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn headers() -> impl Strategy<Value = Headers> {
    btree_map("[a-z][a-z0-9-]{0,12}", ".{0,40}", 0..6)
        .prop_map(|pairs| Headers::new(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = || 1..=0x7fff_ffff_u32;
    prop_oneof![
        (id(), 0..=0x7fff_ffff_u32, 0..8_u8, any::<bool>(), any::<bool>(), headers()).prop_map(
            |(id, associated, priority, fin, unidirectional, headers)| Frame::SynStream {
                id,
                associated,
                priority,
                fin,
                unidirectional,
                headers
            }
        ),
        (id(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply { id, fin, headers }),
        (id(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers { id, fin, headers }),
        (id(), 1..=u32::MAX).prop_map(|(id, status)| Frame::Reset { id, status }),
        (any::<bool>(), vec(any::<(u32, u32)>(), 0..5))
            .prop_map(|(clear, values)| Frame::Settings { clear, values }),
        (1..=u32::MAX).prop_map(Frame::Ping),
        (0..=0x7fff_ffff_u32, any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        (0..=0x7fff_ffff_u32, 0..=0x7fff_ffff_u32).prop_map(|(id, more)| Frame::WindowUpdate { id, more }),
        (id(), any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(id, fin, data)| Frame::Data {
            id,
            fin,
            data: data.into()
        }),
        (10..100_u16).prop_map(Frame::Unknown),
    ]
}

fn written(frames: &[Frame]) -> BytesMut {
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    for frame in frames {
        encoder.encode(frame, &mut out).unwrap();
    }
    out
}

/// All frames that the bytes hold, if they come in pieces of this size.
fn read(bytes: &[u8], piece: usize) -> Result<(Vec<Frame>, usize), Malformed> {
    let (mut decoder, mut buffer, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok((frames, buffer.len()))
}

/// The same with the pieces of each data frame joined.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut out: Vec<Frame> = Vec::new();
    let mut open = false;
    for frame in frames {
        let Frame::Data { id, fin, data } = &frame else {
            open = false;
            out.push(frame);
            continue;
        };
        match out.last_mut() {
            Some(Frame::Data { id: last, fin: ended, data: before }) if open && last == id => {
                *before = [before.as_ref(), data].concat().into();
                *ended = *fin;
            }
            _ => out.push(frame.clone()),
        }
        open = true;
    }
    out
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in vec(frame(), 1..20)) {
        let (seen, left) = read(&written(&frames), usize::MAX).unwrap();
        prop_assert_eq!(seen, frames);
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut(frames in vec(frame(), 1..8), piece in 1..50_usize) {
        // Data frames beside each other on one stream cannot be told from pieces of one.
        let frames = joined(frames);
        let (seen, left) = read(&written(&frames), piece).unwrap();
        prop_assert_eq!(joined(seen), frames);
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn what_is_cut_off_is_waited_for(frame in frame(), at in any::<prop::sample::Index>()) {
        let bytes = written(std::slice::from_ref(&frame));
        let cut = &bytes[..at.index(bytes.len())];
        let (seen, _) = read(cut, usize::MAX).unwrap();
        let whole = |seen: &Frame| *seen == frame || matches!(seen, Frame::Data { fin: true, .. });
        prop_assert!(!seen.iter().any(whole), "{:?}", seen);
    }

    #[test]
    fn no_bytes_at_all_make_it_panic(bytes in vec(any::<u8>(), 0..400), piece in 1..100_usize) {
        let _ = read(&bytes, piece);
    }

    #[test]
    fn nor_does_a_frame_with_a_wrong_byte(
        frames in vec(frame(), 1..5), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut bytes = written(&frames);
        let index = at.index(bytes.len());
        bytes[index] ^= 1 << bit;
        let _ = read(&bytes, 17);
    }
}

fn check(bytes: &[u8], want: &Result<Vec<Frame>, Malformed>) {
    assert_eq!(read(bytes, usize::MAX).map(|(frames, _)| frames), *want, "{bytes:x?}");
}

#[test]
fn control_frames_are_as_the_protocol_lays_them_out() {
    check(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9], &Ok(vec![Frame::Ping(9)]));
    check(&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5], &Ok(vec![Frame::Reset { id: 1, status: 5 }]));
    check(
        &[0, 0, 0, 7, 1, 0, 0, 2, b'h', b'i'],
        &Ok(vec![Frame::Data { id: 7, fin: true, data: Bytes::from_static(b"hi") }]),
    );
    check(&[0x80, 3, 0, 77, 0, 0, 0, 1, 9], &Ok(vec![Frame::Unknown(77)]));
}

#[test]
fn nonsense_is_named() {
    check(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 9], &Err(Malformed::Version(2)));
    check(&[0, 0, 0, 0, 0, 0, 0, 0], &Err(Malformed::ZeroStream));
    check(&[0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 9, 9], &Err(Malformed::Length(6, 5)));
    check(&[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0], &Err(Malformed::ZeroStream));
    check(&[0x80, 3, 0, 6, 1, 0, 0, 4, 0, 0, 0, 1], &Err(Malformed::Flags(6, 1)));
    check(&[0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0], &Err(Malformed::ZeroStatus));
    check(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], &Err(Malformed::Length(1, 0xff_ffff)));
    check(&[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], &Err(Malformed::Length(4, 4)));
    check(&[0x80, 3, 0, 2, 0, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4], &Err(Malformed::Compression));
}

/// The name/value block of these pairs as a SYN_STREAM, compressed as a client does.
fn syn_stream(block: &[u8]) -> Vec<u8> {
    let mut deflater = crate::spdy::deflate::Deflater::new();
    let block = deflater.compress(block).unwrap();
    let length = u8::try_from(block.len() + 10).unwrap();
    [&[0x80, 3, 0, 1, 0, 0, 0, length, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &block].concat()
}

#[test]
fn headers_that_no_client_sends_are_refused() {
    let pair = |name: &str| [&[0, 0, 0, 1][..], name.as_bytes(), &[0, 0, 0, 1, b'v']].concat();
    let block = |count: u8, pairs: &[&str]| {
        let pairs: Vec<u8> = pairs.iter().flat_map(|name| pair(name)).collect();
        syn_stream(&[&[0, 0, 0, count][..], &pairs].concat())
    };
    assert!(read(&block(2, &["a", "b"]), 1).is_ok());
    for (count, names) in [(2, &["a", "a"][..]), (1, &["A"]), (2, &["a"]), (1, &["a", "b"]), (255, &[])] {
        let refused = read(&block(count, names), 1);
        assert!(matches!(refused, Err(Malformed::Headers(_))), "{count} {names:?}: {refused:?}");
    }
}

#[test]
fn headers_that_unfold_to_much_more_are_refused() {
    let huge = [&[0, 0, 0, 1, 0, 0, 0, 1, b'a', 0, 4, 0, 0][..], &vec![b'x'; 4 << 16]].concat();
    let mut deflater = crate::spdy::deflate::Deflater::new();
    let block = deflater.compress(&huge).unwrap();
    assert!(block.len() < 8 << 10, "{}", block.len());
    let length = u16::try_from(block.len() + 10).unwrap().to_be_bytes();
    let head = [0x80, 3, 0, 1, 0, 0, length[0], length[1], 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(read(&[&head[..], &block].concat(), usize::MAX), Err(Malformed::Compression));
}

/// What Go's zlib writes is read in the system suite, from kubectl; this pins that ours names the dictionary the same way.
#[test]
fn a_header_stream_names_the_dictionary() {
    let bytes = syn_stream(&[0, 0, 0, 0]);
    assert_eq!(bytes[20..24], [0xe3, 0xc6, 0xa7, 0xc2]);
}

#[test]
fn long_data_is_handed_on_before_it_is_complete() {
    let data = Frame::Data { id: 1, fin: true, data: vec![1; 1 << 20].into() };
    let bytes = written(&[data]);
    let (frames, left) = read(&bytes[..bytes.len() / 2], usize::MAX).unwrap();
    let got: usize =
        frames.iter().map(|frame| if let Frame::Data { data, .. } = frame { data.len() } else { 0 }).sum();
    assert_eq!((got + left, left), (bytes.len() / 2 - 8, 0));
    assert!(frames.iter().all(|frame| matches!(frame, Frame::Data { fin: false, .. })));
}
