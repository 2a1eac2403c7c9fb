//! `control.sock`: attach, resize, signal, stop, wait, status.
//!
//! A client sends one JSON object a line and gets one back for each. After `attach` the connection carries frames:
//! one byte of kind, four of length (big-endian), then the payload.
//!
//! **Invariant:** a client that does not read costs the container at most [`PATIENCE`], once; then it is dropped.

use serde::Deserialize;
use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// How long the container's output waits for a client that does not read.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Frame kinds from clients.
const STDIN: u8 = 0;
const CLOSE_STDIN: u8 = 4;
const RESIZE: u8 = 5;

/// Frame kinds to clients.
pub(crate) const STDOUT: u8 = 1;
pub(crate) const STDERR: u8 = 2;
pub(crate) const EXIT: u8 = 3;

/// Longest frame or line taken from a client.
const LONGEST: usize = 64 << 10;

/// A request line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) op: String,
    #[serde(default)]
    pub(crate) stdin: bool,
    #[serde(default)]
    pub(crate) signal: i32,
    #[serde(default)]
    pub(crate) grace_ms: u64,
    #[serde(default)]
    pub(crate) columns: u16,
    #[serde(default)]
    pub(crate) rows: u16,
}

/// Something a client sent.
#[derive(Debug)]
pub(crate) enum Event {
    Request(Request),
    Stdin(Vec<u8>),
    CloseStdin,
    Resize(u16, u16),
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Requests,
    Attached { stdin: bool },
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) mode: Mode,
    /// Wants the exit record as a line.
    pub(crate) waits: bool,
    /// To be dropped.
    pub(crate) gone: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    stuck: Option<Instant>,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Client> {
        stream.set_nonblocking(true)?;
        Ok(Client {
            stream,
            mode: Mode::Requests,
            waits: false,
            gone: false,
            inbox: Vec::new(),
            outbox: Vec::new(),
            stuck: None,
        })
    }

    /// Reads what is there and returns the next whole message; call again until it returns `None`.
    pub(crate) fn receive(&mut self) -> Option<Event> {
        let mut chunk = [0_u8; 4096];
        while self.inbox.len() < 8192 {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.gone = true;
                    break;
                }
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.gone |= error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
            if self.complete().is_some() {
                break;
            }
        }
        self.parse()
    }

    /// A whole message is here already.
    pub(crate) fn has_message(&self) -> bool {
        self.complete().is_some()
    }

    /// Length of the first message in the inbox, if it is whole.
    fn complete(&self) -> Option<usize> {
        match self.mode {
            Mode::Requests => self.inbox.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
            Mode::Attached { .. } => {
                let length = u32::from_be_bytes(*self.inbox.get(1..)?.first_chunk::<4>()?);
                let whole = usize::try_from(length).ok()?.checked_add(5)?;
                (self.inbox.len() >= whole).then_some(whole)
            }
        }
    }

    fn parse(&mut self) -> Option<Event> {
        let Some(length) = self.complete() else {
            self.gone |= self.inbox.len() > LONGEST;
            return None;
        };
        let message: Vec<u8> = self.inbox.drain(..length).collect();
        match self.mode {
            Mode::Requests => match serde_json::from_slice(&message) {
                Ok(request) => Some(Event::Request(request)),
                Err(error) => {
                    self.answer(&serde_json::json!({ "ok": false, "error": error.to_string() }));
                    None
                }
            },
            Mode::Attached { .. } => match (message[0], &message[5..]) {
                (STDIN, data) => Some(Event::Stdin(data.to_vec())),
                (CLOSE_STDIN, _) => Some(Event::CloseStdin),
                (RESIZE, [a, b, c, d]) => {
                    Some(Event::Resize(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
                }
                _ => None,
            },
        }
    }

    pub(crate) fn answer(&mut self, value: &serde_json::Value) {
        let mut line = value.to_string().into_bytes();
        line.push(b'\n');
        self.send(&line);
    }

    pub(crate) fn frame(&mut self, kind: u8, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(payload.len() + 5);
        frame.push(kind);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(payload);
        self.send(&frame);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
        self.flush();
    }

    /// Writes what the client takes now.
    pub(crate) fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => {
                    self.outbox.drain(..count);
                    self.stuck = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        if self.outbox.is_empty() {
            self.outbox = Vec::new();
            self.stuck = None;
        } else {
            self.stuck.get_or_insert_with(Instant::now);
        }
    }

    /// Output is waiting for this client.
    pub(crate) fn is_behind(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// When patience with this client ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.stuck.map(|since| since + PATIENCE)
    }
}
