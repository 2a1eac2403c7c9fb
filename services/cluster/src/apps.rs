//! Deployments, ReplicaSets and Jobs: observes them and their pods, and does what crate `workloads` decides.
//!
//! Every write's answer is put into the cache at once, so no pass decides on a state that an earlier one changed itself: that is what
//! Kubernetes' expectations are for.

mod deployments;
mod hands;
mod jobs;
mod replica_sets;

use crate::view::PodView;
use deployments::Deployments;
use hands::Hands;
use jobs::Jobs;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use kube::{Client, Resource};
use kubekit::{Board, Change, EventRecorder, Informer, Key, Reader, events, informer};
use replica_sets::ReplicaSets;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// Objects looked at at the same time, of each kind.
const WORKERS: usize = 2;
/// Index of pods by the uid of their controller.
pub(crate) const BY_CONTROLLER: &str = "controller";
const BY_NAMESPACE: &str = "namespace";

/// The three controllers and their informers.
pub(crate) struct Apps {
    deployments: Deployments,
    sets: ReplicaSets,
    jobs: Jobs,
    watched: (Informer<Deployment, Deployment>, Informer<ReplicaSet, ReplicaSet>, Informer<Job, Job>),
    writers: Vec<events::Writer>,
}

// === impl Apps ===

impl Apps {
    pub(crate) fn new(client: &Client, instance: &str, pods: &Reader<PodView>) -> Apps {
        let mut writers = Vec::new();
        let mut hands = |controller: &str| {
            let (recorder, writer) = EventRecorder::new(client.clone(), controller, instance);
            writers.push(writer);
            Hands { client: client.clone(), pods: pods.clone(), recorder }
        };
        let watched = (objects::<Deployment>(client), objects::<ReplicaSet>(client), objects::<Job>(client));
        let deployments =
            Deployments::new(hands("deployment-controller"), watched.0.reader(), watched.1.reader());
        let sets = ReplicaSets::new(hands("replicaset-controller"), watched.1.reader());
        let jobs = Jobs::new(hands("job-controller"), watched.2.reader());
        let (on_deployment, on_set, for_deployment, on_job) =
            (deployments.clone(), sets.clone(), deployments.clone(), jobs.clone());
        let watched = (
            watched.0.on_change(move |change| on_deployment.changed(change.key)),
            watched.1.on_change(move |change| {
                on_set.changed(change.key);
                for_deployment.set_changed(change);
            }),
            watched.2.on_change(move |change| on_job.changed(change.key)),
        );
        Apps { deployments, sets, jobs, watched, writers }
    }

    /// Shows their queues.
    pub(crate) fn show(&self, board: &Board) {
        self.deployments.show(board);
        self.sets.show(board);
        self.jobs.show(board);
    }

    /// To be called when a pod changes.
    pub(crate) fn listener(&self) -> impl Fn(&Change<'_, PodView>) + Send + Sync + 'static + use<> {
        let (deployments, sets, jobs) = (self.deployments.clone(), self.sets.clone(), self.jobs.clone());
        move |change| {
            let work = |view: &PodView| view.work.clone();
            if change.old.map(|old| work(old)) == change.new.map(|new| work(new)) {
                return;
            }
            sets.pod_changed(change);
            deployments.pod_changed(change);
            jobs.pod_changed(change);
        }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let token = || shutdown.clone();
        let watched = async {
            tokio::join!(
                self.watched.0.run(token()),
                self.watched.1.run(token()),
                self.watched.2.run(token())
            )
        };
        let writers = futures::future::join_all(self.writers.into_iter().map(|writer| writer.run(token())));
        tokio::join!(
            watched,
            writers,
            Box::pin(self.deployments.run(token())),
            Box::pin(self.sets.run(token())),
            Box::pin(self.jobs.run(token())),
        );
    }
}

/// All objects of a kind, without the record of who set which field.
fn objects<K>(client: &Client) -> Informer<K, K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send + Sync + 'static,
{
    Informer::new(client.clone(), informer::Config::default(), plain)
        .index(BY_NAMESPACE, |key: &Key, _: &K| vec![key.namespace.clone()])
}

fn plain<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// Puts the server's answer into a cache.
fn remember<K: Resource + Clone>(cache: &Reader<K>, key: &Key, object: K) {
    let revision = object.meta().resource_version.clone().unwrap_or_default();
    cache.remember(key, &revision, plain(object));
}
