//! A blocking rtnetlink socket: batches of requests, each acknowledged, and dumps.
//!
//! Blocking on purpose: a socket belongs to the network namespace of the thread that opened it, and threads that enter a
//! pod's namespace must not be a runtime's.
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

/// How a request treats what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Change or delete what exists.
    Change,
    /// Create; an existing one is an error.
    Create,
    /// Create or replace.
    Ensure,
}

/// A socket in the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

type Message = NetlinkMessage<RouteNetlinkMessage>;

// === impl Mode ===

impl Mode {
    fn flags(self) -> u16 {
        NLM_F_REQUEST
            | match self {
                Mode::Change => NLM_F_ACK,
                Mode::Create => NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                Mode::Ensure => NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            }
    }
}

// === impl Netlink ===

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Netlink> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request(&mut self, mode: Mode, message: RouteNetlinkMessage) -> io::Result<()> {
        self.batch(vec![(mode, message)])
    }

    /// Sends requests in one system call. The kernel does them in order and does not stop at a failed one; the first
    /// error is returned after all were answered.
    pub(crate) fn batch(&mut self, messages: Vec<(Mode, RouteNetlinkMessage)>) -> io::Result<()> {
        let count = messages.len();
        let mut bytes = Vec::with_capacity(count * 128);
        for (mode, message) in messages {
            self.append(&mut bytes, mode.flags(), message);
        }
        self.socket.send(&bytes, 0)?;
        let mut first = Ok(());
        let mut answers = 0;
        while answers < count {
            for answer in self.receive()? {
                let NetlinkPayload::Error(answer) = answer.payload else { continue };
                answers += 1;
                if answer.code.is_some() && first.is_ok() {
                    first = Err(answer.to_io());
                }
            }
        }
        first
    }

    /// Asks for one object.
    pub(crate) fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        let mut bytes = Vec::with_capacity(128);
        self.append(&mut bytes, NLM_F_REQUEST, message);
        self.socket.send(&bytes, 0)?;
        loop {
            for answer in self.receive()? {
                match answer.payload {
                    NetlinkPayload::InnerMessage(found) => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// All objects of a kind.
    pub(crate) fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut bytes = Vec::with_capacity(128);
        self.append(&mut bytes, NLM_F_REQUEST | NLM_F_DUMP, message);
        self.socket.send(&bytes, 0)?;
        let mut found = Vec::new();
        loop {
            for answer in self.receive()? {
                match answer.payload {
                    NetlinkPayload::InnerMessage(object) => found.push(object),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Done(_) => return Ok(found),
                    _ => {}
                }
            }
        }
    }

    fn append(&mut self, bytes: &mut Vec<u8>, flags: u16, message: RouteNetlinkMessage) {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(&mut bytes[start..]);
    }

    /// The messages of one datagram.
    fn receive(&mut self) -> io::Result<Vec<Message>> {
        let (bytes, _) = self.socket.recv_from_full()?;
        let mut messages = Vec::new();
        let mut rest = &bytes[..];
        while rest.len() >= 16 {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            let message = rest.get(..length.max(16)).ok_or_else(truncated)?;
            messages.push(Message::deserialize(message).map_err(io::Error::other)?);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "truncated netlink message")
}
