//! Connections to a port of a Pod.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use runtime::Driver;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy_bidirectional};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::registry::Pod;
use crate::shared::Shared;

/// How long a connection into the Pod may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a program behind runsc's forwarder may think about its answer after the client has said all.
const IDLE: Duration = Duration::from_secs(5);
/// How much is read at once.
const PIECE: usize = 16 << 10;

/// A connection to a port.
pub(super) enum Dialled {
    /// TCP.
    Tcp(TcpStream),
    /// Through runsc, where the end of one direction ends both.
    Sandbox(UnixStream),
}

/// Connects as a process of the Pod would to its own loopback, and where that is refused to its address. gVisor's loopback
/// is inside of runsc and the way there knows no half-closed connections, so a gVisor Pod's address comes first.
///
/// # Errors
/// In the words of a Go program: where to, and why not.
pub(super) async fn port(shared: &Shared, pod: &Pod, port: u16) -> Result<Dialled, String> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let at = |error: &io::Error| format!("dial tcp4 {local}: {}", reason(error));
    match pod.driver {
        Driver::Runc => {
            let inside = shared.network.connect(&pod.uid, local, CONNECT).await;
            if let Ok(stream) = inside {
                return Ok(Dialled::Tcp(stream));
            }
            address(pod, port).await.map(Dialled::Tcp).map_err(|error| at(&error))
        }
        Driver::Runsc => {
            if let Ok(stream) = address(pod, port).await {
                return Ok(Dialled::Tcp(stream));
            }
            let container = pod.running().ok_or_else(|| format!("dial tcp4 {local}: no container runs"))?;
            container.dial(port).await.map(Dialled::Sandbox).map_err(|error| at(&error))
        }
    }
}

/// Connects to the Pod's address, as another machine of the network would.
///
/// # Errors
/// The Pod has no address, nobody listens, or it took too long.
pub(super) async fn address(pod: &Pod, port: u16) -> io::Result<TcpStream> {
    let address = pod.address().ok_or(io::ErrorKind::HostUnreachable)?;
    let stream = timeout(CONNECT, TcpStream::connect((address, port))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An error in the words of a Go program, which are those that people look for.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    }
}

// === impl Dialled ===

impl Dialled {
    /// Copies both ways until both directions have ended.
    pub(super) async fn carry(self, client: &mut DuplexStream) -> io::Result<()> {
        match self {
            Self::Tcp(mut stream) => copy_bidirectional(client, &mut stream).await.map(|_| ()),
            Self::Sandbox(stream) => through_sandbox(client, stream).await,
        }
    }
}

/// Keeps the client's end from the forwarder while the answer comes: it would cut the answer off.
async fn through_sandbox(client: &mut DuplexStream, stream: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_pod, mut to_pod) = stream.into_split();
    let said_all = tokio_util::sync::CancellationToken::new();
    let inward = async {
        let copied = tokio::io::copy(&mut from_client, &mut to_pod).await;
        said_all.cancel();
        copied?;
        std::future::pending::<io::Result<()>>().await
    };
    let outward = async {
        let mut piece = vec![0; PIECE];
        loop {
            let read = async {
                if !said_all.is_cancelled() {
                    tokio::select! {
                        biased;
                        read = from_pod.read(&mut piece) => return read,
                        () = said_all.cancelled() => {}
                    }
                }
                timeout(IDLE, from_pod.read(&mut piece)).await.unwrap_or(Ok(0))
            };
            match read.await? {
                0 => return to_client.shutdown().await,
                size => to_client.write_all(&piece[..size]).await?,
            }
        }
    };
    tokio::select! {
        ended = outward => ended,
        failed = inward => failed,
    }
}
