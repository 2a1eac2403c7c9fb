//! The phase of a Pod, from the states of its containers as clients see them.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus};

use super::spec::Spec;

/// Whether this status is final: a phase that is never left again.
pub fn is_terminal(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"))
}

/// What is counted, over init containers first and then over sidecars and containers.
#[derive(Default)]
struct Count {
    pending_init: u32,
    pending_sidecars: u32,
    failed_init: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    over: u32,
    succeeded: u32,
}

/// The phase. `ending` says that no container will run again; `initialised` that one of the Pod's own has started.
pub(super) fn of(spec: &Spec, statuses: &[ContainerStatus], ending: bool, initialised: bool) -> &'static str {
    let count = Count::of(spec, statuses);
    if count.failed_init > 0 {
        "Failed"
    } else if count.pending_init > 0 || (count.pending_sidecars > 0 && !initialised) || count.waiting > 0 {
        "Pending"
    } else if count.running > 0 {
        "Running"
    } else if count.stopped == 0 {
        "Pending"
    } else if !ending && count.stopped != count.over {
        "Running"
    } else if count.stopped == count.succeeded {
        "Succeeded"
    } else {
        "Failed"
    }
}

// === impl Count ===

impl Count {
    fn of(spec: &Spec, statuses: &[ContainerStatus]) -> Self {
        let mut count = Self::default();
        let find = |name: &str| statuses.iter().find(|status| status.name == name);
        for container in &spec.init {
            let status = find(&container.name);
            if container.sidecar {
                count.sidecar(status);
            } else {
                let again = |code| spec.restart_of(container).again(code);
                count.init(status, again);
            }
        }
        for container in &spec.containers {
            let again = |code| spec.restart.again(code);
            count.ordinary(find(&container.name), again);
        }
        count
    }

    fn init(&mut self, status: Option<&ContainerStatus>, again: impl Fn(i32) -> bool) {
        let state = status.and_then(|status| status.state.as_ref());
        let ended = match state {
            Some(ContainerState { terminated: Some(ended), .. }) => Some(ended),
            Some(ContainerState { waiting: Some(_), .. }) => status.and_then(last),
            _ => None,
        };
        match ended {
            Some(ended) => self.failed_init += u32::from(ended.exit_code != 0 && !again(ended.exit_code)),
            None => self.pending_init += 1,
        }
    }

    fn sidecar(&mut self, status: Option<&ContainerStatus>) {
        let Some(status) = status else { return };
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            self.pending_sidecars += u32::from(status.started != Some(true));
            self.running += 1;
        } else if state.waiting.is_some() && last(status).is_none() {
            self.pending_sidecars += 1;
            self.waiting += 1;
        }
    }

    fn ordinary(&mut self, status: Option<&ContainerStatus>, again: impl Fn(i32) -> bool) {
        let state = status.and_then(|status| status.state.clone()).unwrap_or_default();
        if state.running.is_some() {
            self.running += 1;
            return;
        }
        let succeeded = state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0);
        let Some(ended) = state.terminated.or_else(|| status.and_then(last).cloned()) else {
            self.waiting += 1;
            return;
        };
        self.stopped += 1;
        self.over += u32::from(!again(ended.exit_code));
        self.succeeded += u32::from(succeeded);
    }
}

fn last(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.last_state.as_ref()?.terminated.as_ref()
}
