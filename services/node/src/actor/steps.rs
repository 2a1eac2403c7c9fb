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
use crate::record::Page;
use crate::work;

impl Actor {
    /// Starts one step unless it is under way or put off. True if it changed facts at once, so that the plan is stale.
    pub(super) fn execute(&mut self, step: Step, now: Timestamp) -> bool {
        match step {
            Step::AttachNetwork => self.attach(now),
            Step::PrepareVolumes => self.prepare(now),
            Step::RefreshVolumes => self.refresh_volumes(),
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
            Step::WriteStatus(status) => return self.write(*status, now),
            Step::DetachNetwork => self.detach(now),
            Step::FreeDisk => self.free(now),
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
        // As in the kubelet: a Pod that is already here is not turned away.
        if self.shared.disk.is_pressed() && self.facts.containers.is_empty() {
            self.teller.warning(reason::EVICTED, lifecycle::disk::REJECTED);
            self.fail(reason::EVICTED, lifecycle::disk::REJECTED.to_owned());
            return;
        }
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
        // The same with the sandbox's ids, which come with the address and which a file system in memory is made with.
        let slot = self.attachment.as_ref().map(|attachment| attachment.slot).or(self.record.slot);
        if slot.is_none() && work::has_memory(&pod) {
            return;
        }
        let first_id = work::start::first_id(self.record.driver, slot.unwrap_or_default());
        self.ops.start(Op::Volumes, async move {
            Outcome::Volumes(work::volumes(&shared, &pod, &ips, first_id).await)
        });
    }

    fn refresh_volumes(&mut self) {
        let (shared, pod) = (Arc::clone(&self.shared), Arc::clone(&self.pod));
        let ips = self.facts.network.ready().map(|network| network.ips.clone()).unwrap_or_default();
        self.ops.start(Op::Refresh, async move {
            Outcome::Refreshed(work::refresh_volumes(&shared, &pod, &ips).await)
        });
    }

    fn fetch(&mut self, container: &str) {
        let Some(spec) = self.spec.container(container) else { return };
        let request = work::image::Request {
            container: container.to_owned(),
            reference: spec.image.clone(),
            pull: spec.pull,
            pod: Arc::clone(&self.pod),
            teller: self.teller.clone(),
            progress: self.pulling.0.clone(),
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
            self.record.next_pause();
        }
        let (pause_name, pause_run) = self.record.pause().unwrap_or((work::start::PAUSE, 0));
        // The run's number has to be on disk before anything is made under it.
        let record = self.page();
        let request = work::start::Request {
            record,
            pod: Arc::clone(&self.pod),
            name: name.to_owned(),
            run,
            restarts: self.facts.container(name).restarts,
            image,
            attachment,
            volumes: self.volumes.clone(),
            driver: self.record.driver,
            pause: Arc::clone(&self.pause),
            pause_name,
            pause_run,
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
        let asked =
            work::find(&self.pod, name).and_then(|asked| asked.lifecycle.as_ref()?.stop_signal.clone());
        let signal = asked.or_else(|| self.images.get(name)?.stop_signal.clone());
        let (teller, name) = (self.teller.clone(), name.to_owned());
        self.ops.start(op, async move {
            let stopped = work::stop(&container, &name, hook, signal.as_deref(), left, &teller).await;
            Outcome::Stopped(name, stopped)
        });
        fresh
    }

    /// True if there is no object any more, so that nothing has to be waited for.
    fn write(&mut self, status: k8s_openapi::api::core::v1::PodStatus, now: Timestamp) -> bool {
        if self.gone {
            self.written = status;
            return true;
        }
        if self.is_put_off(&Op::Status, now) {
            return false;
        }
        let (client, pod) = (self.shared.client.clone(), Arc::clone(&self.pod));
        let old = self.written.clone();
        self.ops.start(Op::Status, async move {
            let written = work::api::write_status(&client, &pod, &old, &status).await;
            Outcome::Written(Box::new(status), written)
        });
        false
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

    pub(super) fn is_put_off(&self, op: &Op, now: Timestamp) -> bool {
        self.paused_until.get(op).is_some_and(|until| now < *until)
    }

    /// Has the record written soon. What is lost with a crash until then the runtime's own records say, too.
    pub(super) fn save(&mut self) {
        self.unsaved = true;
    }

    /// Hands a changed record over to be written, several changes at once. Of a Pod whose directory goes nothing is kept.
    pub(super) fn keep_record(&mut self) {
        let over = self.facts.cleaned || self.ops.has(&Op::Clean);
        let now = self.shared.now();
        if !self.unsaved || over || self.ops.has(&Op::Record) || self.is_put_off(&Op::Record, now) {
            return;
        }
        let page = self.page();
        self.ops.start(Op::Record, async move {
            let written = tokio::task::spawn_blocking(move || page.write()).await;
            Outcome::Recorded(written.unwrap_or_else(|error| Err(std::io::Error::other(error))))
        });
    }

    fn page(&mut self) -> Page {
        self.unsaved = false;
        let images = self.spec.init.iter().chain(&self.spec.containers);
        let images = images.map(|spec| (spec.name.clone(), spec.image.clone())).collect();
        self.record.update(&self.facts, &images);
        self.keeper.page(&self.record)
    }
}
