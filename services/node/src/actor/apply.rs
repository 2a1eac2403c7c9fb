//! What each outcome changes.

use lifecycle::pod::{Exit, Hook, Image, Network, Stage, StopCause, Verdict, reason};
use runtime::StartFailure;

use super::adopt::time;
use super::ops::Op;
use super::{Actor, Outcome, Probed, RETRY};
use crate::work::{self, Trouble, start};

impl Actor {
    pub(super) fn apply(&mut self, op: &Op, outcome: Option<Outcome>) {
        match outcome {
            None => self.broken(op),
            Some(Outcome::Network(result)) => self.attached(result),
            Some(Outcome::Volumes(result)) => self.prepared(result),
            Some(Outcome::Refreshed(result)) => self.refreshed(result),
            Some(Outcome::Image(name, result)) => self.fetched(&name, result),
            Some(Outcome::Started(name, result)) => self.started(&name, result),
            Some(Outcome::Hooked(name, result)) => self.hooked(&name, result),
            Some(Outcome::Exited(name, exit, message)) => self.ended(&name, &exit, message),
            Some(Outcome::Written(status, written)) => self.wrote(*status, written),
            Some(Outcome::Detached(result)) => self.detached(op, result),
            Some(Outcome::Freed(result)) => self.freed(op, result),
            Some(Outcome::Cleaned(result)) => self.cleaned(op, result),
            Some(Outcome::Deleted(result)) => self.deleted(op, result),
            Some(Outcome::Recorded(result)) => self.recorded(op, result),
            Some(Outcome::Measured(Some(message))) => self.evict(message),
            Some(Outcome::Stopped(name, false)) => {
                self.stops.remove(&name);
                self.paused_until.insert(op.clone(), self.shared.now() + RETRY);
            }
            Some(Outcome::Stopped(_, true) | Outcome::Measured(None)) => {}
        }
    }

    /// Work of ours was broken off by a bug; it is tried again later, like any failure.
    fn broken(&mut self, op: &Op) {
        tracing::error!(pod = %self.spec.title, ?op, "work on a pod was broken off");
        let now = self.shared.now();
        self.paused_until.insert(op.clone(), now + RETRY);
        let message = "internal error: see the log of agent-sandbox";
        match op {
            Op::Start(name) => self.facts.entry(name).unmade(reason::CREATE, message, now),
            Op::Image(name) => self.facts.entry(name).image.fail(reason::PULL, message, now),
            Op::Hook(name) => self.facts.entry(name).post_start = Hook::Failed,
            _ => {}
        }
    }

    fn attached(&mut self, result: Result<net::Attachment, Trouble>) {
        match result {
            Ok(attachment) => {
                let moved =
                    self.record.slot.replace(attachment.slot).is_some_and(|old| old != attachment.slot);
                if moved && work::has_memory(&self.pod) {
                    self.facts.volumes = Stage::Absent;
                }
                self.entry.set_address(Some(attachment.address));
                self.facts.network = Stage::Ready(Network { ips: vec![attachment.address.to_string()] });
                self.attachment = Some(attachment);
            }
            Err(trouble) => {
                let note = format!("Failed to create pod sandbox: {}", trouble.message);
                self.teller.warning("FailedCreatePodSandBox", note);
                let now = self.shared.now();
                self.facts.network.fail(trouble.reason, trouble.message, now);
            }
        }
    }

    fn prepared(&mut self, result: Result<std::collections::BTreeMap<String, podspec::Volume>, Trouble>) {
        match result {
            Ok(volumes) => {
                self.entry.set_claims(work::claims(&self.shared, &volumes));
                self.volumes = volumes;
                self.facts.projected_at = Some(self.shared.now());
                self.facts.volumes = Stage::Ready(());
            }
            Err(trouble) => {
                self.teller.warning("FailedMount", trouble.message.clone());
                let now = self.shared.now();
                self.facts.volumes.fail(trouble.reason, trouble.message, now);
            }
        }
    }

    /// Files that could not be made anew stay as they are, as the kubelet leaves them.
    fn refreshed(&mut self, result: Result<(), Trouble>) {
        self.facts.projected_at = Some(self.shared.now());
        if let Err(trouble) = result {
            self.teller.warning("FailedMount", trouble.message);
        }
    }

