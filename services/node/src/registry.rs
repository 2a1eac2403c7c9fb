//! The containers that exec, attach, logs and port-forward can reach, by Pod.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use runtime::{Container, Driver};
use tokio::sync::watch;

/// Pods by namespace and name.
#[derive(Default)]
pub(crate) struct Registry {
    pods: RwLock<HashMap<(String, String), Arc<Pod>>>,
}

/// One Pod, kept up to date by its actor.
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) driver: Driver,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    address: Option<Ipv4Addr>,
    containers: BTreeMap<String, Live>,
    images: BTreeMap<String, String>,
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
        Arc::new(Self { uid: uid.to_owned(), driver, state: RwLock::default() })
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

    pub(crate) fn container(&self, name: &str) -> Option<Live> {
        self.state.read().containers.get(name).cloned()
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
