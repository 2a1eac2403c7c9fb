//! Files with holes: only what is on the disk is read. A sandbox can make a file of many terabytes that takes no room.
//!
//! The map in front of the content is GNU tar's, format 1.0: decimal lines, how many pieces, then offset and length of each,
//! filled up to a block.

use crate::record::bad;
use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::FileExt as _,
};

/// Smaller holes are read as the zeros that they are.
const LEAST: u64 = 1 << 20;
const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;

/// Pieces of a file that are on the disk, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segments(Vec<(u64, u64)>);

// === impl Segments ===

impl Segments {
    /// The pieces of a file of `size` bytes; none if it has no hole worth the name, or its file system cannot tell.
    pub(crate) fn of(file: &File, size: u64, blocks: u64) -> Option<Self> {
        if blocks.saturating_mul(512).saturating_add(LEAST) > size {
            return None;
        }
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let mut at = 0;
        while at < size {
            let begin = match seek(file, SeekFrom::Data(at)) {
                Ok(begin) => begin.min(size),
                // No data from here to the end.
                Err(Errno::NXIO) => break,
                Err(_) => return None,
            };
            let end = seek(file, SeekFrom::Hole(begin)).unwrap_or(size).min(size);
            match pieces.last_mut() {
                Some((offset, length)) if begin - (*offset + *length) < LEAST => *length = end - *offset,
                _ if end > begin => pieces.push((begin, end - begin)),
                _ => {}
            }
            at = end.max(at + 1);
        }
        Some(Self(pieces))
    }

    /// A file without holes.
    pub(crate) fn whole(size: u64) -> Self {
        Self(vec![(0, size)])
    }

    /// The map in front of the content.
    pub(crate) fn map(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.0.len());
        self.0.iter().for_each(|(offset, length)| text.push_str(&format!("{offset}\n{length}\n")));
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    /// Bytes of all pieces.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(_, length)| length).sum()
    }

    /// Copies the pieces; what somebody has cut off the file meanwhile is zeros.
    pub(crate) fn copy(&self, file: &File, out: &mut impl Write) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        for (offset, length) in &self.0 {
            let mut done = 0;
            while done < *length {
                let wanted = usize::try_from(length - done).unwrap_or(BUFFER).min(BUFFER);
                let read = match file.read_at(&mut buffer[..wanted], offset + done) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                };
                if read == 0 {
                    buffer.fill(0);
                }
                let read = if read == 0 { wanted } else { read };
                out.write_all(&buffer[..read])?;
                done += read as u64;
            }
        }
        Ok(())
    }

    /// Reads a map, and makes the file of `size` bytes from what follows it.
    pub(crate) fn restore(content: &mut dyn Read, file: &File, size: u64) -> io::Result<()> {
        let mut content = BufReader::new(content);
        let mut taken = 0;
        let mut number = |content: &mut BufReader<&mut dyn Read>| {
            let mut line = String::new();
            taken += content.take(24).read_line(&mut line)?;
            line.trim_end().parse::<u64>().map_err(|_| bad("the map of a file with holes is no map"))
        };
        let count = number(&mut content)?;
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push((number(&mut content)?, number(&mut content)?));
        }
        let filling = taken.next_multiple_of(BLOCK) - taken;
        io::copy(&mut (&mut content).take(filling as u64), &mut io::sink())?;
        file.set_len(size)?;
        for (offset, length) in pieces {
            write_piece(&mut (&mut content).take(length), file, offset, length)?;
        }
        Ok(())
    }
}

fn write_piece(content: &mut impl Read, file: &File, offset: u64, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut at = offset;
    loop {
        match content.read(&mut buffer)? {
            0 if at == offset + length => return Ok(()),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                file.write_all_at(&buffer[..read], at)?;
                at += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_neither_read_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            File::options()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(dir.path().join(name))
                .unwrap()
        };
        let (from, to) = (file("from"), file("to"));
        let size = 1 << 40;
        from.set_len(size).unwrap();
        for at in [5 << 20, (5 << 20) + 70_000, 1 << 39] {
            from.write_all_at(&[7; 5000], at).unwrap();
        }
        let segments = Segments::of(&from, size, 40).unwrap();
        assert_eq!(segments.0.len(), 2, "a small hole is none: {segments:?}");
        let mut bytes = segments.map();
        segments.copy(&from, &mut bytes).unwrap();
        assert!(bytes.len() < 200_000, "{}", bytes.len());
        Segments::restore(&mut &bytes[..], &to, size).unwrap();
        assert_eq!(to.metadata().unwrap().len(), size);
        let mut read = [0; 5000];
        for at in [5 << 20, (5 << 20) + 70_000, 1 << 39] {
            to.read_exact_at(&mut read, at).unwrap();
            assert_eq!(read, [7; 5000]);
        }
        assert_eq!(Segments::of(&from, 5000, 16), None);
    }

    #[test]
    fn a_file_that_was_cut_meanwhile_is_filled_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut");
        std::fs::write(&path, [1; 100]).unwrap();
        let mut bytes = Vec::new();
        Segments::whole(300).copy(&File::open(&path).unwrap(), &mut bytes).unwrap();
        assert_eq!(
            (bytes.len(), &bytes[..100], bytes[100..].iter().any(|byte| *byte != 0)),
            (300, &[1; 100][..], false)
        );
    }
}
