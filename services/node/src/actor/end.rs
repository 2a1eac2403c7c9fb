//! How a Pod's things are taken away, and how its containers are stopped when the machine goes down.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::ops::Op;
use super::{Actor, Outcome};
use crate::work;

impl Actor {
    pub(super) fn detach(&mut self, now: Timestamp) {
        if self.is_put_off(&Op::Detach, now) || self.ops.making() {
            return;
        }
        self.withdraw_name();
        let (shared, uid, pause) = (Arc::clone(&self.shared), self.uid.clone(), Arc::clone(&self.pause));
        self.ops.start(Op::Detach, async move {
            pause.kill().await;
            let result = shared.network.detach(&uid).await;
            Outcome::Detached(result.map_err(|error| error.to_string()))
        });
    }

    pub(super) fn free(&mut self, now: Timestamp) {
        if self.is_put_off(&Op::Free, now) || self.ops.making() {
            return;
        }
        let (shared, uid) = (Arc::clone(&self.shared), self.uid.clone());
        self.ops.start(Op::Free, async move { Outcome::Freed(work::free(&shared, &uid).await) });
    }

    pub(super) fn clean(&mut self, now: Timestamp) {
        self.ops.cancel_where(|op| matches!(op, Op::Image(_) | Op::Disk));
        if self.is_put_off(&Op::Clean, now) || self.ops.making() {
            return;
        }
        let (shared, uid, pause) = (Arc::clone(&self.shared), self.uid.clone(), Arc::clone(&self.pause));
        self.ops.start(Op::Clean, async move {
            pause.kill().await;
            Outcome::Cleaned(work::cleanup::pod(&shared, &uid).await)
        });
    }

    pub(super) fn delete(&mut self, now: Timestamp) {
        if self.gone || self.is_put_off(&Op::Delete, now) || self.ops.has(&Op::Status) {
            return;
        }
        let (client, pod) = (self.shared.client.clone(), Arc::clone(&self.pod));
        self.ops.start(Op::Delete, async move { Outcome::Deleted(work::api::delete(&client, &pod).await) });
    }

    /// Stops every container and leaves the Pod as it is, as a machine that shuts down does.
    pub(super) async fn halt(&mut self, grace: Duration) {
        self.ops.cancel_where(|op| !matches!(op, Op::Start(_)));
        // What is being started would run on without anybody; it is waited for and then stopped.
        while self.ops.making() {
            let (op, outcome) = self.ops.next().await;
            self.apply(&op, outcome);
        }
        let stops = self.containers.values().cloned().map(|container| async move {
            work::signal_and_wait(&container, None, grace).await;
        });
        futures::future::join_all(stops).await;
        self.pause.kill().await;
        if let Err(error) = self.shared.network.detach(&self.uid).await {
            tracing::warn!(pod = %self.spec.title, %error, "network not taken away");
        }
        self.withdraw_name();
    }
}
