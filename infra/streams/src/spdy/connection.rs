//! Serves one connection: streams that the client opens come out, data flows both ways, backpressure holds.

mod transmit;

use super::codec::{Decoder, Encoder, Malformed};
use super::frame::{Frame, status};
use super::headers::Headers;
use super::state::{State, Verdict};
use crate::{GOODBYE, MAX_CHUNK, QUEUE};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use transmit::Transmit;

/// Most streams at a time.
const STREAMS: usize = 1024;
/// Data of one stream that waits to be taken; with more, the connection is not read.
const STREAM_ROOM: usize = 256 << 10;
/// The same for all streams of a connection.
const CONNECTION_ROOM: usize = 8 << 20;
/// What a waiting piece costs besides its bytes.
const PIECE_COST: usize = 64;
/// Answers that may wait for a client that does not read. With more, it is dropped.
const CONTROL: usize = 256;
/// Bytes that are asked of the connection at once.
const READ: usize = 32 << 10;
/// How often a client whose data is not taken is asked whether it is still there.
const ASK: Duration = Duration::from_secs(15);

/// A connection. Dropping it says goodbye to the client, after all that was sent.
#[derive(Debug)]
pub struct Connection {
    streams: mpsc::Receiver<Stream>,
    _end: DropGuard,
}

/// A stream that the client has opened.
#[derive(Debug)]
pub struct Stream {
    /// What it is for.
    pub headers: Headers,
    /// What the client sends.
    pub reader: Reader,
    /// What the client gets.
    pub writer: Writer,
    /// Cancelled when the client resets the stream or is gone.
    pub gone: CancellationToken,
    /// Its number.
    pub id: u32,
}

/// What a client sends on a stream. If it is dropped, further data is thrown away.
#[derive(Debug)]
pub struct Reader {
    pieces: mpsc::UnboundedReceiver<Piece>,
}

/// What a client gets on a stream. If it is dropped unfinished, the stream is reset.
#[derive(Debug)]
pub struct Writer {
    id: u32,
    shared: Arc<Shared>,
    gone: CancellationToken,
    finished: bool,
}

/// The client has reset the stream, or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client has closed the stream")]
pub struct Closed;

#[derive(Debug)]
struct Piece {
    data: Bytes,
    _room: [OwnedSemaphorePermit; 2],
}

/// Where a stream's data goes.
#[derive(Clone, Debug)]
struct Input {
    pieces: Option<mpsc::UnboundedSender<Piece>>,
    room: Arc<Semaphore>,
    gone: CancellationToken,
}

#[derive(Debug)]
struct Outgoing {
    id: u32,
    fin: bool,
    data: Bytes,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State<Input>>,
    room: Arc<Semaphore>,
    control: mpsc::Sender<Frame>,
    data: mpsc::Sender<Outgoing>,
    /// Cancelled when the server has nothing more to say, or may not say more.
    end: CancellationToken,
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the client left")]
    Left,
    #[error("not SPDY: {0}")]
    Malformed(#[from] Malformed),
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("the client asks and does not read")]
    Deaf,
}

/// Serves the bytes of one connection. Streams whose headers `admit` does not like are reset. Run the returned future
/// until it ends; it ends when the client has left, or a moment after the [`Connection`] was dropped.
pub fn serve<R, W>(
    reader: R,
    writer: W,
    admit: fn(&Headers) -> bool,
) -> (Connection, impl Future<Output = ()> + Send)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let (control, control_out) = mpsc::channel(CONTROL);
    let (data, data_out) = mpsc::channel(QUEUE);
    let (opened, streams) = mpsc::channel(STREAMS);
    let end = CancellationToken::new();
    let shared = Arc::new(Shared {
        state: Mutex::new(State::new(STREAMS)),
        room: Arc::new(Semaphore::new(CONNECTION_ROOM)),
        control,
        data,
        end: end.clone(),
    });
    let connection = Connection { streams, _end: end.drop_guard() };
    let receive = Receive { shared: Arc::clone(&shared), opened, admit, decoder: Decoder::default() };
    let transmit = Transmit {
        shared: Arc::clone(&shared),
        control: control_out,
        data: data_out,
        encoder: Encoder::default(),
        buffer: BytesMut::new(),
    };
    (connection, drive(shared, receive.run(reader), transmit.run(writer)))
}

async fn drive(
    shared: Arc<Shared>,
    receive: impl Future<Output = Broken> + Send,
    transmit: impl Future<Output = io::Result<()>> + Send,
) {
    tokio::pin!(receive, transmit);
    tokio::select! {
        why = &mut receive => {
            tracing::debug!(%why, "SPDY connection ended");
            if matches!(why, Broken::Malformed(_)) {
                shared.end.cancel();
                let _ = timeout(GOODBYE, transmit).await;
            }
        }
        sent = &mut transmit => {
            if sent.is_ok() {
                let _ = timeout(GOODBYE, receive).await;
            }
        }
    }
    for input in shared.state.lock().clear() {
        input.gone.cancel();
    }
}

// === impl Connection ===

impl Connection {
    /// The next stream that the client opens; `None` when it has left.
    pub async fn next(&mut self) -> Option<Stream> {
        self.streams.recv().await
    }
}

// === impl Reader ===

impl Reader {
    /// The next data; `None` at the end, which may be a reset (see [`Stream::gone`]).
    pub async fn next(&mut self) -> Option<Bytes> {
        self.pieces.recv().await.map(|piece| piece.data)
    }
}

// === impl Writer ===

