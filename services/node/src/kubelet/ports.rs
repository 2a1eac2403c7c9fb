//! `portForward` over WebSockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use runtime::Driver;
use streams::Protocol;
use streams::ports::Port;
use tokio::net::TcpStream;

use super::{Body, Kubelet, Query, Refused, upgrade};
use crate::registry::Pod;
use crate::shared::Shared;

/// How long a connection into the Pod may take.
const CONNECT: Duration = Duration::from_secs(10);

pub(super) fn serve(
    kubelet: &Kubelet,
    request: Request<Incoming>,
    query: &Query,
    pod: Arc<Pod>,
) -> Result<Response<Body>, Refused> {
    let wrong = |message: &str| Refused(StatusCode::BAD_REQUEST, message.to_owned());
    let listed: Vec<String> = query
        .all("port")
        .iter()
        .chain(&query.all("ports"))
        .flat_map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let numbers: Result<Vec<u16>, _> = listed.iter().map(|port| port.parse::<u16>()).collect();
    let numbers = numbers.map_err(|_| wrong("query parameter \"port\" must be a number"))?;
    if numbers.is_empty() || numbers.contains(&0) || numbers.len() > 100 {
        return Err(wrong("query parameter \"port\" is required"));
    }
    let upgrade = upgrade::accept(request, Protocol::for_ports)?;
    let (on, shared) = (upgrade.on, Arc::clone(&kubelet.shared));
    kubelet.tasks.spawn(async move {
        let Some(io) = upgrade::finish(on).await else { return };
        let (ports, carry) = streams::ports::serve(io, &numbers);
        let all = ports.into_iter().map(|port| forward(&shared, &pod, port));
        tokio::join!(carry, futures::future::join_all(all));
    });
    Ok(upgrade.response)
}

async fn forward(shared: &Shared, pod: &Pod, mut port: Port) {
    match connect(shared, pod, port.number).await {
        Ok(mut stream) => {
            drop(port.failure);
            let _ = tokio::io::copy_bidirectional(&mut port.stream, &mut stream).await;
        }
        Err(message) => {
            let text = format!("error forwarding port {} to pod {}: {message}", port.number, pod.uid);
            drop(port.stream);
            port.failure.send(&text).await;
        }
    }
}

/// Connects as a process of the Pod would to its own loopback; a gVisor Pod has its loopback to itself and is reached by
/// its address.
async fn connect(shared: &Shared, pod: &Pod, port: u16) -> Result<TcpStream, String> {
    if pod.driver == Driver::Runc {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if let Ok(stream) = shared.network.connect(&pod.uid, local, CONNECT).await {
            return Ok(stream);
        }
    }
    let address = pod.address().ok_or("the pod has no address")?;
    match tokio::time::timeout(CONNECT, TcpStream::connect((address, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("connection timed out".to_owned()),
    }
}
