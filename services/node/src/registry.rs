//! The containers that exec, attach, logs and port-forward can reach, by Pod.

mod layers;

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use runtime::{Container, Driver};
use tokio::sync::watch;

pub(crate) use layers::{Claim, Layers};

/// Pods by namespace and name.
#[derive(Default)]
pub(crate) struct Registry {
    /// Whether every Pod of the first complete list is in here.
    listed: watch::Sender<bool>,
    pods: RwLock<HashMap<(String, String), Arc<Pod>>>,
    pub(crate) layers: Layers,
}

/// One Pod, kept up to date by its actor.
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) driver: Driver,
    /// Whether containers from before a restart of the agent are found again.
    adopted: watch::Sender<bool>,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    address: Option<Ipv4Addr>,
    containers: BTreeMap<String, Live>,
    images: BTreeMap<String, String>,
    /// Directories of its persistent volumes.
    claims: Vec<PathBuf>,
}

/// One container.
#[derive(Clone)]
pub(crate) struct Live {
    /// The run under way.
    pub(crate) container: Option<Container>,
    /// Whether it runs; a follower of its log ends when this says no.
    pub(crate) running: watch::Sender<bool>,
    /// The log of the present or last run, and of the one before.
    pub(crate) logs: Vec<PathBuf>,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
}

// === impl Registry ===

impl Registry {
    /// From now on a Pod that is not in here is not on this node.
    pub(crate) fn set_listed(&self) {
        self.listed.send_replace(true);
    }

    /// The Pod, once it is certain which Pods there are and what runs in this one.
    pub(crate) async fn settled(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
        let pod = self.get(namespace, name)?;
        let _ = pod.adopted.subscribe().wait_for(|adopted| *adopted).await;
        Some(pod)
    }

    /// Waits until it is certain what runs in every Pod that is in here now.
    pub(crate) async fn all_settled(&self) {
        let pods: Vec<_> = self.pods.read().values().cloned().collect();
        for pod in pods {
            let _ = pod.adopted.subscribe().wait_for(|adopted| *adopted).await;
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.pods.read().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn insert(&self, namespace: &str, name: &str, pod: Arc<Pod>) {
        self.pods.write().insert((namespace.to_owned(), name.to_owned()), pod);
    }

    /// Forgets a Pod unless another one has taken its name.
    pub(crate) fn remove(&self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut pods = self.pods.write();
        if pods.get(&key).is_some_and(|pod| pod.uid == uid) {
            pods.remove(&key);
        }
    }

    pub(crate) fn has(&self, uid: &str) -> bool {
        self.pods.read().values().any(|pod| pod.uid == uid)
    }

    /// The ids of all images that a Pod here was started from.
    pub(crate) fn images(&self) -> Vec<String> {
        self.pods
            .read()
            .values()
            .flat_map(|pod| pod.state.read().images.values().cloned().collect::<Vec<_>>())
            .collect()
    }
}

// === impl Pod ===

impl Pod {
    pub(crate) fn new(uid: &str, driver: Driver) -> Arc<Self> {
        Arc::new(Self {
            uid: uid.to_owned(),
            driver,
            adopted: watch::Sender::new(false),
            state: RwLock::default(),
        })
    }

    pub(crate) fn set_adopted(&self) {
        self.adopted.send_replace(true);
    }

    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.state.read().address
    }

    pub(crate) fn set_address(&self, address: Option<Ipv4Addr>) {
        self.state.write().address = address;
    }

    pub(crate) fn set_image(&self, container: &str, image: &str) {
        self.state.write().images.insert(container.to_owned(), image.to_owned());
    }

    pub(crate) fn claims(&self) -> Vec<PathBuf> {
        self.state.read().claims.clone()
    }

    pub(crate) fn set_claims(&self, claims: Vec<PathBuf>) {
        self.state.write().claims = claims;
    }

    pub(crate) fn container(&self, name: &str) -> Option<Live> {
        self.state.read().containers.get(name).cloned()
    }

    /// Any container that runs.
    pub(crate) fn running(&self) -> Option<Container> {
        self.state.read().containers.values().find_map(|live| live.container.clone())
    }

    pub(crate) fn started(&self, name: &str, live: Live) {
        self.state.write().containers.insert(name.to_owned(), live);
    }

    pub(crate) fn ended(&self, name: &str) {
        if let Some(live) = self.state.write().containers.get_mut(name) {
            live.container = None;
            live.running.send_replace(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_a_restart_a_pod_is_shown_only_once_its_containers_are_found() {
        let registry = Registry::default();
        let pod = Pod::new("uid", Driver::Runc);
        registry.insert("ns", "p", Arc::clone(&pod));
        let asking = registry.settled("ns", "p");
        tokio::pin!(asking);
        assert!(futures::poll!(&mut asking).is_pending(), "the list is not complete");
        registry.set_listed();
        assert!(futures::poll!(&mut asking).is_pending(), "its containers are not found yet");
        pod.set_adopted();
        assert_eq!(asking.await.unwrap().uid, "uid");
        assert!(registry.settled("ns", "other").await.is_none());
    }
}
