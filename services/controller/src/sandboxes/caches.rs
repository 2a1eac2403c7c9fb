//! What the controller keeps of Sandboxes, Pods, Services and claims, and whom a change concerns.

use super::packed::Packed;
use crd::v1beta1::Sandbox;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::Client;
use kubekit::informer::{self, Informer};
use kubekit::{Change, Key, Lane, Queue, Reader};
use lifecycle::sandbox::{ClaimView, PodView, ServiceView};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Index of Pods by the uid of what controls them.
pub(super) const CONTROLLER: &str = "controller";

/// The reading side.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) sandboxes: Reader<Packed>,
    pub(super) pods: Reader<PodView>,
    pub(super) services: Reader<ServiceView>,
    pub(super) claims: Reader<ClaimView>,
}

/// The writing side.
pub(super) struct Informers {
    sandboxes: Informer<Sandbox, Packed>,
    pods: Informer<Pod, PodView>,
    services: Informer<Service, ServiceView>,
    claims: Informer<PersistentVolumeClaim, ClaimView>,
}

// === impl Caches ===

impl Caches {
    /// Waits until everything was seen once.
    pub(super) async fn synced(&self) {
        self.sandboxes.synced().await;
        self.pods.synced().await;
        self.services.synced().await;
        self.claims.synced().await;
    }
}

// === impl Informers ===

impl Informers {
    pub(super) fn build(client: &Client, namespace: Option<&str>, queue: &Queue<Key>) -> Self {
        let config =
            informer::Config { namespace: namespace.map(str::to_owned), ..informer::Config::default() };
        let sandboxes =
            Informer::new(client.clone(), config.clone(), |sandbox: Sandbox| Packed::of(&sandbox));
        let known = sandboxes.reader();
        let sandboxes = sandboxes.on_change({
            let (queue, known) = (queue.clone(), known.clone());
            move |change: &Change<'_, Packed>| {
                // The first state can wait for what happens now.
                let lane = if known.is_synced() { Lane::High } else { Lane::Low };
                queue.add_in(lane, change.key.clone());
            }
        });
        let pods = Informer::new(client.clone(), config.clone(), |pod: Pod| PodView::of(&pod))
            .index(CONTROLLER, |_, pod: &PodView| {
                pod.meta.controller_uid().map(str::to_owned).into_iter().collect()
            })
            .on_change(concern(queue, &known, |pod: &PodView| owner(&pod.meta.owners)));
        let services =
            Informer::new(client.clone(), config.clone(), |service: Service| ServiceView::of(&service))
                .on_change(concern(queue, &known, |service: &ServiceView| owner(&service.meta.owners)));
        let claims =
            Informer::new(client.clone(), config, |claim: PersistentVolumeClaim| ClaimView::of(&claim))
                .on_change(concern(queue, &known, |claim: &ClaimView| owner(&claim.meta.owners)));
        Self { sandboxes, pods, services, claims }
    }

    pub(super) fn caches(&self) -> Caches {
        Caches {
            sandboxes: self.sandboxes.reader(),
            pods: self.pods.reader(),
            services: self.services.reader(),
            claims: self.claims.reader(),
        }
    }

    pub(super) fn spawn(self, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        tasks.spawn(self.sandboxes.run(shutdown.clone()));
        tasks.spawn(self.pods.run(shutdown.clone()));
        tasks.spawn(self.services.run(shutdown.clone()));
        tasks.spawn(self.claims.run(shutdown.clone()));
    }
}

/// Name of the Sandbox that controls an object.
fn owner(owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]) -> Option<&str> {
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let ours = owner.kind == "Sandbox" && owner.api_version.split('/').next() == Some(crd::GROUP);
    ours.then_some(owner.name.as_str())
}

/// A change of a child concerns the Sandbox that controls or controlled it, and the Sandbox of its name.
fn concern<T: 'static>(
    queue: &Queue<Key>,
    sandboxes: &Reader<Packed>,
    owner: impl Fn(&T) -> Option<&str> + Send + Sync + 'static,
) -> impl Fn(&Change<'_, T>) + Send + Sync + 'static {
    let (queue, sandboxes) = (queue.clone(), sandboxes.clone());
    move |change| {
        let owners = change.old.iter().chain(&change.new).filter_map(|child| owner(child));
        for name in owners.chain([&*change.key.name]) {
            let key = Key { namespace: change.key.namespace.clone(), name: name.into() };
            if sandboxes.get(&key).is_some() {
                queue.add(key);
            }
        }
    }
}
