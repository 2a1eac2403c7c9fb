//! The garbage collector: deletes what has no owner left, and carries out foreground and orphan deletion.
//!
//! It knows every object of every kind by its metadata only. An object is looked at when it appears with owners, when its owners or
//! its deletion change, and when an owner or a dependent of it goes.

mod act;
mod decide;
mod graph;

pub(crate) use graph::{Graph, Watch};

use crate::guarded::outcome;
use kube::Client;
use kubekit::Outcome;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Objects looked at at the same time.
const WORKERS: usize = 4;

/// Works until shutdown. The graph's informers are run by the caller.
pub(crate) async fn run(client: Client, graph: Arc<Graph>, shutdown: CancellationToken) {
    if shutdown.run_until_cancelled(graph.synced()).await.is_none() {
        return;
    }
    let queue = graph.queue().clone();
    queue
        .work(WORKERS, shutdown, move |item| {
            let (client, graph) = (client.clone(), Arc::clone(&graph));
            async move {
                let result = act::look_at(&client, &graph, &item).await;
                outcome("owners", &item, result.map(|()| Outcome::Done))
            }
        })
        .await;
}
