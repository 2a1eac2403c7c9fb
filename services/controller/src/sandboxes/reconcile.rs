//! One pass over one Sandbox: rounds of observe, plan and execute until nothing is left to do.

use super::Worker;
use super::execute::Done;
use k8s_openapi::api::core::v1::ObjectReference;
use kubekit::{Happening, Key, Outcome};
use lifecycle::sandbox::{Snapshot, Step, plan};
use std::time::Duration;

/// Rounds of one pass. Children, status, deletion and a second look need four; more mean that somebody else writes
/// at the same time, and then waiting a moment is better.
const ROUNDS: usize = 8;

impl Worker {
    pub(super) async fn reconcile(&self, key: &Key) -> Outcome {
        self.metrics.pass();
        let mut failures = Vec::new();
        for _ in 0..ROUNDS {
            let Some(snapshot) = self.observe(key, failures.clone()) else {
                self.memories.forget(key);
                return Outcome::Done;
            };
            let steps = plan(&snapshot, self.clock.now());
            self.tell(&snapshot, &steps);
            if !steps.iter().any(Step::is_request) {
                return self.settle(key, &snapshot, &steps);
            }
            for step in steps.into_iter().filter(Step::is_request) {
                match self.executor.carry_out(key, &step).await {
                    Ok(Done::Continue) => self.remember(key, &snapshot, &step),
                    Ok(Done::SandboxGone) => return Outcome::Done,
                    Err(failure) => failures.push(failure),
                }
            }
        }
        tracing::debug!(sandbox = %key, "still something to do after many rounds");
        Outcome::Retry
    }

    /// What the last plan of a pass asks for.
    fn settle(&self, key: &Key, snapshot: &Snapshot, steps: &[Step]) -> Outcome {
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

    fn remember(&self, key: &Key, snapshot: &Snapshot, step: &Step) {
        if let Step::PatchStatus(_, _, status) = step {
            let now = self.clock.now();
            let memory = snapshot.memory.after(snapshot.sandbox.status.as_ref(), status, now);
            self.memories.set(key, memory, now);
        }
    }

    fn tell(&self, snapshot: &Snapshot, steps: &[Step]) {
        for step in steps {
            let Step::Warn { reason, note } = step else { continue };
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
}

fn wake(step: &Step) -> Option<Duration> {
    match step {
        Step::Wake(wait) => Some(*wait),
        _ => None,
    }
}
