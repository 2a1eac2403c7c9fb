//! Carries out the steps of a plan.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifecycle::pod::{ProbeKind, Stage, State, Step, StopCause, reason};
use net::Attach;

use super::adopt::names;
use super::apply::killing;
use super::ops::Op;
use super::{Actor, Outcome};
use crate::work;

impl Actor {
    /// Starts one step unless it is under way or put off. True if it changed facts at once, so that the plan is stale.
    pub(super) fn execute(&mut self, step: Step, now: Timestamp) -> bool {
        match step {
            Step::AttachNetwork => self.attach(now),
            Step::PrepareVolumes => self.prepare(now),
            Step::EnsureImage { container } => self.fetch(&container),
            Step::StartContainer { container, .. } => return self.start(&container, now),
            Step::RunPostStart { container } => self.post_start(container),
            Step::StartProbe { container, kind } => self.start_probe(&container, kind),
            Step::StopProbe { container, kind } => self.stop_probe(&container, kind),
            Step::StopContainer { container, grace, cause, pre_stop } => {
                return self.stop(&container, grace, &cause, pre_stop, now);
            }
            Step::Fail(verdict) => {
                self.teller.warning(&verdict.reason, verdict.message.clone());
                self.fail(&verdict.reason, verdict.message);
                return true;
            }
            Step::WriteStatus(status) => self.write(*status, now),
            Step::DetachNetwork => self.detach(now),
            Step::CleanUp => self.clean(now),
            Step::DeletePod => self.delete(now),
            Step::RequeueAt(_) => {}
        }
        false
    }

    /// Decides which runtime runs the Pod; once chosen it stays.
    pub(super) fn choose_runtime(&mut self, now: Timestamp) {
        let failure = match &self.facts.runtime {
            Stage::Ready(()) => return,
            Stage::Failed(failure) => Some(failure.at + Duration::from_secs(2)),
            Stage::Absent => None,
        };
        if failure.is_some_and(|due| now < due) || self.deletion().is_some() {
            return;
        }
        if self.driver.is_err() {
            let class = self.pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
            self.driver = self.shared.driver(class);
        }
        match self.driver.clone() {
            Ok(driver) => self.accept(driver),
            Err(message) => {
                let note = format!("Failed to create pod sandbox: {message}");
                self.teller.warning("FailedCreatePodSandBox", note);
                self.facts.runtime.fail(reason::SANDBOX, message, now);
            }
        }
    }

    /// Checks what may not run at all, before anything is made.
    fn accept(&mut self, driver: runtime::Driver) {
        self.facts.runtime = Stage::Ready(());
        self.record.driver = driver;
        let checked = podspec::check(&self.pod, &self.shared.policy, work::start::isolation(driver));
        if let Err(refusal) = checked.map_err(|refusal| refusal.to_string())
            && !self.facts.active()
        {
            self.teller.warning("Forbidden", refusal.clone());
            self.fail("Forbidden", refusal);
        }
    }

    fn attach(&mut self, now: Timestamp) {
        if self.is_put_off(&Op::Network, now) {
            return;
        }
        let (namespace, _) = names(&self.pod);
        let request = Attach { uid: self.uid.clone(), namespace, slot: self.record.slot, closed: false };
        let shared = Arc::clone(&self.shared);
        self.ops.start(Op::Network, async move {
            Outcome::Network(work::network::attach(&shared, request).await)
        });
    }

    fn prepare(&mut self, now: Timestamp) {
        if self.is_put_off(&Op::Volumes, now) {
            return;
        }
        let (shared, pod) = (Arc::clone(&self.shared), Arc::clone(&self.pod));
        let ips = self.facts.network.ready().map(|network| network.ips.clone()).unwrap_or_default();
        // The downward API may show the address, so it has to be there first.
        if ips.is_empty() && work::needs_address(&pod) {
            return;
        }
        self.ops
            .start(Op::Volumes, async move { Outcome::Volumes(work::volumes(&shared, &pod, &ips).await) });
    }

