//! The DNS server on the gateway's address, UDP and TCP.
//!
//! **Invariant:** it answers pods and the host, nobody else: the firewall drops what comes from other interfaces, and an
//! unknown source address is not answered here either. It always reads what has arrived: what is too much is answered with a
//! failure or hung up on, never left to wait before the others.
use super::answer::{self, Step};
use super::forward::{self, read_message, write_message};
use super::limit::{Kind, Limits, Turn};
use super::zone::Zone;
use crate::error::{Context as _, Error};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// How long the host's list of resolvers is believed.
const REREAD: Duration = Duration::from_secs(5);

/// A server with its sockets bound.
#[derive(Debug)]
pub(crate) struct Server {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    zone: Zone,
    limits: Limits,
    gateway: Ipv4Addr,
    /// Fixed by the configuration; empty: the host's.
    fixed: Vec<SocketAddr>,
    host: parking_lot::Mutex<(Instant, Arc<[SocketAddr]>)>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn bind(gateway: Ipv4Addr, zone: Zone, fixed: Vec<SocketAddr>) -> Result<Server, Error> {
        let what = || format!("bind {gateway}:53 for the sandboxes' DNS");
        let udp = Arc::new(UdpSocket::bind((gateway, 53)).await.during(what)?);
        let tcp = TcpListener::bind((gateway, 53)).await.during(what)?;
        let host = parking_lot::Mutex::new((Instant::now(), forward::upstreams(gateway).into()));
        let shared = Shared { zone, limits: Limits::default(), gateway, fixed, host };
        Ok(Server { udp, tcp, shared: Arc::new(shared) })
    }

    /// Serves until `shutdown`; what is being answered then is given up.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                received = self.udp.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.datagram(&buffer[..length], from, &mut tasks),
                    Err(e) => tracing::debug!(error = %e, "dns datagram"),
                },
                accepted = self.tcp.accept() => match accepted {
                    Ok((stream, from)) => self.connection(stream, from, &mut tasks),
                    Err(e) => {
                        tracing::warn!(error = %e, "dns connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    fn datagram(&self, query: &[u8], from: SocketAddr, tasks: &mut JoinSet<()>) {
        let Some(client) = self.shared.client(from) else { return };
        if !self.shared.limits.allow(client, Instant::now()) {
            return;
        }
        let answer = match answer::decide(&self.shared.zone, query, client, true) {
            Step::Ignore => return,
            Step::Answer(answer) => Some(answer),
            Step::Forward(failure) => match self.shared.wait(client) {
                None => Some(failure),
                Some(turn) => {
                    let (shared, udp, query) = (self.shared.clone(), self.udp.clone(), query.to_vec());
                    tasks.spawn(async move {
                        let answer = shared.ask(&query, true).await.unwrap_or(failure);
                        udp.send_to(&answer, from).await.ok();
                        drop(turn);
                    });
                    None
                }
            },
        };
        if let Some(answer) = answer {
            // A client that is gone, or a full queue, does not matter to the others.
            self.udp.try_send_to(&answer, from).ok();
        }
    }

    fn connection(&self, stream: TcpStream, from: SocketAddr, tasks: &mut JoinSet<()>) {
        let Some(client) = self.shared.client(from) else { return };
        let Some(turn) = self.shared.limits.enter(client, Kind::Connection, Instant::now()) else { return };
        let shared = self.shared.clone();
        tasks.spawn(async move {
            shared.serve(stream, client).await;
            drop(turn);
        });
    }
}

// === impl Shared ===

impl Shared {
    fn client(&self, from: SocketAddr) -> Option<Ipv4Addr> {
        match from.ip() {
            IpAddr::V4(address) if self.zone.knows(address) => Some(address),
            _ => None,
        }
    }

    fn wait(&self, client: Ipv4Addr) -> Option<Turn> {
        self.limits.enter(client, Kind::Waiting, Instant::now())
    }

    /// One connection: queries one after the other, until the client is silent or goes.
    async fn serve(&self, mut stream: TcpStream, client: Ipv4Addr) {
        while let Ok(Ok(query)) = timeout(IDLE, read_message(&mut stream)).await {
            if !self.limits.allow(client, Instant::now()) {
                return;
            }
            let answer = match answer::decide(&self.zone, &query, client, false) {
                Step::Ignore => return,
                Step::Answer(answer) => answer,
                Step::Forward(failure) => match self.wait(client) {
                    Some(_turn) => self.ask(&query, false).await.unwrap_or(failure),
                    None => failure,
                },
            };
            if !matches!(timeout(IDLE, write_message(&mut stream, &answer)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn ask(&self, query: &[u8], udp: bool) -> Option<Vec<u8>> {
        forward::ask(&self.resolvers(), query, udp).await
    }

    fn resolvers(&self) -> Arc<[SocketAddr]> {
        if !self.fixed.is_empty() {
            return self.fixed.as_slice().into();
        }
        let mut host = self.host.lock();
        if host.0.elapsed() > REREAD {
            *host = (Instant::now(), forward::upstreams(self.gateway).into());
        }
        host.1.clone()
    }
}
