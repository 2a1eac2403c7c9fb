//! The bytes of a snapshot: a header, all entries in key order, and their number.

use crate::{
    frame::{Builder, FileHeader},
    index::Change,
    txn::Entry,
};
use std::{
    io::{self, Write},
    sync::Arc,
};

/// How many entries are taken at a time, while the index is locked.
pub(crate) const CHUNK: usize = 64;
/// A frame is written once it has this many bytes. Asked after each entry: a chunk of values of a MiB would be longer than a frame
/// may be.
const FRAME: usize = 1 << 20;

/// Writes a snapshot of the entries that `chunk` gives after a key, none at the end. After each frame that is not the last comes
/// `between`. Gives the size in bytes.
pub(crate) fn write<W: Write + ?Sized>(
    header: &FileHeader,
    out: &mut W,
    mut chunk: impl FnMut(Option<&str>) -> io::Result<Vec<Entry>>,
    mut between: impl FnMut(&mut W) -> io::Result<()>,
) -> io::Result<u64> {
    let head = header.encode();
    out.write_all(&head)?;
    let (mut size, mut count, mut after) = (head.len(), 0, None::<Arc<str>>);
    let mut frame = Builder::default();
    frame.clear();
    loop {
        let entries = chunk(after.as_deref())?;
        let Some(last) = entries.last() else { break };
        after = Some(last.key.clone());
        count += entries.len() as u64;
        for Entry { key, revision, value } in entries {
            frame.push(&Change { key, revision, value: Some(value) });
            if frame.len() >= FRAME {
                size += frame.len();
                out.write_all(frame.seal(header.salt, 0))?;
                between(out)?;
                frame.clear();
            }
        }
    }
    frame.push_end(count);
    size += frame.len();
    out.write_all(frame.seal(header.salt, 0))?;
    Ok(size as u64)
}