    /// A pull has come further.
    pub(super) fn pulls(&mut self, name: &str, words: String) {
        if self.ops.has(&Op::Image(name.to_owned())) {
            self.facts.entry(name).pulling = words;
        }
    }

    fn fetched(&mut self, name: &str, result: Result<std::sync::Arc<crate::images::Local>, Trouble>) {
        let now = self.shared.now();
        self.facts.entry(name).pulling = String::new();
        match result {
            Ok(local) => {
                self.entry.set_image(name, &local.id);
                self.facts.entry(name).image = Stage::Ready(Image { id: local.id.clone() });
                self.images.insert(name.to_owned(), local);
            }
            Err(trouble) => {
                let image = self.spec.container(name).map(|spec| spec.image.clone()).unwrap_or_default();
                let note = format!("Failed to pull image {image:?}: {}", trouble.message);
                self.teller.of(name, true, "Failed", note);
                self.teller.of(name, true, "Failed", format!("Error: {}", trouble.reason));
                self.facts.entry(name).image.fail(trouble.reason, trouble.message, now);
            }
        }
    }

    fn started(&mut self, name: &str, result: Result<Box<runtime::Container>, start::Failed>) {
        match result {
            Ok(container) => {
                self.keep(name, *container);
                self.teller.of(name, false, "Created", format!("Created container: {name}"));
                self.teller.of(name, false, "Started", format!("Started container {name}"));
                self.save();
            }
            Err(start::Failed::Refused(message)) => {
                self.facts.entry(name).unmade(reason::CONFIG, message.clone(), self.shared.now());
                self.fail("Forbidden", message);
            }
            Err(start::Failed::Waiting(trouble)) => {
                self.teller.of(name, true, "Failed", format!("Error: {}", trouble.message));
                let now = self.shared.now();
                self.facts.entry(name).unmade(trouble.reason, trouble.message, now);
            }
            Err(start::Failed::Runtime(failure)) => self.start_failed(name, failure),
        }
    }

    /// The runtime made nothing that runs: either nothing is left (create) or a run that ended at once.
    pub(super) fn start_failed(&mut self, name: &str, failure: StartFailure) {
        self.teller.of(name, true, "Failed", format!("Error: {}", failure.message));
        let now = self.shared.now();
        if failure.reason == reason::CREATE {
            self.facts.entry(name).unmade(reason::CREATE, failure.message, now);
            return;
        }
        let image_id = self.image_id(name);
        let at = time(&failure.at).unwrap_or(now);
        let exit = Exit {
            id: work::id_text(&self.run_id(name)),
            image_id,
            code: failure.exit_code,
            signal: 0,
            reason: reason::CANNOT_RUN.to_owned(),
            message: failure.message,
            started_at: Some(at),
            finished_at: at,
        };
        self.finish(name, exit);
    }

    /// A run ended, now or while nobody looked.
    pub(super) fn ended(&mut self, name: &str, exit: &runtime::Exit, message: String) {
        let now = self.shared.now();
        let reason = match exit.exit_code {
            _ if exit.lost => reason::UNKNOWN,
            _ if exit.oom_killed => reason::OOM,
            0 => reason::COMPLETED,
            _ => reason::ERROR,
        };
        let run = self.facts.container(name).run().map(|run| run.id.clone()).filter(|id| !id.is_empty());
        let exit = Exit {
            id: run.unwrap_or_else(|| work::id_text(&self.run_id(name))),
            image_id: self.image_id(name),
            code: exit.exit_code,
            signal: exit.signal.unwrap_or_default(),
            reason: reason.to_owned(),
            message,
            started_at: time(&exit.started_at),
            finished_at: time(&exit.finished_at).unwrap_or(now),
        };
        self.finish(name, exit);
    }

    fn finish(&mut self, name: &str, exit: Exit) {
        let again = self.spec.container(name).is_some_and(|spec| spec.pull == lifecycle::pod::Pull::Always);
        self.facts.entry(name).exited(exit, again);
        self.stop_probes(name);
        self.containers.remove(name);
        if let Some(path) = work::start::kept_layer(&self.shared.paths, &self.pod, name) {
            self.shared.registry.layers.release(&path, &self.uid);
        }
        self.stops.remove(name);
        self.ops.cancel(&Op::Stop(name.to_owned()));
        self.ops.cancel(&Op::Hook(name.to_owned()));
        if self.entry.container(name).is_none() {
            self.entry.started(name, self.live(name, None));
        }
        self.entry.ended(name);
        self.save();
    }

