//! The kinds that several controllers of the machine follow together.

use crate::apps::{Apps, BY_CONTROLLER};
use crate::endpoints::Endpoints;
use crate::scheduler::Scheduler;
use crate::view::{NodeView, PodView};
use crate::volumes::{self, ClaimView, ClassView, VolumeView, Volumes};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kubekit::{Informer, Reader, informer};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The informers, before they run.
pub(super) struct Watches {
    pub(super) pods: Informer<Pod, PodView>,
    pub(super) nodes: Informer<Node, NodeView>,
    pub(super) claims: Informer<PersistentVolumeClaim, ClaimView>,
    pub(super) disks: Informer<PersistentVolume, VolumeView>,
    pub(super) classes: Informer<StorageClass, ClassView>,
}

/// A kind's name, and whether it can be followed.
pub(super) type Followed = (&'static str, Box<dyn Fn() -> bool + Send + Sync>);

pub(super) fn followed<T: Send + Sync + 'static>(kind: &'static str, reader: &Reader<T>) -> Followed {
    let reader = reader.clone();
    (kind, Box::new(move || reader.is_following()))
}

// === impl Watches ===

impl Watches {
    pub(super) fn new(client: &Client) -> Watches {
        let all = informer::Config::default;
        Watches {
            pods: pods(client),
            nodes: Informer::new(client.clone(), all(), |node: Node| NodeView::of(node)),
            claims: Informer::new(client.clone(), all(), |claim: PersistentVolumeClaim| ClaimView::of(claim)),
            disks: disks(client),
            classes: Informer::new(client.clone(), all(), |class: StorageClass| ClassView::of(class)),
        }
    }

    /// What tells whether each kind can be followed.
    pub(super) fn followed(&self) -> [Followed; 5] {
        [
            followed("pods", &self.pods.reader()),
            followed("nodes", &self.nodes.reader()),
            followed("persistentvolumeclaims", &self.claims.reader()),
            followed("persistentvolumes", &self.disks.reader()),
            followed("storageclasses", &self.classes.reader()),
        ]
    }

    /// Each controller hears of what concerns it.
    pub(super) fn heard_by(
        self,
        scheduler: &Scheduler,
        volumes: &Volumes,
        endpoints: &Endpoints,
        apps: &Apps,
    ) -> Watches {
        let Watches { pods, nodes, claims, disks, classes } = self;
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
        Watches { pods, nodes, claims, disks, classes }
    }

    pub(super) fn spawn(self, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        tasks.spawn(self.pods.run(shutdown.clone()));
        tasks.spawn(self.nodes.run(shutdown.clone()));
        tasks.spawn(self.claims.run(shutdown.clone()));
        tasks.spawn(self.disks.run(shutdown.clone()));
        tasks.spawn(self.classes.run(shutdown.clone()));
    }
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
