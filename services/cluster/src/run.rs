//! Puts the controllers together: informers that several share, and one task for each part.
use crate::accounts::Accounts;
use crate::apps::{Apps, BY_CONTROLLER};
use crate::definitions::{self, Definitions};
use crate::endpoints::Endpoints;
use crate::namespaces::{self, Namespaces};
use crate::owners::{self, Graph};
use crate::quotas::Quotas;
use crate::resources::Resources;
use crate::scheduler::Scheduler;
use crate::view::{NodeView, PodView};
use crate::volumes::{self, ClaimView, ClassView, VolumeView, Volumes};
use crate::{Config, expiry, resources};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kubekit::{Backoff, EventRecorder, Informer, informer};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Runs all controllers until `shutdown`. A server that does not answer is asked again; nothing here ever gives up.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) {
    let Some(resources) = shutdown.run_until_cancelled(resources::discover(&client)).await else { return };
    let mut tasks = JoinSet::new();
    let token = || shutdown.clone();
    tasks.spawn(plant(client.clone(), token()));
    tasks.spawn(expiry::run(client.clone(), Duration::from_secs(config.event_seconds.into()), token()));
    let (graph, watches) = Graph::new(&client, &resources);
    let places: Vec<bool> = resources.iter().map(definitions::is_definition).collect();
    let resources = Arc::new(Resources::new(resources));
    let namespaces = Namespaces::new(client.clone(), &resources);
    let quotas = Quotas::new(client.clone(), &resources);
    let counter = quotas.counter();
    let definitions = Definitions::new(&client, &resources, &graph, quotas.counter());
    for (watch, defines) in watches.into_iter().zip(places) {
        let watch = watch.on_change(counter.listener());
        let watch = if defines { watch.on_change(definitions.listener()) } else { watch };
        tasks.spawn(watch.run(token()));
    }
    tasks.spawn(definitions.run(token()));
    tasks.spawn(quotas.run(token()));
    tasks.spawn(owners::run(client.clone(), graph, token()));
    people(&client, &config, namespaces, &mut tasks, &shutdown);
    machine(&client, &config, &mut tasks, &shutdown);
    while tasks.join_next().await.is_some() {}
}

/// Namespaces and what each has from the start.
fn people(
    client: &Client,
    config: &Config,
    namespaces: Namespaces,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) {
    let view =
        |namespace: Namespace| namespaces::View { deleting: namespace.metadata.deletion_timestamp.is_some() };
    let watch = Informer::new(client.clone(), informer::Config::default(), view);
    let accounts = Accounts::new(client.clone(), &config.root_ca, watch.reader());
    let emptier = namespaces.clone();
    let watch = watch.on_change(accounts.listener()).on_change(move |change| emptier.changed(change));
    tasks.spawn(watch.run(shutdown.clone()));
    tasks.spawn(accounts.run(shutdown.clone()));
    tasks.spawn(namespaces.run(shutdown.clone()));
}

/// Pods, the node, volumes, Services.
fn machine(client: &Client, config: &Config, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
    let all = informer::Config::default;
    let pods = pods(client);
    let nodes = Informer::new(client.clone(), all(), |node: Node| NodeView::of(node));
    let claims = Informer::new(client.clone(), all(), |claim: PersistentVolumeClaim| ClaimView::of(claim));
    let disks = disks(client);
    let classes = Informer::new(client.clone(), all(), |class: StorageClass| ClassView::of(class));
    let overheads = Scheduler::overheads(client.clone());

    let recorder = recorder(client, "default-scheduler", config, tasks, shutdown);
    let scheduler = Scheduler::new(
        client.clone(),
        recorder,
        pods.reader(),
        nodes.reader(),
        claims.reader(),
        overheads.reader(),
    );
    let recorder = self::recorder(client, "persistentvolume-controller", config, tasks, shutdown);
    let volumes = Volumes::new(
        client.clone(),
        recorder,
        claims.reader(),
        disks.reader(),
        classes.reader(),
        nodes.reader(),
        pods.reader(),
    );
    let endpoints = Endpoints::new(client.clone(), pods.reader());
    let apps = Apps::new(client, &config.instance, &pods.reader());

    let (for_room, for_use) = (scheduler.clone(), volumes.clone());
    let pods = pods.on_change(move |change| for_room.pod_changed(change));
    let pods = pods
        .on_change(move |change| for_use.pod_changed(change))
        .on_change(endpoints.listener())
        .on_change(apps.listener());
    let (for_room, for_size) = (scheduler.clone(), volumes.clone());
    let nodes = nodes.on_change(move |change| {
        if change.old != change.new {
            for_room.something_changed();
            for_size.unbound_claims();
        }
    });
    let (for_room, for_binding) = (scheduler.clone(), volumes.clone());
    let claims = claims.on_change(move |change| {
        for_binding.claim_changed(change);
        for_room.something_changed();
    });
    let for_binding = volumes.clone();
    let disks = disks.on_change(move |change| for_binding.volume_changed(change));
    let for_binding = volumes.clone();
    let classes = classes.on_change(move |_| for_binding.unbound_claims());

    tasks.spawn(pods.run(shutdown.clone()));
    tasks.spawn(nodes.run(shutdown.clone()));
    tasks.spawn(claims.run(shutdown.clone()));
    tasks.spawn(disks.run(shutdown.clone()));
    tasks.spawn(classes.run(shutdown.clone()));
    tasks.spawn(overheads.run(shutdown.clone()));
    tasks.spawn(scheduler.run(shutdown.clone()));
    tasks.spawn(volumes.run(shutdown.clone()));
    tasks.spawn(endpoints.run(shutdown.clone()));
    tasks.spawn(apps.run(shutdown.clone()));
}

/// Tells what a controller does.
fn recorder(
    client: &Client,
    controller: &str,
    config: &Config,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> EventRecorder {
    let (recorder, writer) = EventRecorder::new(client.clone(), controller, &config.instance);
    tasks.spawn(writer.run(shutdown.clone()));
    recorder
}

/// All pods, to be found by their namespace and by the controller that has them.
fn pods(client: &Client) -> Informer<Pod, PodView> {
    Informer::new(client.clone(), informer::Config::default(), |pod: Pod| PodView::of(pod))
        .index("namespace", |key, _| vec![key.namespace.clone()])
        .index(BY_CONTROLLER, |_, pod| {
            let owners = pod.work.as_ref().map(|work| work.owners.as_slice()).unwrap_or_default();
            workloads::ownership::controller(owners)
                .map(|owner| owner.uid.as_str().into())
                .into_iter()
                .collect()
        })
}

/// All volumes, to be found by the claim that each is for.
fn disks(client: &Client) -> Informer<PersistentVolume, VolumeView> {
    let view = |volume: PersistentVolume| VolumeView::of(volume);
    Informer::new(client.clone(), informer::Config::default(), view)
        .index(volumes::BY_CLAIM, |_, volume| vec![volume.claim_uid()])
}

/// Makes what must exist once; tries until it does.
async fn plant(client: Client, shutdown: CancellationToken) {
    let backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(30) };
    for failures in 1.. {
        match shutdown.run_until_cancelled(volumes::plant(&client)).await {
            None | Some(Ok(())) => return,
            Some(Err(error)) => tracing::warn!(%error, "the StorageClass was not made; trying again"),
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(backoff.jittered(failures))).await.is_none() {
            return;
        }
    }
}
