//! Reads container logs: the CRI's lines, filtered and followed as `kubectl logs` asks.
//!
//! A line is `<RFC 3339 time> <stdout|stderr> <F|P> <text>`; P is the first part of a longer line. A file that is
//! rotated while it is followed is read to its end before the new one is opened.

mod line;
mod watcher;

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::{mpsc, watch};

use line::Line;
use watcher::Watcher;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// A follower looks again after this long even if it was told of no change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) follow: bool,
    pub(crate) timestamps: bool,
    pub(crate) previous: bool,
    pub(crate) tail: Option<usize>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) limit: Option<usize>,
    /// Only this stream: `stdout` or `stderr`.
    pub(crate) stream: Option<String>,
}

/// Sends the log in pieces until it ends or the reader leaves. With `follow` it ends when `running` is false and
/// everything has been sent.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn send(
    path: &Path,
    options: &Options,
    mut running: watch::Receiver<bool>,
    to: &mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let mut sender = Sender { options, left: options.limit.unwrap_or(usize::MAX), to };
    let watcher = if options.follow { Watcher::new(path.parent().unwrap_or(path)).ok() } else { None };
    let mut reader = Reader::open(path).await?;
    if let Some(lines) = options.tail {
        let text = reader.tail(lines).await?;
        reader = text;
    }
    loop {
        // Asked before reading: what was written before the end is read after it.
        let alive = *running.borrow_and_update();
        if !sender.all(&mut reader).await? {
            return Ok(());
        }
        if reader.rotated().await {
            // Its last lines may have been written after we read it and before it was put aside.
            if !sender.all(&mut reader).await? {
                return Ok(());
            }
            reader = Reader::open(path).await?;
            continue;
        }
        if !options.follow || !alive {
            return Ok(());
        }
        tokio::select! {
            () = changed(watcher.as_ref()) => {}
            _ = running.changed() => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = to.closed() => return Ok(()),
        }
    }
}

async fn changed(watcher: Option<&Watcher>) {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => std::future::pending().await,
    }
}

struct Sender<'a> {
    options: &'a Options,
    left: usize,
    to: &'a mpsc::Sender<Bytes>,
}

// === impl Sender ===

impl Sender<'_> {
    /// Sends what is left of a file. False when enough was sent or the reader has left.
    async fn all(&mut self, reader: &mut Reader) -> std::io::Result<bool> {
        while let Some(line) = reader.next().await? {
            if !self.line(&line).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends one line if it is asked for. False when enough was sent or the reader has left.
    async fn line(&mut self, raw: &[u8]) -> bool {
        let Some(line) = Line::parse(raw) else { return true };
        let wanted = self.options.stream.as_deref().is_none_or(|stream| stream.as_bytes() == line.stream);
        let new = self.options.since.is_none_or(|since| line.time().is_none_or(|time| time >= since));
        if !wanted || !new {
            return true;
        }
        let mut text = line.text(self.options.timestamps);
        text.truncate(self.left);
        self.left -= text.len();
        self.to.send(Bytes::from(text)).await.is_ok() && self.left > 0
    }
}

/// Reads whole lines of one file.
struct Reader {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    start: usize,
}

// === impl Reader ===

impl Reader {
    async fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path).await?;
        Ok(Self { path: path.to_owned(), file, buffer: Vec::new(), start: 0 })
    }

    /// The next whole line without its end; none at the end of what was written so far.
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer[self.start..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer[self.start..self.start + end].to_vec();
                self.start += end + 1;
                return Ok(Some(line));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let length = self.buffer.len();
            self.buffer.resize(length + CHUNK, 0);
            let read = self.file.read(&mut self.buffer[length..]).await?;
            self.buffer.truncate(length + read);
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// This file from its last `lines` lines on.
    async fn tail(mut self, lines: usize) -> std::io::Result<Self> {
        let mut position = self.file.seek(SeekFrom::End(0)).await?;
        let mut found = 0;
        let mut chunk = vec![0; CHUNK];
        // A last line ends with a line feed of its own, which counts for none.
        let wanted = lines.saturating_add(1);
        'back: while position > 0 {
            let size = position.min(CHUNK as u64);
            position -= size;
            self.file.seek(SeekFrom::Start(position)).await?;
            let part = &mut chunk[..usize::try_from(size).unwrap_or(CHUNK)];
            self.file.read_exact(part).await?;
            for (at, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
                found += 1;
                if found == wanted {
                    position += at as u64 + 1;
                    break 'back;
                }
            }
        }
        self.file.seek(SeekFrom::Start(position)).await?;
        Ok(self)
    }

    /// Whether another file has taken this one's name.
    async fn rotated(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(own), Ok(named)) = (self.file.metadata().await, tokio::fs::metadata(&self.path).await) else {
            return false;
        };
        own.ino() != named.ino()
    }
}

#[cfg(test)]
mod tests;
