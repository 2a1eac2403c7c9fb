//! What the rest of the world is told beside the status: the Sandbox's name, and once per back-off that there is one.

use lifecycle::pod::{ContainerFacts, State};

use super::Actor;
use crate::work;

impl Actor {
    /// Gives the Sandbox's name the Pod's address while a container runs.
    pub(super) fn publish_name(&mut self) {
        let running = |facts: &ContainerFacts| matches!(facts.state, State::Running(_));
        let lives = self.deletion().is_none() && self.facts.containers.values().any(running);
        let address = self.entry.address().filter(|_| lives);
        if address == self.named {
            return;
        }
        if let Some(name) = work::sandbox_name(&self.pod) {
            let mut names = self.shared.names.lock();
            names.set_sandbox(self.shared.network.zone(), &name, &self.uid, address);
        }
        self.named = address;
    }

    pub(super) fn withdraw_name(&mut self) {
        if self.named.take().is_some()
            && let Some(name) = work::sandbox_name(&self.pod)
        {
            self.shared.names.lock().set_sandbox(self.shared.network.zone(), &name, &self.uid, None);
        }
    }

    /// Says once per back-off that a container is being left alone for a while.
    pub(super) fn tell_back_off(&mut self) {
        let now = self.shared.now();
        let title = self.spec.title.clone();
        for (name, facts) in &self.facts.containers {
            let waits = facts
                .exit()
                .zip(facts.backoff)
                .is_some_and(|(exit, backoff)| now < backoff.until(exit.finished_at));
            let restarts = self.spec.container(name).is_some_and(|spec| {
                facts.exit().is_some_and(|exit| self.spec.restart_of(spec).again(exit.code))
            });
            if waits && restarts && self.pod.metadata.deletion_timestamp.is_none() {
                if self.backing_off.insert(name.clone()) {
                    let note = format!("Back-off restarting failed container {name} in pod {title}");
                    self.teller.of(name, true, "BackOff", note);
                }
            } else {
                self.backing_off.remove(name);
            }
        }
    }
}