    fn hooked(&mut self, name: &str, result: Result<(), String>) {
        let entry = self.facts.entry(name);
        match result {
            Ok(()) => entry.post_start = Hook::Done,
            Err(message) => {
                entry.post_start = Hook::Failed;
                self.teller.of(name, true, "FailedPostStartHook", message);
            }
        }
        self.save();
    }

    fn wrote(&mut self, status: k8s_openapi::api::core::v1::PodStatus, written: work::api::Written) {
        match written {
            work::api::Written::Done => self.written = status,
            work::api::Written::Gone => {
                self.gone = true;
                self.written = status;
            }
            work::api::Written::Later(message) => {
                tracing::warn!(pod = %self.spec.title, message, "status not written");
                self.paused_until.insert(Op::Status, self.shared.now() + RETRY);
            }
        }
    }

    fn detached(&mut self, op: &Op, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.facts.network = Stage::Absent;
                self.attachment = None;
                self.entry.set_address(None);
            }
            Err(message) => self.put_off(op, "FailedKillPod", &message),
        }
    }

    fn freed(&mut self, op: &Op, result: Result<(), String>) {
        match result {
            Ok(()) => self.facts.freed = true,
            Err(message) => self.put_off(op, "FailedKillPod", &message),
        }
    }

    fn cleaned(&mut self, op: &Op, result: Result<(), String>) {
        match result {
            Ok(()) => self.facts.cleaned = true,
            Err(message) => self.put_off(op, "FailedKillPod", &message),
        }
    }

    fn deleted(&mut self, op: &Op, result: Result<(), String>) {
        match result {
            Ok(()) => self.gone = true,
            Err(message) => self.put_off(op, "FailedKillPod", &message),
        }
    }

    fn recorded(&mut self, op: &Op, result: std::io::Result<()>) {
        if let Err(error) = result {
            tracing::warn!(pod = %self.spec.title, %error, "record not written");
            self.unsaved = true;
            self.paused_until.insert(op.clone(), self.shared.now() + RETRY);
        }
    }

    fn put_off(&mut self, op: &Op, event: &str, message: &str) {
        tracing::warn!(pod = %self.spec.title, ?op, message, "will be tried again");
        self.teller.warning(event, format!("error killing pod: {message}"));
        self.paused_until.insert(op.clone(), self.shared.now() + RETRY);
    }

    pub(super) fn evict(&mut self, message: String) {
        self.teller.warning(reason::EVICTED, message.clone());
        self.fail(reason::EVICTED, message);
    }

    /// The Pod has failed for good.
    pub(super) fn fail(&mut self, reason: &str, message: String) {
        if self.facts.verdict.is_none() {
            self.facts.verdict = Some(Verdict { reason: reason.to_owned(), message });
            self.save();
        }
    }

    pub(super) fn apply_probe(&mut self, probed: &Probed) {
        let name = &probed.container;
        let key = (name.clone(), probed.kind);
        let Some(spec) = self.spec.container(name) else { return };
        let Some(probe) = spec.probe(probed.kind).copied().filter(|_| self.probing.contains_key(&key)) else {
            return;
        };
        if let Err(message) = &probed.result {
            let note = format!("{} probe failed: {message}", probed.kind.title());
            self.teller.of(name, true, "Unhealthy", note);
        }
        self.facts.entry(name).counter(probed.kind).observe(probed.result.is_ok(), &probe);
    }

    fn image_id(&self, name: &str) -> String {
        let facts = self.facts.container(name);
        let run = facts.run().map(|run| run.image_id.clone());
        run.or_else(|| facts.image.ready().map(|image| image.id.clone())).unwrap_or_default()
    }

    fn run_id(&self, name: &str) -> String {
        runtime::container_id(&self.uid, name, self.record.run_of(name))
    }
}

/// The words of the event that says why a container is stopped.
pub(super) fn killing(name: &str, cause: &StopCause) -> String {
    match cause {
        StopCause::PodEnds => format!("Stopping container {name}"),
        StopCause::Probe(kind) => {
            format!("Container {name} failed {} probe, will be restarted", kind.title().to_lowercase())
        }
        StopCause::Hook => format!("FailedPostStartHook: container {name} will be restarted"),
        StopCause::Changed => format!("Container {name} definition changed, will be restarted"),
    }
}
