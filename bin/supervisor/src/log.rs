//! The container's log: CRI lines, capped and rotated.
//!
//! Each line is `<time> <stream> <F|P> <text>`. `P` marks text whose line goes on: what a program prints without a
//! newline is in the file at once and is put together again by readers.
//!
//! **Invariant:** trouble with the disk loses log lines, it never stops the container.

use crate::{clock, config};
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// Which of the container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Flush when this much is formatted.
const BUFFER: usize = 16 << 10;

#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    size: u64,
    path: PathBuf,
    max_bytes: u64,
    max_files: u32,
    buffer: Vec<u8>,
}

// === impl Log ===

impl Log {
    pub(crate) fn open(config: &config::Log) -> Log {
        let mut log = Log {
            file: None,
            size: 0,
            path: config.path.clone(),
            max_bytes: config.max_bytes.max(1024),
            max_files: config.max_files.max(1),
            buffer: Vec::new(),
        };
        log.reopen();
        log
    }

    /// Writes what was read at once from one output.
    pub(crate) fn write(&mut self, stream: Stream, chunk: &[u8]) {
        let now = clock::now();
        let name = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        for line in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, tag) = match line.strip_suffix(b"\n") {
                Some(text) => (text, " F "),
                None => (line, " P "),
            };
            for part in [now.as_bytes(), b" ", name.as_bytes(), tag.as_bytes(), text, b"\n"] {
                self.buffer.extend_from_slice(part);
            }
            let full = self.size + self.buffer.len() as u64 >= self.max_bytes;
            if full || self.buffer.len() >= BUFFER {
                self.flush();
            }
            // A line is not torn over two files, unless it never ends.
            if full && (tag == " F " || self.size >= 2 * self.max_bytes) {
                self.rotate();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && file.write_all(&self.buffer).is_ok()
        {
            self.size += self.buffer.len() as u64;
        }
        self.buffer.clear();
    }

    /// `log` becomes `log.1`, `log.1` becomes `log.2`; the oldest goes.
    fn rotate(&mut self) {
        let name = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        let last = self.max_files - 1;
        if last == 0 {
            let _ = fs::remove_file(&self.path);
        }
        for number in (1..last).rev() {
            let _ = fs::rename(name(number), name(number + 1));
        }
        if last > 0 {
            let _ = fs::rename(&self.path, name(1));
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        self.file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path).ok();
        self.size = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str, max_bytes: u64, max_files: u32) -> (PathBuf, Log) {
        let dir = std::env::temp_dir().join(format!("supervisor-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("scratch");
        let log = Log::open(&config::Log { path: dir.join("log"), max_bytes, max_files });
        (dir, log)
    }

    /// Text of the lines, time removed.
    fn lines(path: PathBuf) -> Vec<String> {
        let text = fs::read_to_string(path).expect("log");
        text.lines().map(|line| line.split_once(' ').expect("time").1.to_owned()).collect()
    }

    #[test]
    fn text_without_newline_is_written_at_once_and_marked_partial() {
        let (dir, mut log) = scratch("partial", 1 << 20, 2);
        log.write(Stream::Stdout, b"one\ntwo");
        assert_eq!(lines(dir.join("log")), ["stdout F one", "stdout P two"]);
        log.write(Stream::Stdout, b"\n");
        log.write(Stream::Stderr, b"e\n");
        assert_eq!(lines(dir.join("log"))[2..], ["stdout F ", "stderr F e"]);
        fs::remove_dir_all(dir).expect("clean");
    }

    #[test]
    fn files_stay_under_the_cap_and_the_newest_are_kept() {
        let (dir, mut log) = scratch("rotate", 2048, 3);
        for number in 0..200 {
            log.write(Stream::Stdout, format!("{number:0100}\n").as_bytes());
        }
        let mut names: Vec<_> =
            fs::read_dir(&dir).expect("dir").map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["log", "log.1", "log.2"]);
        for name in &names {
            assert!(fs::metadata(dir.join(name)).expect("meta").len() <= 2048 + 200);
        }
        let mut kept = lines(dir.join("log.1"));
        kept.extend(lines(dir.join("log")));
        assert!(kept.last().expect("last").ends_with("199"));
        fs::remove_dir_all(dir).expect("clean");
    }
}
