//! What a client that watches has seen last.

use crd::v1beta1::Sandbox;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// Sandboxes and Pods by name.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The Sandboxes.
    pub sandboxes: HashMap<String, Sandbox>,
    /// The Pods.
    pub pods: HashMap<String, Pod>,
}

/// A watch over both kinds; it ends when this is dropped.
pub struct View {
    seen: Arc<Mutex<Seen>>,
    watches: JoinSet<()>,
}

// === impl View ===

impl View {
    /// Lists and goes on watching.
    pub async fn open(client: &Client) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listed = Arc::new(AtomicUsize::new(0));
        let mut watches = JoinSet::new();
        let sandboxes = Api::<Sandbox>::default_namespaced(client.clone());
        watches.spawn(follow(sandboxes, Arc::clone(&seen), Arc::clone(&listed), |seen| &mut seen.sandboxes));
        let pods = Api::<Pod>::default_namespaced(client.clone());
        watches.spawn(follow(pods, Arc::clone(&seen), Arc::clone(&listed), |seen| &mut seen.pods));
        while listed.load(Ordering::Acquire) < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Self { seen, watches }
    }

    /// A handle for clients.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        Arc::clone(&self.seen)
    }

    /// Ends the watches; what was seen stays.
    pub async fn freeze(&mut self) -> Seen {
        self.watches.shutdown().await;
        self.seen.lock().clone()
    }
}

async fn follow<K>(
    api: Api<K>,
    seen: Arc<Mutex<Seen>>,
    listed: Arc<AtomicUsize>,
    map: fn(&mut Seen) -> &mut HashMap<String, K>,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher::watcher(api, watcher::Config::default());
    futures::pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                map(&mut seen.lock()).insert(object.name_any(), object);
            }
            Ok(Event::Delete(object)) => {
                map(&mut seen.lock()).remove(&object.name_any());
            }
            Ok(Event::InitDone) => {
                listed.fetch_add(1, Ordering::Release);
            }
            Ok(Event::Init) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
