//! Talks to a supervisor through its `control.sock`.

use serde_json::{Value, json};
use std::{io, os::fd::AsRawFd as _, path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

/// Longest time a supervisor may take to answer; it answers in microseconds unless the machine is starved.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a supervisor.
pub(crate) struct Control {
    pub(crate) stream: BufReader<UnixStream>,
}

// === impl Control ===

impl Control {
    /// Connects. The socket's path may be longer than a socket address holds, so the way leads through a descriptor.
    pub(crate) async fn open(dir: &Path) -> io::Result<Control> {
        let dir = std::fs::File::open(dir)?;
        let path = format!("/proc/self/fd/{}/control.sock", dir.as_raw_fd());
        let stream = tokio::time::timeout(ANSWER_TIMEOUT, UnixStream::connect(path)).await??;
        Ok(Control { stream: BufReader::new(stream) })
    }

    /// Sends a request and returns the answer.
    pub(crate) async fn ask(&mut self, request: &Value) -> io::Result<Value> {
        let exchange = async {
            self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).await?;
            let answer = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if answer["ok"] == true {
                return Ok(answer);
            }
            Err(io::Error::other(answer["error"].as_str().unwrap_or("the supervisor refused").to_owned()))
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange).await?
    }

    /// The next line, without deadline; `None` at the end.
    pub(crate) async fn line(&mut self) -> io::Result<Option<Value>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(dir: &Path, request: &Value) -> io::Result<Value> {
    Control::open(dir).await?.ask(request).await
}

/// State of a living supervisor.
pub(crate) async fn status(dir: &Path) -> io::Result<Value> {
    ask(dir, &json!({ "op": "status" })).await
}
