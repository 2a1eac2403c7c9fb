//! Puts the controllers together: informers that several share, and one task for each part.
mod watches;

use crate::accounts::Accounts;
use crate::apps::Apps;
use crate::definitions::{self, Definitions};
use crate::endpoints::Endpoints;
use crate::namespaces::{self, Namespaces};
use crate::owners::{self, Graph};
use crate::quotas::Quotas;
use crate::resources::Resources;
use crate::scheduler::Scheduler;
use crate::volumes::{self, Volumes};
use crate::{Config, expiry, resources};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kubekit::{Backoff, Board, EventRecorder, Informer, informer};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Check;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use watches::{Followed, Watches, followed};

/// A pass takes milliseconds, the emptying of a big namespace a minute.
const STUCK: Duration = Duration::from_secs(10 * 60);

/// Runs all controllers until `shutdown`. A server that does not answer is asked again; nothing here ever gives up.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) {
    let Some(resources) = shutdown.run_until_cancelled(resources::discover(&client)).await else { return };
    let mut tasks = JoinSet::new();
    let token = || shutdown.clone();
    tasks.spawn(plant(client.clone(), token()));
    tasks.spawn(expiry::run(client.clone(), Duration::from_secs(config.event_seconds.into()), token()));
    config.health.add(stuck(&config.board));
    let (graph, watches) = Graph::new(&client, &resources);
    graph.show(&config.board);
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
    namespaces.show(&config.board);
    let mut followed = people(&client, &config, namespaces, &mut tasks, &shutdown);
    followed.extend(machine(&client, &config, &mut tasks, &shutdown));
    config.health.add(sync(followed));
    while tasks.join_next().await.is_some() {}
}

/// Namespaces and what each has from the start.
fn people(
    client: &Client,
    config: &Config,
    namespaces: Namespaces,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Vec<Followed> {
    let view =
        |namespace: Namespace| namespaces::View { deleting: namespace.metadata.deletion_timestamp.is_some() };
    let watch = Informer::new(client.clone(), informer::Config::default(), view);
    let accounts = Accounts::new(client.clone(), &config.root_ca, watch.reader());
    let followed = vec![followed("namespaces", &watch.reader())];
    let emptier = namespaces.clone();
    let watch = watch.on_change(accounts.listener()).on_change(move |change| emptier.changed(change));
    tasks.spawn(watch.run(shutdown.clone()));
    tasks.spawn(accounts.run(shutdown.clone()));
    tasks.spawn(namespaces.run(shutdown.clone()));
    followed
}

/// Pods, the node, volumes, Services.
fn machine(
    client: &Client,
    config: &Config,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> [Followed; 5] {
    let watches = Watches::new(client);
    let overheads = Scheduler::overheads(client.clone());
    let recorder = recorder(client, "default-scheduler", config, tasks, shutdown);
    let scheduler = Scheduler::new(
        client.clone(),
        recorder,
        watches.pods.reader(),
        watches.nodes.reader(),
        watches.claims.reader(),
        overheads.reader(),
    );
    let recorder = self::recorder(client, "persistentvolume-controller", config, tasks, shutdown);
    let volumes = Volumes::new(
        client.clone(),
        recorder,
        watches.claims.reader(),
        watches.disks.reader(),
        watches.classes.reader(),
        watches.nodes.reader(),
        watches.pods.reader(),
    );
    let endpoints = Endpoints::new(client.clone(), watches.pods.reader());
    let apps = Apps::new(client, &config.instance, &watches.pods.reader());
    scheduler.show(&config.board);
    volumes.show(&config.board);
    apps.show(&config.board);
    let followed = watches.followed();
    watches.heard_by(&scheduler, &volumes, &endpoints, &apps).spawn(tasks, shutdown);
    tasks.spawn(overheads.run(shutdown.clone()));
    tasks.spawn(scheduler.run(shutdown.clone()));
    tasks.spawn(volumes.run(shutdown.clone()));
    tasks.spawn(endpoints.run(shutdown.clone()));
    tasks.spawn(apps.run(shutdown.clone()));
    followed
}

/// The check that the kinds which the controllers decide by can be followed.
fn sync(followed: Vec<Followed>) -> Check {
    let look = move || {
        let lost: Vec<&str> =
            followed.iter().filter(|(_, follows)| !follows()).map(|(kind, _)| *kind).collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("not followed: {}", lost.join(", "))) }
    };
    Check::at_once("cluster-controllers-sync", look).only_ready()
}

/// The check that no worker waits for something that does not come.
fn stuck(board: &Board) -> Check {
    let board = board.clone();
    Check::at_once("cluster-controllers", move || match board.stuck(STUCK).first() {
        None => Ok(()),
        Some((queue, held)) => {
            Err(format!("a worker of {queue} has been at one key for {} s", held.as_secs()))
        }
    })
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
