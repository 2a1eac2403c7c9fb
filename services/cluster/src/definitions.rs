//! Keeps up with the kinds of CustomResourceDefinitions: the garbage collector watches them, namespaces are emptied of them, quotas
//! count them.
//!
//! When a definition changes, the server is asked again for what it serves; what is new gets an informer, what is gone loses it.

use crate::owners::{Graph, Watch};
use crate::quotas::Counter;
use crate::resources::{self, Resource, Resources};
use kube::Client;
use kubekit::Change;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long after a change the server is asked: soon, and again a little later, because a server may tell of a definition before it
/// serves its kinds. What is gone is let go only then, so that the last news of its objects has come.
const LOOKS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// The controller.
pub(crate) struct Definitions {
    client: Client,
    resources: Arc<Resources>,
    graph: Arc<Graph>,
    counter: Counter,
    changed: Arc<Notify>,
}

/// Whether a resource is that of definitions.
pub(crate) fn is_definition(resource: &Resource) -> bool {
    resource.api.group == "apiextensions.k8s.io" && resource.api.plural == "customresourcedefinitions"
}

// === impl Definitions ===

impl Definitions {
    pub(crate) fn new(
        client: &Client,
        resources: &Arc<Resources>,
        graph: &Arc<Graph>,
        counter: Counter,
    ) -> Definitions {
        let (resources, graph) = (Arc::clone(resources), Arc::clone(graph));
        Definitions { client: client.clone(), resources, graph, counter, changed: Arc::default() }
    }

    /// To be called when a definition changes.
    pub(crate) fn listener<T>(&self) -> impl Fn(&Change<'_, T>) + Send + Sync + 'static + use<T> {
        let (resources, changed) = (Arc::clone(&self.resources), Arc::clone(&self.changed));
        move |change| {
            // Those that were there from the start are known.
            let known = |resource: &Resource| {
                change
                    .key
                    .name
                    .strip_prefix(resource.api.plural.as_str())
                    .and_then(|rest| rest.strip_prefix('.'))
                    == Some(resource.api.group.as_str())
            };
            if change.old.is_some() || !resources.current().iter().any(known) {
                changed.notify_one();
            }
        }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut watches = JoinSet::new();
        while shutdown.run_until_cancelled(self.changed.notified()).await.is_some() {
            for (look, wait) in LOOKS.into_iter().enumerate() {
                let last = look + 1 == LOOKS.len();
                // On the heap: this waits for most of its life.
                let asked = Box::pin(async {
                    tokio::time::sleep(wait).await;
                    resources::discover(&self.client).await
                });
                let Some(now) = shutdown.run_until_cancelled(asked).await else { return };
                for (watch, stop) in self.compare(now, last, &shutdown) {
                    watches.spawn(watch.run(stop));
                }
                while watches.try_join_next().is_some() {}
            }
        }
    }

    /// Takes in what is new and lets go what is gone; gives the informers to run.
    fn compare(
        &self,
        mut now: Vec<Resource>,
        last: bool,
        shutdown: &CancellationToken,
    ) -> Vec<(Watch, CancellationToken)> {
        let before = self.resources.current();
        let missing = |from: &[Resource], one: &Resource| !from.iter().any(|other| other.is_the_same(one));
        let gone = before.iter().filter(|old| missing(&now, old));
        // Those that are served in another version now are replaced at once.
        let (replaced, vanished): (Vec<&Resource>, Vec<&Resource>) =
            gone.partition(|gone| now.iter().any(|new| new.is_about_the_same(gone)));
        let (leaving, kept) = if last { (vanished, Vec::new()) } else { (Vec::new(), vanished) };
        replaced.into_iter().chain(leaving).for_each(|gone| self.graph.remove(gone));
        now.extend(kept.into_iter().cloned());
        let added = now.iter().filter(|new| missing(&before, new)).map(|new| {
            let stop = shutdown.child_token();
            let watch = self.graph.add(&self.client, new, Some(stop.clone()));
            (watch.on_change(self.counter.listener()), stop)
        });
        let added: Vec<_> = added.collect();
        self.resources.replace(now);
        added
    }
}