impl Writer {
    /// Sends data; waits while the client does not read.
    ///
    /// # Errors
    /// The client does not want it any more.
    pub async fn send(&mut self, mut data: Bytes) -> Result<(), Closed> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(MAX_CHUNK));
            self.queue(piece, false).await?;
        }
        Ok(())
    }

    /// Says that no more data comes, after all data sent before.
    pub async fn finish(mut self) {
        // A client that has left needs no goodbye.
        let _ = self.queue(Bytes::new(), true).await;
        self.finished = true;
    }

    async fn queue(&self, data: Bytes, fin: bool) -> Result<(), Closed> {
        tokio::select! {
            biased;
            () = self.gone.cancelled() => Err(Closed),
            sent = self.shared.data.send(Outgoing { id: self.id, fin, data }) => sent.map_err(|_| Closed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished && self.shared.state.lock().reset(self.id).is_some() {
            self.gone.cancel();
            let _ = self.shared.control.try_send(Frame::Reset { id: self.id, status: status::CANCEL });
        }
    }
}

/// The reading side.
struct Receive {
    shared: Arc<Shared>,
    opened: mpsc::Sender<Stream>,
    admit: fn(&Headers) -> bool,
    decoder: Decoder,
}

// === impl Receive ===

impl Receive {
    async fn run<R: AsyncRead + Unpin>(mut self, mut reader: R) -> Broken {
        let mut buffer = BytesMut::new();
        loop {
            match self.step(&mut reader, &mut buffer).await {
                Ok(()) => {}
                Err(broken) => return broken,
            }
        }
    }

    async fn step<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        buffer: &mut BytesMut,
    ) -> Result<(), Broken> {
        while let Some(frame) = self.decoder.decode(buffer)? {
            self.take(frame).await?;
            if self.shared.state.lock().is_over() {
                return Err(Broken::Left);
            }
        }
        buffer.reserve(READ);
        if reader.read_buf(buffer).await? == 0 { Err(Broken::Left) } else { Ok(()) }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Broken> {
        match frame {
            Frame::SynStream { id, fin, unidirectional, headers, .. } => {
                self.open(id, fin, unidirectional, headers)?;
            }
            Frame::Data { id, fin, data } => {
                let input = self.shared.state.lock().input(id).cloned();
                if let Some(input) = input.filter(|_| !data.is_empty()) {
                    self.deliver(&input, data).await?;
                }
                self.finish_input(id, fin);
            }
            Frame::Headers { id, fin, .. } => self.finish_input(id, fin),
            Frame::Reset { id, .. } => {
                if let Some(input) = self.shared.state.lock().reset(id) {
                    input.gone.cancel();
                }
            }
            // Our own pings have even numbers.
            Frame::Ping(id) if !id.is_multiple_of(2) => self.shared.answer(Frame::Ping(id))?,
            Frame::GoAway { .. } => self.shared.state.lock().go_away(),
            // Windows are not kept (see the module); we open no streams that could be replied to.
            Frame::Ping(_)
            | Frame::SynReply { .. }
            | Frame::Settings { .. }
            | Frame::WindowUpdate { .. }
            | Frame::Unknown(_) => {}
        }
        Ok(())
    }

    fn open(&self, id: u32, fin: bool, unidirectional: bool, headers: Headers) -> Result<(), Broken> {
        let refuse = |status| self.shared.answer(Frame::Reset { id, status });
        let verdict = self.shared.state.lock().judge(id);
        match verdict {
            Verdict::Ignore => return Ok(()),
            Verdict::Refuse(status) => return refuse(status),
            Verdict::Open if !(self.admit)(&headers) => return refuse(status::CANCEL),
            Verdict::Open => {}
        }
        let Ok(slot) = self.opened.try_reserve() else { return refuse(status::REFUSED_STREAM) };
        let gone = CancellationToken::new();
        let (to, pieces) = mpsc::unbounded_channel();
        let input = Input {
            pieces: (!fin).then_some(to),
            room: Arc::new(Semaphore::new(STREAM_ROOM)),
            gone: gone.clone(),
        };
        self.shared.state.lock().open(id, input, !fin, !unidirectional);
        self.shared.answer(Frame::SynReply { id, fin: unidirectional, headers: Headers::default() })?;
        let shared = Arc::clone(&self.shared);
        let writer = Writer { id, shared, gone: gone.clone(), finished: unidirectional };
        slot.send(Stream { headers, reader: Reader { pieces }, writer, gone, id });
        Ok(())
    }

    fn finish_input(&self, id: u32, fin: bool) {
        if fin && let Some(input) = self.shared.state.lock().finish_input(id) {
            input.pieces = None;
        }
    }

    /// Hands data on, once there is room. Nothing else of the connection is read until then.
    async fn deliver(&self, input: &Input, data: Bytes) -> Result<(), Broken> {
        let Some(pieces) = &input.pieces else { return Ok(()) };
        let cost = u32::try_from(data.len() + PIECE_COST).unwrap_or(u32::MAX);
        let room = async {
            let stream = Arc::clone(&input.room).acquire_many_owned(cost).await.ok()?;
            let connection = Arc::clone(&self.shared.room).acquire_many_owned(cost).await.ok()?;
            Some([stream, connection])
        };
        tokio::pin!(room);
        loop {
            tokio::select! {
                biased;
                () = pieces.closed() => return Ok(()),
                room = &mut room => {
                    if let Some(room) = room {
                        let _ = pieces.send(Piece { data, _room: room });
                    }
                    return Ok(());
                }
                // A client that has left can only be noticed by sending it something.
                () = tokio::time::sleep(ASK) => self.shared.answer(Frame::Ping(2))?,
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    fn answer(&self, frame: Frame) -> Result<(), Broken> {
        self.control.try_send(frame).map_err(|_| Broken::Deaf)
    }
}
