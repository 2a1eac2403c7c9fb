//! The parts of a running `up`, by name: one that ends before it is told to takes the process with it.

use futures::FutureExt as _;
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::task::JoinSet;

/// How long the others get to end by themselves.
const PATIENCE: Duration = Duration::from_secs(10);

/// What runs, and what is said of each when it ends.
#[derive(Default)]
pub(crate) struct Parts {
    running: JoinSet<String>,
}

// === impl Parts ===

impl Parts {
    /// Starts one.
    pub(crate) fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            match AssertUnwindSafe(part).catch_unwind().await {
                Ok(()) => format!("{name} ended"),
                Err(panic) => format!("{name} died: {}", words(panic.as_ref())),
            }
        });
    }

    /// The first end, in words. Does not end while all run.
    pub(crate) async fn ended(&mut self) -> String {
        match self.running.join_next().await {
            Some(Ok(said)) => said,
            Some(Err(error)) => error.to_string(),
            None => std::future::pending().await,
        }
    }

    /// Waits until those that are left have ended, for some seconds.
    pub(crate) async fn join(mut self) {
        let all = async { while self.running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_part_that_dies_is_named() {
        let mut parts = Parts::default();
        parts.spawn("the node agent", std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(20), parts.ended()).await.is_err());
        parts.spawn("the controllers", async { panic!("index out of bounds") });
        assert_eq!(parts.ended().await, "the controllers died: index out of bounds");
    }

    #[tokio::test]
    async fn a_part_that_ends_unasked_is_named_too() {
        let mut parts = Parts::default();
        parts.spawn("the API server", async {});
        assert_eq!(parts.ended().await, "the API server ended");
        parts.join().await;
    }
}
