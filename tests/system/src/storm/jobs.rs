//! Pods that print numbered lines and end with a code of their own: also while the agent is dead.

use crate::storm::{Dice, Seen, Signals, ledger::only_container};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::{
    Api,
    api::{DeleteParams, LogParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Jobs that exist at a time.
const HELD: usize = 4;

/// One Pod.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name, never used twice.
    pub name: String,
    /// Lines that it prints.
    pub lines: u64,
    /// What it ends with.
    pub code: i32,
    /// Whether the server said that it is written.
    pub acknowledged: bool,
    /// Whether its end and its log were checked, so that it may be deleted.
    pub checked: bool,
}

/// The client that makes them and checks their ends.
pub(crate) struct Clerk {
    /// Its choices.
    pub(crate) dice: Dice,
    /// The jobs.
    pub(crate) jobs: Arc<Mutex<Vec<Job>>>,
    /// What it watches.
    pub(crate) seen: Arc<Mutex<Seen>>,
    /// What it shares with the others.
    pub(crate) signals: Signals,
    /// How it asks.
    pub(crate) client: kube::Client,
}

// === impl Clerk ===

impl Clerk {
    /// Works until the agent is killed or something surprising happened.
    pub(crate) async fn run(mut self) {
        while !self.signals.killed() && self.signals.complaints().is_empty() {
            if self.jobs.lock().len() < HELD {
                self.create().await;
            }
            self.check().await;
            let pause = self.dice.pause(20, 120);
            tokio::time::sleep(pause).await;
        }
    }

    async fn create(&mut self) {
        let job = Job {
            name: format!("job-{:08x}", self.dice.below(1 << 32)),
            lines: 5 + self.dice.below(60),
            code: i32::try_from(self.dice.below(3) * 11).unwrap_or_default(),
            acknowledged: false,
            checked: false,
        };
        let class = if self.dice.chance(20) { "gvisor" } else { "runc" };
        let wanted = job.pod(class);
        let name = job.name.clone();
        self.jobs.lock().push(job);
        let (api, params) = (self.api(), PostParams::default());
        let created = match self.signals.answered(api.create(&params, &wanted)).await {
            Ok(created) => created,
            Err(slow) => return self.signals.lost(&format!("create {name}"), &slow).await,
        };
        match created {
            Ok(_) => self
                .jobs
                .lock()
                .iter_mut()
                .filter(|job| job.name == name)
                .for_each(|job| job.acknowledged = true),
            Err(kube::Error::Api(status)) => {
                self.signals.complain(format!("create {name} refused: {status:?}"))
            }
            Err(error) => self.signals.lost(&format!("create {name}"), &error).await,
        }
    }

    /// Checks the ends of jobs that ended, and deletes them.
    pub(crate) async fn check(&self) {
        let jobs = self.jobs.lock().clone();
        for mut job in jobs {
            let pod = self.seen.lock().pods.get(&job.name).cloned();
            let Some(pod) = pod else { continue };
            if let Some(end) = ended(&pod)
                && !job.checked
            {
                match self.judge(&job, &pod, end).await {
                    Ok(()) => job.checked = true,
                    Err(Some(wrong)) => return self.signals.complain(wrong),
                    Err(None) => return,
                }
                self.jobs
                    .lock()
                    .iter_mut()
                    .filter(|one| one.name == job.name)
                    .for_each(|one| one.checked = true);
            }
            if job.checked && self.delete(&job.name).await {
                self.jobs.lock().retain(|one| one.name != job.name);
            }
        }
    }

    /// `Err(None)` where the server did not answer.
    async fn judge(
        &self,
        job: &Job,
        pod: &Pod,
        end: &ContainerStateTerminated,
    ) -> Result<(), Option<String>> {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let right = if job.code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
        let restarts = only_container(pod).map_or(0, |status| status.restart_count);
        if (end.exit_code, phase.as_str(), end.reason.as_deref(), restarts)
            != (job.code, right.0, Some(right.1), 0)
        {
            return Err(Some(format!(
                "{} must end with {} and {right:?}: {phase} {end:?}",
                job.name, job.code
            )));
        }
        let (api, params) = (self.api(), LogParams::default());
        let log = match self
            .signals
            .answered(api.logs(&job.name, &params))
            .await
            .unwrap_or_else(|slow| Err(kube::Error::Service(slow.into())))
        {
            Ok(log) => log,
            Err(kube::Error::Api(status)) => return Err(Some(format!("log of {}: {status:?}", job.name))),
            Err(error) => {
                self.signals.lost(&format!("log of {}", job.name), &error).await;
                return Err(None);
            }
        };
        if log != job.log() {
            // A stream that the kill cut short is no lost line.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let cut = self.signals.killed() && job.log().starts_with(&log);
            return Err((!cut)
                .then(|| format!("{}: {} lines were printed and the log is {log:?}", job.name, job.lines)));
        }
        Ok(())
    }

    async fn delete(&self, name: &str) -> bool {
        let (api, params) = (self.api(), DeleteParams::default());
        let deleted = self.signals.answered(api.delete(name, &params)).await;
        match deleted.unwrap_or_else(|slow| Err(kube::Error::Service(slow.into()))) {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 404 => true,
            Err(kube::Error::Api(status)) => {
                self.signals.complain(format!("delete {name} refused: {status:?}"));
                false
            }
            Err(error) => {
                self.signals.lost(&format!("delete {name}"), &error).await;
                false
            }
        }
    }

    fn api(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }
}

fn ended(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let phase = pod.status.as_ref()?.phase.as_deref()?;
    let state = only_container(pod)?.state.as_ref()?;
    state.terminated.as_ref().filter(|_| matches!(phase, "Succeeded" | "Failed"))
}

// === impl Job ===

impl Job {
    fn log(&self) -> String {
        (0..self.lines).map(|line| format!("line {line}\n")).collect()
    }

    fn pod(&self, class: &str) -> Pod {
        let script = format!(
            "i=0; while [ $i -lt {} ]; do echo line $i; i=$((i+1)); sleep 0.03; done; exit {}",
            self.lines, self.code
        );
        let object = json!({
            "metadata": { "name": self.name },
            "spec": {
                "runtimeClassName": class, "restartPolicy": "Never", "automountServiceAccountToken": false,
                "containers": [{ "name": "job", "image": "agent-sandbox/host", "command": ["sh", "-c", script] }],
            }
        });
        serde_json::from_value(object).expect("a Pod")
    }
}
