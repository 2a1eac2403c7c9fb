//! Connections to a gVisor sandbox's own loopback, which nothing outside of it reaches.

use crate::{
    container::Container,
    leftover::{self, Removed},
    start,
    types::Driver,
};
use serde_json::Value;
use std::{
    fs, io,
    os::fd::AsRawFd as _,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    process::Command,
};

/// Longest time the runtime may take; it takes some 30 ms.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Numbers for file names.
static NEXT: AtomicU64 = AtomicU64::new(0);

// === impl Container ===

impl Container {
    /// Connects to a port of the sandbox's 127.0.0.1. The end of one direction ends both: runsc knows no other.
    ///
    /// # Errors
    /// Nobody listens there (`ConnectionRefused`), or the runtime failed.
    pub async fn dial(&self, port: u16) -> io::Result<UnixStream> {
        let inner = &self.inner;
        let found = inner.runtimes.driver(inner.driver).filter(|found| found.driver == Driver::Runsc);
        let found = found.ok_or(io::ErrorKind::Unsupported)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let files = inner.runtimes.exec_dir();
        let name = |kind: &str| leftover::name("forward", &format!("{number}.{kind}"));
        let log = Removed(files.join(name("log")));
        let _socket = Removed(files.join(name("sock")));
        // The socket's path may be longer than a socket address holds, so the way leads through a descriptor.
        let dir = fs::File::open(&files)?;
        let short = format!("/proc/{}/fd/{}/{}", std::process::id(), dir.as_raw_fd(), name("sock"));
        let listener = UnixListener::bind(&short)?;
        let mut command = Command::new(&found.path);
        command.arg("--root").arg(inner.runtimes.root(inner.driver)).arg("--log").arg(&log.0);
        command.args(["--log-format", "json"]).args(start::options(found));
        command.args(["port-forward", "--stream", &short, &inner.id, &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let dial = async {
            // It hands its end of the socket to the sandbox and ends.
            if !command.status().await?.success() {
                return Err(reason(&fs::read_to_string(&log.0).unwrap_or_default()));
            }
            Ok(listener.accept().await?.0)
        };
        tokio::time::timeout(TIMEOUT, dial).await?
    }
}

/// The last thing that the runtime says in its log.
fn reason(log: &str) -> io::Error {
    let messages = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = messages.filter_map(|line| line["msg"].as_str().map(str::to_owned)).next_back();
    let text = last.unwrap_or_else(|| "runsc failed without a word".to_owned());
    if text.contains("refused") {
        return io::ErrorKind::ConnectionRefused.into();
    }
    io::Error::other(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_last_words_are_the_reason() {
        let line = |text: &str| format!("{{\"msg\":\"{text}\",\"level\":\"error\"}}\n");
        let refused = line("doStream: PortForward: connecting endpoint: connection was refused");
        assert_eq!(reason(&refused).kind(), io::ErrorKind::ConnectionRefused);
        let other = reason(&format!("{}{}", line("first"), line("loading container: not found")));
        assert_eq!(other.to_string(), "loading container: not found");
        assert_eq!(reason("").to_string(), "runsc failed without a word");
    }
}
