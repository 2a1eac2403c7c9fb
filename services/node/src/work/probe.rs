//! Probes one container at its period, from the host.
//!
//! The Pod's address is reached over the host's route, which works for runc and for gVisor alike.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::pod::{Probe as Timing, ProbeKind};
use runtime::Container;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{grpc, hook, http};
use crate::actor::Probed;

/// What is probed, and how.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: ProbeKind,
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: Container,
    pub(crate) address: Ipv4Addr,
    pub(crate) timing: Timing,
    /// How long the container has been running.
    pub(crate) age: Duration,
}

/// Probes until nobody wants the results. The first probe is not later than its delay, so that a container without one is
/// ready at once.
pub(crate) async fn run(target: Target, results: mpsc::Sender<Probed>) {
    let begin = Instant::now() + target.timing.initial_delay.saturating_sub(target.age);
    let mut ticks = interval_at(begin, target.timing.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut early = EARLY.iter();
    loop {
        ticks.tick().await;
        let result = once(&target).await;
        // Kubernetes probes again after a whole period; a server that needs a moment to listen should not cost one.
        let again = result.is_err().then(|| early.next()).flatten();
        let quick =
            again.filter(|_| target.kind != ProbeKind::Liveness && target.timing.initial_delay.is_zero());
        if let Some(wait) = quick.filter(|wait| **wait < target.timing.period) {
            ticks.reset_after(*wait);
            continue;
        }
        let probed = Probed { container: target.name.clone(), kind: target.kind, result };
        if results.send(probed).await.is_err() {
            return;
        }
    }
}

/// Extra tries right after the start; their failures do not count.
const EARLY: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

async fn once(target: &Target) -> Result<(), String> {
    let asked = super::find(&target.pod, &target.name).ok_or("the container is not in the pod")?;
    let probe = match target.kind {
        ProbeKind::Startup => &asked.startup_probe,
        ProbeKind::Readiness => &asked.readiness_probe,
        ProbeKind::Liveness => &asked.liveness_probe,
    };
    let Some(probe) = probe else { return Ok(()) };
    if let Some(exec) = &probe.exec {
        return command(target, exec.command.clone().unwrap_or_default()).await;
    }
    if let Some(get) = &probe.http_get {
        let answer = http::get(get, asked, target.address, target.timing.timeout).await?;
        return match answer.status {
            200..400 => Ok(()),
            status => Err(format!("HTTP probe failed with statuscode: {status}{}", quoted(&answer.body))),
        };
    }
    if let Some(tcp) = &probe.tcp_socket {
        return connect(target, tcp, asked).await;
    }
    if let Some(action) = &probe.grpc {
        return grpc::check(action, target.address, target.timing.timeout).await;
    }
    Err("this kind of probe is not supported on this node; use exec, httpGet, tcpSocket or grpc".to_owned())
}

async fn command(target: &Target, command: Vec<String>) -> Result<(), String> {
    let limit = target.timing.timeout;
    match timeout(limit, hook::command_in(&target.container, command)).await {
        Err(_) => Err(format!("command timed out after {}s", limit.as_secs())),
        Ok(Err(error)) => Err(error),
        Ok(Ok(ended)) if ended.code == 0 => Ok(()),
        Ok(Ok(ended)) => Err(ended.output),
    }
}

async fn connect(
    target: &Target,
    tcp: &core::TCPSocketAction,
    asked: &core::Container,
) -> Result<(), String> {
    let port = http::port(&tcp.port, asked)?;
    let host = http::own_host(tcp.host.as_deref(), target.address)?;
    match timeout(target.timing.timeout, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: {error}")),
        Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

fn quoted(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() { String::new() } else { format!(" ({})", body.chars().take(200).collect::<String>()) }
}
