//! One pass over one Sandbox: rounds of observe, plan and execute until nothing is left to do.

use super::Worker;
use super::execute::Done;
use k8s_openapi::api::core::v1::ObjectReference;
use kubekit::{Happening, Key, Outcome};
use lifecycle::sandbox::{Failure, Snapshot, Step, plan};
use std::time::Duration;

/// Rounds of one pass. Children, status, deletion and a second look need four; more mean that somebody else writes
/// at the same time, and then waiting a moment is better.
const ROUNDS: usize = 8;

impl Worker {
    pub(super) async fn reconcile(&self, key: &Key) -> Outcome {
        let pass = self.metrics.pass();
        let outcome = self.pass(key).await;
        pass.ended(outcome);
        outcome
    }

    async fn pass(&self, key: &Key) -> Outcome {
        let mut failures = Vec::new();
        for _ in 0..ROUNDS {
            let Some(snapshot) = self.observe(key, failures.clone()) else {
                self.memories.forget(key);
                return Outcome::Done;
            };
            let steps = plan(&snapshot, self.clock.now());
            if !steps.iter().any(Step::is_request) {
                return self.settle(key, &snapshot, &steps);
            }
            let Some(failed) = self.carry_out(key, &snapshot, &steps).await else { return Outcome::Done };
            failures.extend(failed);
        }
        tracing::debug!(sandbox = %key, "still something to do after many rounds");
        Outcome::Retry
    }

    /// Carries out the steps of one plan in their order. What failed of it; none if the Sandbox is gone.
    async fn carry_out(&self, key: &Key, snapshot: &Snapshot, steps: &[Step]) -> Option<Vec<Failure>> {
        let mut failed = Vec::new();
        for step in steps {
            if !step.is_request() {
                // What is told comes after the requests that make it true.
                if failed.is_empty() {
                    self.tell(snapshot, step);
                }
                continue;
            }
            match self.executor.carry_out(key, step).await {
                Ok(Done::Continue) => {
                    let now = self.clock.now();
                    self.memories.update(key, now, |memory| memory.after_step(snapshot, step, now));
                }
                Ok(Done::SandboxGone) => return None,
                Err(failure) => failed.push(failure),
            }
        }
        Some(failed)
    }

    /// What the last plan of a pass asks for.
    fn settle(&self, key: &Key, snapshot: &Snapshot, steps: &[Step]) -> Outcome {
        let now = self.clock.now();
        let standing = snapshot.standing(now).join("\n");
        if self.memories.is_news(key, &standing) {
            tracing::warn!(sandbox = %key, error = standing, "a Sandbox cannot be brought to what it should be");
        }
        self.memories.update(key, now, |memory| memory.after_pass(snapshot, now));
        let wake: Option<Duration> = steps.iter().filter_map(wake).min();
        if !steps.contains(&Step::Retry) {
            return wake.map_or(Outcome::Done, Outcome::After);
        }
        self.metrics.retry();
        for failure in &snapshot.failures {
            tracing::debug!(sandbox = %key, lasting = failure.lasting, error = failure.text, "a request failed");
        }
        wake.map_or(Outcome::Retry, Outcome::RetryWithin)
    }

    fn tell(&self, snapshot: &Snapshot, step: &Step) {
        let Step::Warn { reason, note } = step else { return };
        let meta = &snapshot.sandbox.metadata;
        self.recorder.tell(Happening {
            regarding: ObjectReference {
                api_version: Some(crd::v1beta1::API_VERSION.to_owned()),
                kind: Some("Sandbox".to_owned()),
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                ..ObjectReference::default()
            },
            related: None,
            warning: true,
            reason: (*reason).to_owned(),
            action: "Reconciling".to_owned(),
            note: note.clone(),
        });
    }
}

fn wake(step: &Step) -> Option<Duration> {
    match step {
        Step::Wake(wait) => Some(*wait),
        _ => None,
    }
}
