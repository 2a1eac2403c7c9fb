//! The HTTPS listener: connections, client certificates and tokens, limits, graceful end.
//!
//! **Invariant:** a connection that does not speak, reads nothing or never ends its headers costs a bounded amount of
//! memory and is closed by a deadline; the number of connections is capped, and reaching the cap keeps nobody out who can
//! prove who it is.

mod certs;
mod guests;
mod renewal;
mod stall;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::Status;

pub(crate) use self::renewal::Renewal;
use self::{
    certs::Clients,
    guests::{Guests, Seat},
    stall::StallGuard,
};
use crate::{
    access::Peer,
    body::{self, BoxError},
    core::{self, Core},
    pki::Pki,
    server::Config,
};

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(30);
/// How long a client that proves nothing may stay: it gets nothing but refusals.
const STRANGER: Duration = Duration::from_secs(30);
/// How long a client may take nothing while we have something to send.
const STALL: Duration = Duration::from_secs(60);
/// How long open requests may take to end once shutdown is asked.
const GRACE: Duration = Duration::from_secs(5);
const RETRY_ACCEPT: Duration = Duration::from_millis(100);
const MAX_STREAMS: u32 = 250;

/// A bound socket, ready to serve.
pub(crate) struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    clients: Arc<Clients>,
    guests: Arc<Guests>,
}

// === impl Listener ===

impl Listener {
    /// Binds and prepares TLS. Gives the task that keeps the certificates new, too.
    pub(crate) async fn bind(config: &Config, pki: Arc<Pki>) -> io::Result<(Self, Renewal)> {
        let (first, _) = pki.serving(config.clock.now()).map_err(io::Error::other)?;
        let serving = Arc::new(certs::Serving::new(first));
        let clients =
            Arc::new(Clients::new(pki.ca_der().map_err(io::Error::other)?).map_err(io::Error::other)?);
        let tls = certs::server_config(clients.clone(), serving.clone()).map_err(io::Error::other)?;
        let tcp = TcpListener::bind(config.listen).await?;
        let guests = Arc::new(Guests::new(config.max_strangers, config.max_connections));
        let (clock, pace, renewed) = (config.clock.clone(), config.certificate_look, watch::Sender::new(0));
        let listener = Self { tcp, tls: TlsAcceptor::from(Arc::new(tls)), clients, guests };
        Ok((listener, Renewal { pki, serving, clock, pace, renewed }))
    }

    /// The address that was bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts until `shutdown`, then waits a short while for open requests.
    pub(crate) async fn serve(self, core: Arc<Core>, shutdown: CancellationToken) {
        let this = Arc::new(self);
        let tasks = TaskTracker::new();
        while let Some(accepted) = shutdown.run_until_cancelled(this.accept()).await {
            let Some((stream, seat)) = accepted else { continue };
            let (this, core, shutdown) = (this.clone(), core.clone(), shutdown.clone());
            tasks.spawn(async move {
                let leave = seat.leave.clone();
                let connection = this.connection(stream, core, Arc::new(seat), shutdown);
                // A stranger is sent away at once; a known client is asked to end in `connection`.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, sent_away = leave.is_cancelled(), "connection ended");
                }
            });
        }
        tasks.close();
        if time::timeout(GRACE + HANDSHAKE, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "connections are still open after the grace period");
        }
    }

    async fn accept(&self) -> Option<(TcpStream, Seat)> {
        match self.tcp.accept().await {
            Ok((stream, peer)) => Some((stream, self.guests.enter(peer.ip()))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                self.guests.make_room();
                time::sleep(RETRY_ACCEPT).await;
                None
            }
        }
    }

    async fn connection(
        &self,
        tcp: TcpStream,
        core: Arc<Core>,
        seat: Arc<Seat>,
        shutdown: CancellationToken,
    ) -> Result<(), BoxError> {
        tcp.set_nodelay(true)?;
        let handshake = time::timeout(HANDSHAKE, self.tls.accept(tcp));
        let tls = seat.leave.run_until_cancelled(handshake).await.ok_or("its place was needed")?;
        let tls = tls.map_err(BoxError::from).and_then(|tls| Ok(tls?));
        let tls = tls.inspect_err(|_| {
            core.counters.tls_errors.inc();
        })?;
        let identity = self.clients.identity(tls.get_ref().1.peer_certificates().unwrap_or_default());
        if identity.is_some() && !seat.is_known_now() {
            return Err("all connections are busy".into());
        }
        let peer = Peer(tls.get_ref().0.peer_addr()?);
        let io = TokioIo::new(StallGuard::new(tls, STALL, HEADERS));
        let guest = seat.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let core = core.clone();
            request.extensions_mut().insert(peer);
            let token = || core.access.identify(&core.store, request.headers());
            let identity = identity.clone().or_else(token);
            let has_place = identity.is_none() || guest.is_known_now();
            let busy = guest.begin();
            async move {
                if !has_place {
                    return Ok(core::failure(&Status::too_many_requests("all connections are busy", 1)));
                }
                let reply = core.handle(identity, request.map(body::boxed)).await;
                // The answer lasts as long as its body.
                Ok::<_, Infallible>(reply.map(|reply| body::holding(reply, busy)))
            }
        });
        let builder = builder();
        let connection = builder.serve_connection_with_upgrades(io, service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = shutdown.cancelled() => {}
            () = seat.leave.cancelled() => if !seat.is_known() {
                return Err("its place was needed".into());
            },
            () = seat.overstays(STRANGER) => {}
        }
        connection.as_mut().graceful_shutdown();
        time::timeout(GRACE, connection).await?
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(30))
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(64 * 1024);
    builder
}
