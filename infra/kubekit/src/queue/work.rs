//! Workers: take a key, do something about it, say how it went.

use super::{Outcome, Queue};
use futures::FutureExt;
use std::fmt::Display;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

impl<K: Clone + Display + Eq + Hash + Ord + Send + 'static> Queue<K> {
    /// Runs `workers` workers until shutdown; each finishes what it holds. A panic of `handle` counts as a failure
    /// of that key and ends nothing.
    pub async fn work<H, F>(&self, workers: usize, shutdown: CancellationToken, handle: H)
    where
        H: Fn(K) -> F + Clone + Send + 'static,
        F: Future<Output = Outcome> + Send,
    {
        let mut tasks = JoinSet::new();
        for _ in 0..workers.max(1) {
            let (queue, handle, shutdown) = (self.clone(), handle.clone(), shutdown.clone());
            tasks.spawn(async move {
                while let Some(Some(lease)) = shutdown.run_until_cancelled(queue.next()).await {
                    let (handle, key) = (handle.clone(), lease.key().clone());
                    // On the heap, so that idle workers are small however big the work is.
                    let work = Box::pin(async move { handle(key).await });
                    let outcome = AssertUnwindSafe(work).catch_unwind().await;
                    let outcome = outcome.unwrap_or_else(|_| {
                        tracing::error!(key = %lease.key(), "a worker panicked; the key is tried again");
                        Outcome::Retry
                    });
                    lease.finish(outcome);
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}
