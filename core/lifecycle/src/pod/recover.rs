//! Facts after the node agent's own restart, from the status last written.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};

use super::facts::{Exit, Facts, State};
use super::probe::Counter;
use super::spec::{ProbeKind, Spec};
use super::status::reason;

impl Facts {
    /// Facts for a Pod whose record is lost: what ran by its status is gone, and counts as ended with code 137.
    pub fn recover(status: &PodStatus, now: Timestamp) -> Self {
        let mut facts = Self { accepted_at: status.start_time.as_ref().map(|at| at.0), ..Self::default() };
        for seen in status.init_container_statuses.iter().chain(&status.container_statuses).flatten() {
            let entry = facts.entry(&seen.name);
            entry.restarts = u32::try_from(seen.restart_count).unwrap_or_default();
            entry.last = ended(seen.last_state.as_ref(), seen);
            let state = seen.state.clone().unwrap_or_default();
            entry.state = match ended(Some(&state), seen) {
                Some(exit) => State::Exited(exit),
                None if state.running.is_some() => {
                    State::Exited(Exit::unseen(seen.container_id.as_deref(), now))
                }
                None => State::Idle,
            };
        }
        facts
    }

    /// Takes probe verdicts over from the status last written, for containers that still run. So a restart of the
    /// node agent never turns a ready Pod unready.
    pub fn adopt_verdicts(&mut self, spec: &Spec, status: &PodStatus) {
        for seen in status.init_container_statuses.iter().chain(&status.container_statuses).flatten() {
            let Some(container) = spec.container(&seen.name) else { continue };
            let entry = self.entry(&seen.name);
            let same = entry.run().is_some_and(|run| Some(&run.id) == seen.container_id.as_ref());
            if same && seen.started == Some(true) && container.startup.is_some() {
                *entry.counter(ProbeKind::Startup) = Counter::settled(true);
            }
            if same && seen.ready {
                *entry.counter(ProbeKind::Readiness) = Counter::settled(true);
            }
        }
    }
}

impl Exit {
    /// The end of a run that nobody saw end.
    pub fn unseen(id: Option<&str>, now: Timestamp) -> Self {
        Self {
            id: id.unwrap_or_default().to_owned(),
            image_id: String::new(),
            code: 137,
            signal: 0,
            reason: reason::UNKNOWN.to_owned(),
            message: "The container could not be located when the pod was terminated".to_owned(),
            started_at: None,
            finished_at: now,
        }
    }
}

fn ended(state: Option<&k8s_openapi::api::core::v1::ContainerState>, seen: &ContainerStatus) -> Option<Exit> {
    let ended = state?.terminated.as_ref()?;
    Some(Exit {
        id: ended.container_id.clone().unwrap_or_default(),
        image_id: seen.image_id.clone(),
        code: ended.exit_code,
        signal: ended.signal.unwrap_or_default(),
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone().unwrap_or_default(),
        started_at: ended.started_at.as_ref().map(|at| at.0),
        finished_at: ended.finished_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0),
    })
}
