//! A client's side of an attached container.

use crate::types::Exit;
use bytes::Bytes;
use std::io;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf},
    net::UnixStream,
};

/// Frame kinds; they agree with `bin/supervisor`.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;
const CLOSE_STDIN: u8 = 4;
const RESIZE: u8 = 5;

/// Longest frame a supervisor sends.
const LONGEST: u32 = 1 << 20;

/// Longest piece of input in one frame: a supervisor takes 8 KiB of a client at a time, and a frame only whole.
const PIECE: usize = 4 << 10;

/// An attached container: read from one half, write to the other.
#[derive(Debug)]
pub struct Attach {
    /// Output.
    pub output: AttachReader,
    /// Input.
    pub input: AttachWriter,
}

/// Output of an attached container.
#[derive(Debug)]
pub struct AttachReader {
    stream: ReadHalf<BufReader<UnixStream>>,
}

/// Input of an attached container.
#[derive(Debug)]
pub struct AttachWriter {
    stream: WriteHalf<BufReader<UnixStream>>,
}

/// What comes out of an attached container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Written to standard output, or to the terminal.
    Stdout(Bytes),
    /// Written to standard error.
    Stderr(Bytes),
    /// It ended; nothing follows.
    Exit(Exit),
}

// === impl Attach ===

impl Attach {
    pub(crate) fn new(stream: BufReader<UnixStream>) -> Attach {
        let (read, write) = tokio::io::split(stream);
        Attach { output: AttachReader { stream: read }, input: AttachWriter { stream: write } }
    }
}

// === impl AttachReader ===

impl AttachReader {
    /// The next piece of output; `None` when the supervisor hung up: after the exit, or because this client was too
    /// slow. Not safe to cancel in the middle of a frame.
    ///
    /// # Errors
    /// The connection broke or carried nonsense.
    pub async fn next(&mut self) -> io::Result<Option<Output>> {
        loop {
            let mut head = [0_u8; 5];
            match self.stream.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let [kind, length @ ..] = head;
            let length = u32::from_be_bytes(length);
            if length > LONGEST {
                return Err(io::Error::other("a frame of the supervisor is too long"));
            }
            let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
            self.stream.read_exact(&mut payload).await?;
            match kind {
                STDOUT => return Ok(Some(Output::Stdout(payload.into()))),
                STDERR => return Ok(Some(Output::Stderr(payload.into()))),
                EXIT => return Ok(Some(Output::Exit(serde_json::from_slice(&payload)?))),
                _ => {}
            }
        }
    }
}

// === impl AttachWriter ===

impl AttachWriter {
    /// Sends input; waits while the container does not take it.
    ///
    /// # Errors
    /// The supervisor hung up.
    pub async fn send(&mut self, data: &[u8]) -> io::Result<()> {
        for piece in data.chunks(PIECE) {
            self.frame(STDIN, piece).await?;
        }
        Ok(())
    }

    /// Says that no more input comes. A container with `stdinOnce` sees the end of its input.
    ///
    /// # Errors
    /// The supervisor hung up.
    pub async fn close(&mut self) -> io::Result<()> {
        self.frame(CLOSE_STDIN, &[]).await
    }

    /// Changes the terminal's size.
    ///
    /// # Errors
    /// The supervisor hung up.
    pub async fn resize(&mut self, columns: u16, rows: u16) -> io::Result<()> {
        let [a, b] = columns.to_be_bytes();
        let [c, d] = rows.to_be_bytes();
        self.frame(RESIZE, &[a, b, c, d]).await
    }

    async fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(payload.len() + 5);
        frame.push(kind);
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_input_goes_in_frames_that_a_supervisor_takes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let Attach { output, mut input } = Attach::new(BufReader::new(ours));
        let send = async move {
            input.send(&[7; 100_000]).await.unwrap();
            drop((input, output));
        };
        let receive = async {
            let mut total = 0;
            while let Ok(STDIN) = theirs.read_u8().await {
                let length = usize::try_from(theirs.read_u32().await.unwrap()).unwrap();
                assert!(length + 5 <= 8 << 10, "{length}");
                theirs.read_exact(&mut vec![0; length]).await.unwrap();
                total += length;
            }
            total
        };
        let ((), total) = tokio::join!(send, receive);
        assert_eq!(total, 100_000);
    }
}
