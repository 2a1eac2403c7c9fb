//! What tells whether the node agent works: its loop over Pods answers, its Lease is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use telemetry::{Check, health::Seen};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::register::BELIEVED;

/// Questions to the loop whether it goes round; it answers each.
pub(crate) type Questions = mpsc::Receiver<oneshot::Sender<()>>;

/// The signs of life of one node. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Vitals {
    questions: mpsc::Sender<oneshot::Sender<()>>,
    signs: Arc<Signs>,
}

#[derive(Debug, Default)]
struct Signs {
    /// The Pods that were here have been taken over, and changes are followed.
    follows: AtomicBool,
    beat: Mutex<Option<Instant>>,
}

// === impl Vitals ===

impl Vitals {
    pub(crate) fn new() -> (Self, Questions) {
        let (questions, asked) = mpsc::channel(4);
        (Self { questions, signs: Arc::default() }, asked)
    }

    /// The loop begins or ceases to follow Pods.
    pub(crate) fn follows(&self, follows: bool) {
        self.signs.follows.store(follows, Ordering::Relaxed);
    }

    /// The Lease was renewed.
    pub(crate) fn beat(&self) {
        *self.signs.beat.lock() = Some(Instant::now());
    }

    /// The kubelet's `syncloop`, and what a node that is ready must have besides.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let (turning, following, renewing) = (self.clone(), self.clone(), self.clone());
        vec![
            Check::new("node-syncloop", move || turning.clone().turns()),
            Check::at_once("node-sync", move || following.is_following()).only_ready(),
            Check::at_once("node-lease", move || renewing.is_believed()).only_ready(),
        ]
    }

    /// Asks the loop. Before and after it follows Pods there is nothing to be stuck.
    async fn turns(self) -> Seen {
        if !self.signs.follows.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (question, answer) = oneshot::channel();
        let ended = || "the loop over Pods has ended".to_owned();
        self.questions.send(question).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }

    fn is_following(&self) -> Seen {
        match self.signs.follows.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("Pods are not followed: the node agent is starting or stopping".to_owned()),
        }
    }

    fn is_believed(&self) -> Seen {
        let beat = self.signs.beat.lock().ok_or("the node is not registered yet")?;
        let age = beat.elapsed();
        if age < BELIEVED {
            return Ok(());
        }
        Err(format!("the node's Lease was renewed {} s ago, and is believed for {BELIEVED:?}", age.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_loop_that_does_not_turn_is_noticed() {
        let (vitals, mut asked) = Vitals::new();
        let checks = vitals.checks();
        assert_eq!(checks[0].look().await, Ok(()));
        vitals.follows(true);
        assert_eq!(checks[0].look().now_or_never(), None);
        // The first question waits still.
        drop(asked.recv().await);
        let turn = async { asked.recv().await.unwrap().send(()).unwrap() };
        assert_eq!(tokio::join!(checks[0].look(), turn).0, Ok(()));
        drop(asked);
        assert!(checks[0].look().await.unwrap_err().contains("has ended"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_ready_while_it_follows_pods_and_keeps_its_lease() {
        let (vitals, _asked) = Vitals::new();
        let look = async || {
            let checks = vitals.checks();
            (checks[1].look().await.is_ok(), checks[2].look().await.is_ok())
        };
        assert_eq!(look().await, (false, false));
        vitals.follows(true);
        vitals.beat();
        assert_eq!(look().await, (true, true));
        tokio::time::advance(BELIEVED - Duration::from_secs(1)).await;
        assert_eq!(look().await, (true, true));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(look().await, (true, false));
        vitals.beat();
        vitals.follows(false);
        assert_eq!(look().await, (false, true));
    }
}
