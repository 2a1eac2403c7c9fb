//! How an actor begins: with what the record and the runtime say of a Pod that was here before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::pod::{Exit, Facts, Network, Running, Stage, State, Stopping};
use runtime::Adopted;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Actor, Ops, Outcome, spec_of};
use crate::actor::ops::Op;
use crate::record::{Keeper, Record};
use crate::registry;
use crate::shared::Shared;
use crate::work::{self, Pause};

/// How soon a container that could not be taken over is tried again, doubling up to the second.
const ADOPT_FIRST: Duration = Duration::from_millis(100);
const ADOPT_MAX: Duration = Duration::from_secs(10);

impl Actor {
    /// The actor of a Pod, with the record of an earlier one if there is any.
    pub(crate) fn new(shared: Arc<Shared>, pod: Arc<Pod>, record: Option<Record>) -> Self {
        let now = shared.now();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let written = pod.status.clone().unwrap_or_default();
        let spec = spec_of(&pod);
        let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.clone());
        let mut driver = shared.driver(class.as_deref());
        let mut facts = match &record {
            Some(record) => record.facts(),
            None => Facts::recover(&written, now),
        };
        facts.accepted_at = facts.accepted_at.or(Some(now));
        let (namespace, name) = names(&pod);
        if let Some(record) = &record {
            driver = Ok(record.driver);
        }
        let chosen = driver.clone().unwrap_or(shared.config.default_driver);
        let record = record.unwrap_or_else(|| Record::new(&namespace, &name, chosen));
        let keeper = Keeper::new(shared.paths.record(&uid));
        let entry = registry::Pod::new(&uid, chosen);
        shared.registry.insert(&namespace, &name, Arc::clone(&entry));
        Self {
            teller: shared.teller(&pod),
            shared,
            uid,
            pod,
            spec,
            facts,
            record,
            keeper,
            unsaved: false,
            driver,
            written,
            stale_since: None,
            gone: false,
            paused_until: Default::default(),
            attachment: None,
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            containers: BTreeMap::new(),
            pause: Arc::new(Pause::default()),
            stops: BTreeMap::new(),
            probes: JoinSet::new(),
            probing: Default::default(),
            probed: mpsc::channel(16),
            pulling: mpsc::channel(16),
            entry,
            named: None,
            backing_off: Default::default(),
            ops: Ops::default(),
            next_disk: None,
        }
    }

    /// Takes over containers that still run, and the true end of those that do not.
    pub(super) async fn adopt(&mut self) {
        if let Some(address) = self.shared.network.addresses().get(&self.uid).copied() {
            self.facts.network = Stage::Ready(Network { ips: vec![address.to_string()] });
            self.entry.set_address(Some(address));
        } else if let Err(error) = self.shared.network.detach(&self.uid).await {
            // A crash between making or removing an interface and its namespace leaves the one without the other.
            tracing::warn!(pod = %self.spec.title, %error, "half a network is not removed");
        }
        let ran: Vec<String> =
            self.facts.containers.iter().filter(|(_, c)| c.active()).map(|(n, _)| n.clone()).collect();
        for name in ran {
            self.adopt_one(&name).await;
        }
        self.adopt_logs();
        let spec = self.spec.clone();
        self.facts.adopt_verdicts(&spec, &self.written.clone());
        if let Some((name, run)) = self.record.pause() {
            let dir = self.shared.paths.container(&self.uid, name, run);
            if let Adopted::Running(container) = self.found(name, &dir).await {
                self.pause.adopt(container).await;
            }
        }
    }

    /// Containers that had ended before still have their logs.
    fn adopt_logs(&self) {
        let names = self.facts.containers.keys();
        for name in names.filter(|name| self.record.run_of(name) > 0 && self.entry.container(name).is_none())
        {
            self.entry.started(name, self.live(name, None));
        }
    }

    async fn adopt_one(&mut self, name: &str) {
        let run = self.record.run_of(name);
        let dir = self.shared.paths.container(&self.uid, name, run);
        let now = self.shared.now();
        let starting = self.facts.container(name).run().is_some_and(|run| run.id.is_empty());
        match self.found(name, &dir).await {
            Adopted::Running(container) => {
                if let Some(run) = self.facts.container(name).run() {
                    let held = self.shared.images.hold(&run.image, &run.image_id).await;
                    self.images.extend(held.map(|image| (name.to_owned(), image)));
                }
                self.keep(name, container);
            }
            Adopted::Exited(exit) => {
                let message = work::message(&self.shared, &self.pod, name, &dir, &exit).await;
                self.ended(name, &exit, message);
            }
            Adopted::Failed(failure) => self.start_failed(name, failure),
            // The agent died between noting down the start and making it: nothing ran, so it is started now.
            Adopted::Absent if starting => self.facts.entry(name).state = State::Idle,
            Adopted::Lost(exit) if starting && exit.started_at.is_empty() => {
                self.facts.entry(name).state = State::Idle;
            }
            Adopted::Lost(_) | Adopted::Absent => {
                let id = self.facts.container(name).run().map(|run| run.id.clone());
                self.facts.entry(name).exited(Exit::unseen(id.as_deref(), now), false);
            }
        }
    }

    /// What the runtime says of a run. As long as it cannot say, the container may be alive, and nothing may take its place.
    async fn found(&self, name: &str, dir: &std::path::Path) -> Adopted {
        let mut wait = ADOPT_FIRST;
        loop {
            match self.shared.runtimes.adopt(dir).await {
                Ok(adopted) => return adopted,
                Err(error) => {
                    tracing::warn!(pod = %self.spec.title, container = name, %error, "cannot be taken over yet");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(ADOPT_MAX);
        }
    }

    /// A container that runs, adopted or just started.
    pub(super) fn keep(&mut self, name: &str, container: runtime::Container) {
        let started_at = container.started_at().parse().unwrap_or_else(|_| self.shared.now());
        let id = work::container_id(&container);
        let entry = self.facts.entry(name);
        match &mut entry.state {
            State::Stopping(Stopping { run, .. }) | State::Running(run) => {
                run.id = id;
                run.started_at = started_at;
            }
            _ => {
                let image = self.spec.container(name).map(|spec| spec.image.clone()).unwrap_or_default();
                let image_id = entry.image.ready().map(|image| image.id.clone()).unwrap_or_default();
                entry.started(Running { id, image, image_id, started_at });
            }
        }
        if let Some(path) = work::start::kept_layer(&self.shared.paths, &self.pod, name) {
            self.shared.registry.layers.hold(path, &self.uid);
        }
        self.watch_over(name, container);
    }

    /// Waits for the container's end, and lets clients reach it.
    fn watch_over(&mut self, name: &str, container: runtime::Container) {
        self.entry.started(name, self.live(name, Some(container.clone())));
        self.containers.insert(name.to_owned(), container.clone());
        let (shared, pod, owned) = (Arc::clone(&self.shared), Arc::clone(&self.pod), name.to_owned());
        self.ops.start(Op::Wait(name.to_owned()), async move {
            let exit = work::wait(&container).await;
            let message = work::message(&shared, &pod, &owned, container.dir(), &exit).await;
            Outcome::Exited(owned, exit, message)
        });
    }

    pub(super) fn live(&self, name: &str, container: Option<runtime::Container>) -> registry::Live {
        let spec = work::find(&self.pod, name);
        let restarts = self.facts.container(name).restarts;
        let log = |attempt| self.shared.paths.log(&self.uid, name, attempt);
        registry::Live {
            running: tokio::sync::watch::Sender::new(container.is_some()),
            container,
            logs: (0..=restarts).rev().take(2).map(log).collect(),
            tty: spec.is_some_and(|spec| spec.tty.unwrap_or_default()),
            stdin: spec.is_some_and(|spec| spec.stdin.unwrap_or_default()),
        }
    }
}

pub(super) fn names(pod: &Pod) -> (String, String) {
    let meta = &pod.metadata;
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// A time of the supervisor's.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
