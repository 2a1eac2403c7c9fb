//! Rounds of load, kill, restart and judgement.

use crate::{
    Machine,
    storm::{
        Dice, Disk, Job, Objects, PHASES, Phase, Seen, Signals, Slot, View, Wanted, Worker, client,
        jobs::Clerk,
        owned::{rules, unowned},
    },
};
use crd::v1beta1::Sandbox;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Runtime, task::JoinSet};

/// Clients that write Sandboxes, beside the one that runs jobs.
const CLIENTS: u64 = 4;
/// Longest time in which everything has to be carried out once the load stops.
const CALM: Duration = Duration::from_secs(120);

/// A load on an installation that is killed under it again and again.
pub struct Storm<'a> {
    machine: &'a Machine,
    runtime: Runtime,
    seed: u64,
    dice: Dice,
    id: String,
    rules: String,
    disk: Disk,
    slots: Vec<Arc<Mutex<Vec<Slot>>>>,
    jobs: Arc<Mutex<Vec<Job>>>,
    deleted: BTreeSet<String>,
    hits: BTreeMap<Phase, u32>,
    kept: u32,
    restarts: Vec<Duration>,
}

// === impl Storm ===

impl<'a> Storm<'a> {
    /// A storm over a running installation.
    ///
    /// # Panics
    /// The installation's table of rules cannot be read.
    pub fn new(machine: &'a Machine, seed: u64) -> Self {
        let id = machine.residue().id().to_owned();
        let disk = Disk::new(machine.data(), &id);
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime"),
            seed,
            dice: Dice::new(seed, 0),
            rules: rules(&id),
            id,
            disk,
            machine,
            slots: (0..CLIENTS).map(|_| Arc::default()).collect(),
            jobs: Arc::default(),
            deleted: BTreeSet::new(),
            hits: BTreeMap::new(),
            kept: 0,
            restarts: Vec::new(),
        }
    }

    /// How often each phase was hit, in the order of [`PHASES`].
    pub fn hits(&self) -> Vec<(Phase, u32)> {
        PHASES.iter().map(|phase| (*phase, self.hits.get(phase).copied().unwrap_or_default())).collect()
    }

    /// How many running containers were held against what they were before a kill.
    pub fn kept(&self) -> u32 {
        self.kept
    }

    /// How long each `up` took until it served.
    pub fn restarts(&self) -> &[Duration] {
        &self.restarts
    }

    /// Loads, kills, starts again and judges.
    ///
    /// # Errors
    /// Everything that must not have happened.
    pub fn round(&mut self, number: u64) -> Result<(), Vec<String>> {
        let signals = Signals::default();
        let (wait, aim) = (self.dice.pause(100, 1200), self.aim());
        let pid = self.machine.pid();
        let (seen, phases) = self.runtime.block_on(self.load(number, wait, aim, pid, &signals));
        for phase in phases {
            *self.hits.entry(phase).or_default() += 1;
        }
        self.note(&seen);
        let started = Instant::now();
        self.machine.start().ok();
        self.restarts.push(started.elapsed());
        let mut wrong = signals.complaints();
        let handle = self.runtime.handle().clone();
        wrong.extend(handle.block_on(self.judge()));
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Every other kill waits for the phase that was hit least, so that short ones get their turn too.
    fn aim(&mut self) -> Option<Phase> {
        let rare = self.hits().into_iter().min_by_key(|(_, count)| *count).map(|(phase, _)| phase);
        rare.filter(|_| self.dice.chance(60))
    }

    async fn load(
        &self,
        number: u64,
        wait: Duration,
        aim: Option<Phase>,
        pid: i32,
        signals: &Signals,
    ) -> (Seen, Vec<Phase>) {
        let client = client(&self.machine.kubeconfig()).await;
        let mut view = View::open(&client).await;
        let mut clients = JoinSet::new();
        for (index, slots) in (0_u64..).zip(&self.slots) {
            let worker = Worker {
                prefix: format!("s{index}"),
                dice: Dice::new(self.seed, number * 100 + index + 1),
                slots: Arc::clone(slots),
                seen: view.seen(),
                disk: self.disk.clone(),
                signals: signals.clone(),
                client: client.clone(),
            };
            clients.spawn(worker.run());
        }
        let dice = Dice::new(self.seed, number * 100 + 50);
        let (jobs, seen) = (Arc::clone(&self.jobs), view.seen());
        clients.spawn(Clerk { dice, jobs, seen, signals: signals.clone(), client: client.clone() }.run());
        tokio::time::sleep(wait).await;
        if let Some(phase) = aim {
            self.await_phase(phase, &view, signals).await;
        }
        signals.announce_kill();
        let phases = self.strike(pid, &view.seen());
        let seen = view.freeze().await;
        while clients.join_next().await.is_some() {}
        (seen, phases)
    }

    /// Kills the agent, and says in which phases that was. No client notes anything down in between.
    fn strike(&self, pid: i32, seen: &Mutex<Seen>) -> Vec<Phase> {
        let slots: Vec<_> = self.slots.iter().map(|slots| slots.lock()).collect();
        let seen = seen.lock();
        kill(pid);
        let all = slots.iter().flat_map(|slots| slots.iter());
        all.flat_map(|slot| slot.phases(&seen, &self.disk)).collect()
    }

    /// Returns as soon as anything is in the phase, or after a while.
    async fn await_phase(&self, phase: Phase, view: &View, signals: &Signals) {
        let (seen, started) = (view.seen(), Instant::now());
        while started.elapsed() < Duration::from_secs(2) && signals.complaints().is_empty() {
            let hit = self.slots.iter().any(|slots| {
                let slots = slots.lock();
                let seen = seen.lock();
                slots.iter().any(|slot| slot.phases(&seen, &self.disk).contains(&phase))
            });
            if hit {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// With the agent dead: which processes must be found again.
    fn note(&mut self, seen: &Seen) {
        for slots in &self.slots {
            for slot in slots.lock().iter_mut() {
                slot.arrived(seen, &self.disk);
                if slot.kept.is_none() {
                    slot.kept = slot.identify(seen, &self.disk);
                }
            }
        }
    }

    async fn judge(&mut self) -> Vec<String> {
        let client = client(&self.machine.kubeconfig()).await;
        let mut wrong = Vec::new();
        let sandboxes = list::<Sandbox>(&client).await;
        let pods = list::<Pod>(&client).await;
        for slots in &self.slots {
            let mut slots = slots.lock();
            for slot in slots.iter_mut() {
                wrong.extend(slot.settle(sandboxes.get(&slot.name)).err());
                wrong.extend(self.disk.changed(slot, pods.get(&slot.name)));
                self.kept += u32::from(slot.kept.is_some());
            }
            let over =
                slots.extract_if(.., |slot| slot.certain() == Some(Wanted::Absent) && slot.change.is_none());
            self.deleted.extend(over.map(|slot| slot.name));
        }
        for (name, sandbox) in &sandboxes {
            if self.deleted.contains(name) && sandbox.metadata.deletion_timestamp.is_none() {
                wrong.push(format!("{name} was deleted and is there again"));
            }
        }
        self.jobs.lock().retain(|job| {
            let there = pods.contains_key(&job.name);
            if job.acknowledged && !there && !job.checked {
                wrong.push(format!("{}: acknowledged, and not there after the restart", job.name));
            }
            there
        });
        wrong
    }

    /// Lets everything arrive and checks that nothing is on the host that no object owns.
    ///
    /// # Errors
    /// What did not arrive, what nobody owns.
    pub fn calm(&mut self) -> Result<(), Vec<String>> {
        let signals = Signals::default();
        self.runtime.block_on(async {
            let client = client(&self.machine.kubeconfig()).await;
            let view = View::open(&client).await;
            let clerk = Clerk {
                dice: self.dice.clone(),
                jobs: Arc::clone(&self.jobs),
                seen: view.seen(),
                signals: signals.clone(),
                client: client.clone(),
            };
            let started = Instant::now();
            loop {
                clerk.check().await;
                let mut late = signals.complaints();
                late.extend(self.late(&view.seen().lock()));
                if late.is_empty() {
                    late = self.unowned(&client).await;
                }
                if late.is_empty() {
                    return Ok(());
                }
                if started.elapsed() > CALM || !signals.complaints().is_empty() {
                    return Err(late);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }

    fn late(&self, seen: &Seen) -> Vec<String> {
        let mut late: Vec<String> = self
            .jobs
            .lock()
            .iter()
            .map(|job| {
                format!(
                    "{} did not end: {:?}",
                    job.name,
                    seen.pods.get(&job.name).and_then(|pod| pod.status.clone())
                )
            })
            .collect();
        for slots in &self.slots {
            let mut slots = slots.lock();
            let waiting = slots.iter_mut().filter_map(|slot| {
                let arrived = slot.arrived(seen, &self.disk);
                let status = seen.sandboxes.get(&slot.name).and_then(|sandbox| sandbox.status.clone());
                let pod = seen.pods.get(&slot.name).map(|pod| (pod.metadata.clone(), pod.status.clone()));
                (!arrived).then(|| format!("not carried out: {slot:?} {status:?} {pod:?}"))
            });
            late.extend(waiting);
        }
        late
    }

    async fn unowned(&self, client: &kube::Client) -> Vec<String> {
        let pods = list::<Pod>(client).await;
        let sandboxes = list::<Sandbox>(client).await;
        let volumes: Vec<PersistentVolume> =
            Api::all(client.clone()).list(&ListParams::default()).await.expect("list").items;
        let pods: BTreeSet<String> = pods.values().filter_map(kube::ResourceExt::uid).collect();
        let owners =
            pods.iter().cloned().chain(sandboxes.values().filter_map(kube::ResourceExt::uid)).collect();
        let volumes = volumes.iter().map(kube::ResourceExt::name_any).collect();
        let mut left = unowned(&self.machine.data(), &self.id, &Objects { pods, owners, volumes });
        let now = rules(&self.id);
        if now != self.rules {
            left.push(format!("nftables rules are not what they were: {now}"));
        }
        left
    }

    /// Deletes everything and checks that nothing at all is left.
    ///
    /// # Errors
    /// What is left.
    pub fn clear(&mut self) -> Result<(), Vec<String>> {
        self.runtime.block_on(async {
            let client = client(&self.machine.kubeconfig()).await;
            let sandboxes: Api<Sandbox> = Api::default_namespaced(client.clone());
            let all = sandboxes.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
            all.expect("delete all Sandboxes");
            let started = Instant::now();
            loop {
                let mut left: Vec<String> = list::<Sandbox>(&client).await.into_keys().collect();
                left.extend(list::<Pod>(&client).await.into_keys());
                left.extend(list::<PersistentVolumeClaim>(&client).await.into_keys());
                left.extend(unowned(&self.machine.data(), &self.id, &Objects::default()));
                if left.is_empty() {
                    return Ok(());
                }
                if started.elapsed() > CALM {
                    return Err(left);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }
}

// === impl Disk ===

impl Disk {
    /// Whether a process that had to stay is another one now.
    fn changed(&self, slot: &Slot, pod: Option<&Pod>) -> Option<String> {
        let before = slot.kept.as_ref()?;
        let now = pod.and_then(|pod| crate::storm::Identity::of(pod, self));
        (now.as_ref() != Some(before))
            .then(|| format!("{} was {before:?} before the kill and is {now:?}", slot.name))
    }
}

async fn list<K>(client: &kube::Client) -> BTreeMap<String, K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::default_namespaced(client.clone());
    let items = api.list(&ListParams::default()).await.expect("list after the restart").items;
    items.into_iter().map(|object| (object.name_any(), object)).collect()
}

fn kill(pid: i32) {
    let process = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("kill the agent");
    let started = Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}/exe")).exists() {
        assert!(started.elapsed() < Duration::from_secs(10), "the agent survives kill -9");
        std::thread::sleep(Duration::from_millis(1));
    }
}
