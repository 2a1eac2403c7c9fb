//! What the controller keeps of Sandboxes, Pods, Services and claims, and whom a change concerns.

use super::packed::{self, Packed, PackedSandbox};
use crd::v1beta1::LenientSandbox;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::{Client, Resource};
use kubekit::informer::{self, Informer};
use kubekit::{Change, Key, Lane, Queue, Reader, Text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Index of Pods by the uid of what controls them.
pub(super) const CONTROLLER: &str = "controller";

/// The reading side.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) sandboxes: Reader<PackedSandbox>,
    pub(super) pods: Reader<Packed<Pod>>,
    pub(super) services: Reader<Packed<Service>>,
    pub(super) claims: Reader<Packed<PersistentVolumeClaim>>,
}

/// The writing side.
pub(super) struct Informers {
    sandboxes: Informer<LenientSandbox, PackedSandbox>,
    pods: Informer<Pod, Packed<Pod>>,
    services: Informer<Service, Packed<Service>>,
    claims: Informer<PersistentVolumeClaim, Packed<PersistentVolumeClaim>>,
}

// === impl Caches ===

impl Caches {
    /// The kinds that are not seen completely yet, or can no longer be followed.
    pub(super) fn lost(&self) -> Vec<&'static str> {
        let all = [
            ("sandboxes", self.sandboxes.is_following()),
            ("pods", self.pods.is_following()),
            ("services", self.services.is_following()),
            ("persistentvolumeclaims", self.claims.is_following()),
        ];
        all.iter().filter(|(_, follows)| !follows).map(|(kind, _)| *kind).collect()
    }

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
        let sandboxes = Informer::new(client.clone(), config.clone(), |read| PackedSandbox::of(&read));
        let known = sandboxes.reader();
        let sandboxes = sandboxes.on_change({
            let (queue, known) = (queue.clone(), known.clone());
            move |change: &Change<'_, PackedSandbox>| {
                // The first state can wait for what happens now.
                let lane = if known.is_synced() { Lane::High } else { Lane::Low };
                queue.add_in(lane, change.key.clone());
            }
        });
        let pods = Informer::new(client.clone(), config.clone(), |pod| packed::pod(&pod))
            .index(CONTROLLER, |_, pod| pod.controller().map(|owner| owner.uid.clone()).into_iter().collect())
            .on_change(concern(queue, &known));
        let services = Informer::new(client.clone(), config.clone(), |service| packed::service(&service))
            .on_change(concern(queue, &known));
        let claims = Informer::new(client.clone(), config, |claim| packed::claim(&claim))
            .on_change(concern(queue, &known));
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
fn sandbox<K>(object: &Packed<K>) -> Option<Text>
where
    K: Resource + Serialize + DeserializeOwned,
{
    object.controller().filter(|owner| owner.is_sandbox).map(|owner| owner.name.clone())
}

/// A change of a child concerns the Sandbox that controls or controlled it, and the Sandbox of its name.
fn concern<K>(
    queue: &Queue<Key>,
    sandboxes: &Reader<PackedSandbox>,
) -> impl Fn(&Change<'_, Packed<K>>) + Send + Sync + 'static
where
    K: Resource + Serialize + DeserializeOwned,
{
    let (queue, sandboxes) = (queue.clone(), sandboxes.clone());
    move |change| {
        let owners = change.old.iter().chain(&change.new).filter_map(|child| sandbox(child));
        let owners = owners.map(|name| Key { namespace: change.key.namespace.clone(), name });
        for key in owners.chain([change.key.clone()]) {
            if sandboxes.get(&key).is_some() {
                queue.add(key);
            }
        }
    }
}
