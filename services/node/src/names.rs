//! Names of Services: the addresses of their ready endpoints.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kubekit::{Informer, Reader, informer};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::zone::Name;

/// The label that says whose endpoints these are.
const SERVICE: &str = "kubernetes.io/service-name";

/// What is kept of a slice.
#[derive(Clone, Debug, PartialEq)]
struct Slice {
    service: Name,
    addresses: Vec<Ipv4Addr>,
}

/// Watches endpoint slices until shutdown.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let news = Arc::new((parking_lot::Mutex::new(BTreeSet::new()), Notify::new()));
    let told = Arc::clone(&news);
    let informer = Informer::filtered(shared.client.clone(), informer::Config::default(), project);
    let informer = informer
        .index("service", |_, slice: &Slice| vec![index(&slice.service).into()])
        .on_change(move |change| {
            let services = [change.old, change.new].into_iter().flatten().map(|slice| slice.service.clone());
            told.0.lock().extend(services);
            told.1.notify_one();
        });
    let reader = informer.reader();
    let mut parts = JoinSet::new();
    parts.spawn(informer.run(shutdown.clone()));
    let follow = async {
        loop {
            news.1.notified().await;
            let changed = std::mem::take(&mut *news.0.lock());
            for service in changed {
                publish(&shared, &reader, &service);
            }
        }
    };
    shutdown.run_until_cancelled(follow).await;
    while parts.join_next().await.is_some() {}
}

fn publish(shared: &Shared, reader: &Reader<Slice>, service: &Name) {
    let slices = reader.by_index("service", &index(service));
    let addresses = slices.iter().flat_map(|(_, slice)| slice.addresses.iter().copied()).collect();
    shared.names.lock().set_service(shared.network.zone(), service, addresses);
}

fn index(name: &Name) -> String {
    format!("{}/{}", name.0, name.1)
}

/// None of a slice without addresses: most Sandboxes rest.
fn project(slice: EndpointSlice) -> Option<Slice> {
    let meta = slice.metadata;
    let service = meta.labels.and_then(|mut labels| labels.remove(SERVICE)).unwrap_or_default();
    let ready = |endpoint: &k8s_openapi::api::discovery::v1::Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let endpoints = slice.endpoints.iter().flatten();
    let addresses = endpoints.filter(|endpoint| ready(endpoint)).flat_map(|endpoint| &endpoint.addresses);
    let addresses: Vec<_> = addresses.filter_map(|address| address.parse().ok()).collect();
    let service = (meta.namespace.unwrap_or_default(), service);
    (!addresses.is_empty()).then_some(Slice { service, addresses })
}
