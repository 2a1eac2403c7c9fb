//! `portForward`.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use streams::ports::Port;
use streams::{FORWARD, Forward};

use super::{Body, Kubelet, Query, Refused, dial, upgrade};
use crate::registry::Pod;
use crate::shared::Shared;

pub(super) fn serve(
    kubelet: &Kubelet,
    request: Request<Incoming>,
    query: &Query,
    name: &str,
    pod: Arc<Pod>,
) -> Result<Response<Body>, Refused> {
    let numbers = numbers(query)?;
    let upgrade = upgrade::accept(request, &FORWARD)?;
    // Over SPDY each stream names its port.
    if upgrade.protocol == Forward::Channels && numbers.is_empty() {
        return Err(wrong("query parameter \"port\" is required"));
    }
    let (on, protocol) = (upgrade.on, upgrade.protocol);
    let (this, name) = (kubelet.clone(), name.to_owned());
    kubelet.tasks.spawn(async move {
        let Some(io) = upgrade::finish(on).await else { return };
        let (mut ports, carry) = streams::ports::serve(io, protocol, numbers);
        let forward = async {
            while let Some(port) = ports.recv().await {
                let (shared, pod, name) = (Arc::clone(&this.shared), Arc::clone(&pod), name.clone());
                this.tasks.spawn(async move { forward(&shared, &pod, &name, port).await });
            }
        };
        tokio::join!(carry, forward);
    });
    Ok(upgrade.response)
}

fn wrong(message: &str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, message.to_owned())
}

fn numbers(query: &Query) -> Result<Vec<u16>, Refused> {
    let lists = [query.all("port"), query.all("ports")].concat();
    let numbers: Result<Vec<u16>, _> =
        lists.iter().flat_map(|list| list.split(',')).map(str::parse).collect();
    let numbers = numbers.map_err(|_| wrong("query parameter \"port\" must be a number"))?;
    if numbers.contains(&0) {
        return Err(wrong("query parameter \"port\" must be > 0"));
    }
    if numbers.len() > 100 {
        return Err(wrong("query parameter \"port\" names more than 100 ports"));
    }
    Ok(numbers)
}

async fn forward(shared: &Shared, pod: &Pod, name: &str, port: Port) {
    // `failure` lives until the connection is over: its end tells the client so.
    let Port { number, mut stream, failure, gone } = port;
    match gone.run_until_cancelled(dial::port(shared, pod, number)).await {
        Some(Ok(dialled)) => {
            let _ = gone.run_until_cancelled(dialled.carry(&mut stream)).await;
        }
        Some(Err(why)) => {
            // Kubernetes' words.
            let text = format!("error forwarding port {number} to pod {name}, uid {}: {why}", pod.uid);
            failure.send(text);
        }
        None => {}
    }
}
