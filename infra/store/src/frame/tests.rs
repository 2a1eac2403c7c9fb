use super::*;

const SALT: u64 = 77;

/// A format that never was, older than all: as format 1, but its items stand in the opposite order.
pub(super) const OLDER: Reader = Reader { format: 0, items: backwards };

fn backwards(payload: &[u8]) -> Option<Vec<Item>> {
    items(payload).map(|mut items| {
        items.reverse();
        items
    })
}

fn put(key: &str, revision: u64, value: &[u8]) -> Change {
    Change { key: key.into(), revision, value: Some(Bytes::copy_from_slice(value)) }
}

fn sealed(changes: &[Change]) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.clear();
    changes.iter().for_each(|change| builder.push(change));
    builder.seal(SALT, changes[0].revision).to_vec()
}

#[test]
fn a_frame_comes_back_as_it_was_written() {
    let delete = Change { key: "b".into(), revision: 9, value: None };
    let bytes = sealed(&[put("a", 8, b"one"), delete, put("", 9, b"")]);
    let Ok(Found::Frame(frame)) = read(&mut &bytes[..], SALT) else { panic!("a whole frame") };
    assert_eq!((frame.first, frame.size), (8, bytes.len()));
    let items: Vec<String> = frame.items(FORMAT).unwrap().iter().map(show).collect();
    assert_eq!(items, ["a@8=Some(b\"one\")", "b@9=None", "@9=Some(b\"\")"]);
}

fn show(item: &Item) -> String {
    match item {
        Item::Change(change) => format!("{}@{}={:?}", change.key, change.revision, change.value),
        Item::End { entries } => format!("end of {entries}"),
    }
}

#[test]
fn every_flipped_bit_of_a_frame_is_found() {
    let bytes = sealed(&[put("key", 8, b"value")]);
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert!(matches!(read(&mut &flipped[..], SALT), Ok(Found::Broken)), "bit {at}");
    }
}

#[test]
fn a_frame_inside_a_value_is_not_taken_for_one_of_the_file() {
    let forged = sealed(&[put("key", 8, b"value")]);
    assert!(any_frame_in(&forged, SALT));
    assert!(!any_frame_in(&forged, SALT + 1));
}

#[test]
fn a_header_of_a_newer_format_is_told_from_a_broken_one() {
    let mut bytes =
        FileHeader { format: FORMAT, kind: Kind::Log, generation: 3, revision: 0, salt: SALT }.encode();
    assert_eq!(FileHeader::decode(&bytes).map(|header| header.generation), Ok(3));
    bytes[8] = 2;
    assert!(matches!(FileHeader::decode(&bytes), Err(BadHeader::Broken(_))));
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(FileHeader::decode(&bytes), Err(BadHeader::TooNew(2)));
}

#[test]
fn the_table_of_readers_has_each_format_once_up_to_the_one_that_is_written() {
    let formats: Vec<u32> = READERS.iter().map(|reader| reader.format).collect();
    let first = *formats.first().unwrap();
    assert_eq!(formats, (first..=FORMAT).collect::<Vec<_>>());
    let row = |format| Reader { format, items };
    let table = [row(3), row(4)];
    let found = |format| reader(&table, format).map(|reader| reader.format);
    assert_eq!([found(3), found(4)], [Ok(3), Ok(4)]);
    assert_eq!([found(2), found(0)], [Err(BadHeader::TooOld(2, 3)), Err(BadHeader::TooOld(0, 3))]);
    assert_eq!(found(5), Err(BadHeader::TooNew(5)));
}
