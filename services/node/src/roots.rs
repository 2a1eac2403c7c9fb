//! Removes kept writable layers once the Sandbox they belong to is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crd::v1beta1::Sandbox;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kubekit::{Informer, Reader, Text, informer};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::{sweep, work};

/// How often it is looked again, for layers whose Pod was still there when their owner went.
const PERIOD: Duration = Duration::from_secs(30);

/// Watches Sandboxes until shutdown.
pub(crate) async fn run(shared: Arc<Shared>, pods: Reader<Pod>, shutdown: CancellationToken) {
    let news = Arc::new(Notify::new());
    let told = Arc::clone(&news);
    let informer: Informer<PartialObjectMeta<Sandbox>, Text> = Informer::new(
        shared.client.clone(),
        informer::Config::default(),
        |sandbox: PartialObjectMeta<Sandbox>| sandbox.metadata.uid.unwrap_or_default().into(),
    );
    let informer = informer.on_change(move |change| {
        if change.new.is_none() {
            told.notify_one();
        }
    });
    let sandboxes = informer.reader();
    let mut parts = JoinSet::new();
    parts.spawn(informer.run(shutdown.clone()));
    let collect = async {
        tokio::join!(sandboxes.synced(), pods.synced());
        loop {
            collect(&shared, &sandboxes, &pods).await;
            tokio::select! {
                () = news.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    };
    shutdown.run_until_cancelled(collect).await;
    while parts.join_next().await.is_some() {}
}

async fn collect(shared: &Shared, sandboxes: &Reader<Text>, pods: &Reader<Pod>) {
    let roots = shared.paths.roots();
    let present = sweep::names(&roots);
    if present.is_empty() {
        return;
    }
    let mut owners: BTreeSet<String> = sandboxes.list().iter().map(|(_, uid)| uid.to_string()).collect();
    owners.extend(pods.list().iter().filter_map(|(_, pod)| work::owner(pod).map(|owner| owner.uid.clone())));
    let gone: Vec<_> =
        present.into_iter().filter(|uid| !owners.contains(uid)).map(|uid| roots.join(uid)).collect();
    let held = |dir: &std::path::PathBuf| shared.registry.layers.are_held_below(dir);
    let gone: Vec<_> = gone.into_iter().filter(|dir| !held(dir)).collect();
    let trash = shared.trash.clone();
    let removed = tokio::task::spawn_blocking(move || {
        for dir in gone {
            if let Err(error) = trash.discard(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "a kept layer could not be removed");
            }
        }
    });
    let _ = removed.await;
}