    fn fetch(&mut self, container: &str) {
        let Some(spec) = self.spec.container(container) else { return };
        let request = work::image::Request {
            container: container.to_owned(),
            reference: spec.image.clone(),
            pull: spec.pull,
            pod: Arc::clone(&self.pod),
            teller: self.teller.clone(),
        };
        let (shared, name) = (Arc::clone(&self.shared), container.to_owned());
        self.ops.start(Op::Image(name.clone()), async move {
            Outcome::Image(name, work::image::ensure(&shared, request).await)
        });
    }

    fn start(&mut self, name: &str, now: Timestamp) -> bool {
        let op = Op::Start(name.to_owned());
        // After a restart of the agent only the address is known; everything else is made sure of again.
        let (Some(image), Some(attachment)) = (self.images.get(name).cloned(), self.attachment.clone())
        else {
            if !self.images.contains_key(name) {
                self.facts.entry(name).image = Stage::Absent;
            }
            self.attach(now);
            return !self.images.contains_key(name);
        };
        if self.ops.has(&op) || self.ops.has(&Op::Wait(name.to_owned())) {
            return false;
        }
        self.facts.entry(name).begin_start(now);
        let run = self.record.next_run(name);
        if self.record.driver == runtime::Driver::Runsc && self.pause.is_missing() {
            self.record.pause = Some(self.record.next_pause());
        }
        if let Err(error) = self.try_save() {
            let message = format!("cannot write the record of the pod: {error}");
            self.facts.entry(name).unmade(reason::CREATE, message, now);
            return true;
        }
        let request = work::start::Request {
            pod: Arc::clone(&self.pod),
            name: name.to_owned(),
            run,
            restarts: self.facts.container(name).restarts,
            image,
            attachment,
            volumes: self.volumes.clone(),
            driver: self.record.driver,
            pause: Arc::clone(&self.pause),
            pause_run: self.record.pause.unwrap_or_default(),
        };
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        self.ops.start(op, async move {
            let started = work::start::start(&shared, &request).await;
            Outcome::Started(name, started.map(Box::new))
        });
        false
    }

    fn post_start(&mut self, name: String) {
        let Some(container) = self.containers.get(&name).cloned() else { return };
        let (pod, address) = (Arc::clone(&self.pod), self.entry.address());
        self.ops.start(Op::Hook(name.clone()), async move {
            let result = work::hook::post_start(&container, &pod, &name, address).await;
            Outcome::Hooked(name, result)
        });
    }

    fn start_probe(&mut self, name: &str, kind: ProbeKind) {
        let key = (name.to_owned(), kind);
        if self.probing.contains_key(&key) {
            return;
        }
        let (Some(container), Some(address)) = (self.containers.get(name).cloned(), self.entry.address())
        else {
            return;
        };
        let Some(timing) = self.spec.container(name).and_then(|spec| spec.probe(kind)).copied() else {
            return;
        };
        let started_at =
            self.facts.container(name).run().map_or_else(|| self.shared.now(), |run| run.started_at);
        let target = work::probe::Target {
            name: name.to_owned(),
            kind,
            pod: Arc::clone(&self.pod),
            container,
            address,
            timing,
            age: Duration::try_from(self.shared.now().duration_since(started_at)).unwrap_or_default(),
        };
        let handle = self.probes.spawn(work::probe::run(target, self.probed.0.clone()));
        self.probing.insert(key, handle);
    }

    fn stop_probe(&mut self, name: &str, kind: ProbeKind) {
        if let Some(handle) = self.probing.remove(&(name.to_owned(), kind)) {
            handle.abort();
        }
        while self.probes.try_join_next().is_some() {}
    }

    pub(super) fn stop_probes(&mut self, name: &str) {
        ProbeKind::ALL.into_iter().for_each(|kind| self.stop_probe(name, kind));
    }

    fn stop(
        &mut self,
        name: &str,
        grace: Duration,
        cause: &StopCause,
        pre_stop: bool,
        now: Timestamp,
    ) -> bool {
        let Some(container) = self.containers.get(name).cloned() else { return false };
        let entry = self.facts.entry(name);
        let fresh = matches!(entry.state, State::Running(_));
        entry.begin_stop(grace, cause.clone(), now);
        let State::Stopping(stopping) = entry.state.clone() else { return false };
        let deadline = stopping.since + stopping.grace;
        let op = Op::Stop(name.to_owned());
        if self.is_put_off(&op, now) || self.stops.get(name).is_some_and(|known| *known <= deadline) {
            return false;
        }
        // Once told, it is told again only to die sooner; its hook has had its turn.
        let hook = (pre_stop && !self.ops.has(&op)).then(|| (Arc::clone(&self.pod), self.entry.address()));
        self.ops.cancel(&op);
        self.stops.insert(name.to_owned(), deadline);
        if fresh {
            self.teller.of(name, false, "Killing", killing(name, cause));
            ProbeKind::ALL
                .into_iter()
                .filter(|kind| *kind != ProbeKind::Readiness)
                .for_each(|kind| self.stop_probe(name, kind));
            self.save();
        }
        let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
        let signal = self.images.get(name).and_then(|image| image.stop_signal.clone());
        let (teller, name) = (self.teller.clone(), name.to_owned());
        self.ops.start(op, async move {
            let stopped = work::stop(&container, &name, hook, signal.as_deref(), left, &teller).await;
            Outcome::Stopped(name, stopped)
        });
        fresh
    }

    fn write(&mut self, status: k8s_openapi::api::core::v1::PodStatus, now: Timestamp) {
        if self.gone || self.is_put_off(&Op::Status, now) {
            if self.gone {
                self.written = status;
            }
            return;
        }
        let (client, pod) = (self.shared.client.clone(), Arc::clone(&self.pod));
        let old = self.written.clone();
        self.ops.start(Op::Status, async move {
            let written = work::api::write_status(&client, &pod, &old, &status).await;
            Outcome::Written(Box::new(status), written)
        });
    }

    fn detach(&mut self, now: Timestamp) {
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

    fn clean(&mut self, now: Timestamp) {
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

    fn delete(&mut self, now: Timestamp) {
        if self.gone || self.is_put_off(&Op::Delete, now) || self.ops.has(&Op::Status) {
            return;
        }
        let (client, pod) = (self.shared.client.clone(), Arc::clone(&self.pod));
        self.ops.start(Op::Delete, async move { Outcome::Deleted(work::api::delete(&client, &pod).await) });
    }

    pub(super) fn measure(&mut self) {
        let request = work::disk::Request {
            pod: Arc::clone(&self.pod),
            roots: self
                .spec
                .containers
                .iter()
                .chain(&self.spec.init)
                .map(|spec| spec.name.clone())
                .map(|name| {
                    let run = self.record.run_of(&name);
                    (name.clone(), work::start::layer(&self.shared.paths, &self.pod, &name, run), run)
                })
                .collect(),
        };
        let shared = Arc::clone(&self.shared);
        self.ops
            .start(Op::Disk, async move { Outcome::Measured(work::disk::exceeded(&shared, request).await) });
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

    fn is_put_off(&self, op: &Op, now: Timestamp) -> bool {
        self.paused_until.get(op).is_some_and(|until| now < *until)
    }

    /// Writes the record; a failure is logged, and the next write has it all again.
    pub(super) fn save(&mut self) {
        if let Err(error) = self.try_save() {
            tracing::warn!(pod = %self.spec.title, %error, "record not written");
        }
    }

    fn try_save(&mut self) -> std::io::Result<()> {
        if self.facts.cleaned {
            return Ok(());
        }
        let images = self.spec.init.iter().chain(&self.spec.containers);
        let images = images.map(|spec| (spec.name.clone(), spec.image.clone())).collect();
        self.record.update(&self.facts, &images);
        let path = self.shared.paths.record(&self.uid);
        std::fs::create_dir_all(self.shared.paths.pod(&self.uid))?;
        self.record.write(&path)
    }
}
