//! Jobs.

use super::hands::{Hands, Held, about, controller_of};
use super::{WORKERS, remember};
use crate::guarded::outcome;
use crate::view::PodView;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PropagationPolicy;
use kubekit::write::{self, DeleteOptions};
use kubekit::{Board, Change, Key, Outcome, Precondition, Queue, Reader};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use workloads::job::{self, Facts, Plan};
use workloads::ownership::{Owner, controller};

/// The controller.
#[derive(Clone)]
pub(super) struct Jobs {
    hands: Hands,
    queue: Queue<Key>,
    jobs: Reader<Job>,
}

// === impl Jobs ===

impl Jobs {
    pub(super) fn new(hands: Hands, jobs: Reader<Job>) -> Jobs {
        Jobs { hands, queue: Queue::default(), jobs }
    }

    pub(super) fn show(&self, board: &Board) {
        board.show("job", &self.queue);
    }

    pub(super) fn changed(&self, key: &Key) {
        self.queue.add(key.clone());
    }

    pub(super) fn pod_changed(&self, change: &Change<'_, PodView>) {
        for view in change.old.into_iter().chain(change.new) {
            if let Some(owner) = controller_of(view, "batch/", "Job") {
                self.queue.add(Key::new(&change.key.namespace, &owner.name));
            }
        }
    }

    pub(super) async fn run(self, shutdown: CancellationToken) {
        let synced = async { tokio::join!(self.jobs.synced(), self.hands.pods.synced()) };
        if shutdown.run_until_cancelled(synced).await.is_none() {
            return;
        }
        let queue = self.queue.clone();
        let work = move |key: Key| {
            let this = self.clone();
            async move { outcome("jobs", &key, this.look_at(&key).await) }
        };
        queue.work(WORKERS, shutdown, work).await;
    }

    async fn look_at(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let job = self.jobs.get(key);
        let uid = job.as_ref().and_then(|job| job.metadata.uid.clone()).unwrap_or_default();
        self.free_strays(key, &uid).await?;
        let Some(job) = job else { return Ok(Outcome::Done) };
        let selector = workloads::selector(job.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
        let owner =
            Owner { uid: &uid, deleting: job.metadata.deletion_timestamp.is_some(), selector: &selector };
        let held = self.hands.claim(&*job, &owner).await?;
        let pods: Vec<&workloads::Pod> = held.iter().map(Held::pod).collect();
        let facts = Facts { job: &job, pods: &pods, now: Timestamp::now() };
        self.carry_out(key, &job, job::plan(&facts)).await
    }

    async fn carry_out(&self, key: &Key, job: &Job, plan: Plan<'_>) -> Result<Outcome, kube::Error> {
        let about = about(job);
        if let Some(status) = plan.status {
            self.write(key, job, status).await?;
        }
        for note in plan.notes {
            self.hands.happen(&about, note.warning, note.reason, "Sync", note.message);
        }
        for pod in plan.untrack {
            self.hands.untrack(&key.namespace, pod).await?;
        }
        let mut failed = self.hands.delete(&about, &plan.end).await.is_err();
        for pod in plan.withdraw {
            // Its finalizer goes first, or it would be counted as failed.
            let left = if pod.is_tracked() {
                self.hands.untrack(&key.namespace, pod).await?
            } else {
                Some(pod.clone())
            };
            if let Some(left) = left {
                failed |= self.hands.delete(&about, &[&left]).await.is_err();
            }
        }
        let pods = plan.create.into_iter().map(|index| job::pod(job, index)).collect();
        failed |= self.hands.create(&about, pods).await.is_err();
        if plan.expire {
            self.expire(key, job).await?;
        }
        Ok(match (failed, plan.again) {
            (true, _) => Outcome::Retry,
            (false, Some(wait)) => Outcome::After(wait),
            (false, None) => Outcome::Done,
        })
    }

    /// Pods of a Job that is gone, or was another one of the same name: nobody will count them.
    async fn free_strays(&self, key: &Key, uid: &str) -> Result<(), kube::Error> {
        let mut live = None;
        for held in self.hands.around(&key.namespace) {
            let pod = held.pod();
            let owner =
                controller(&pod.owners).filter(|owner| owner.kind == "Job" && *owner.name == *key.name);
            let Some(owner) = owner.filter(|owner| owner.uid != uid && pod.is_tracked()) else { continue };
            if live.is_none() {
                let api: Api<Job> = Api::namespaced(self.hands.client.clone(), &key.namespace);
                let found = api.get_metadata_opt(&key.name).await?;
                live = Some(found.and_then(|found| found.metadata.uid).unwrap_or_default());
            }
            if live.as_deref() != Some(&*owner.uid) {
                self.hands.untrack(&key.namespace, pod).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, key: &Key, job: &Job, status: Value) -> Result<(), kube::Error> {
        let Some(at) = Precondition::of(&job.metadata) else { return Ok(()) };
        let api: Api<Job> = Api::namespaced(self.hands.client.clone(), &key.namespace);
        let written = write::patch_status(&api, &key.name, &at, status).await?;
        remember(&self.jobs, key, written);
        Ok(())
    }

    async fn expire(&self, key: &Key, job: &Job) -> Result<(), kube::Error> {
        let Some(at) = Precondition::of(&job.metadata) else { return Ok(()) };
        let api: Api<Job> = Api::namespaced(self.hands.client.clone(), &key.namespace);
        let options =
            DeleteOptions { propagation: Some(PropagationPolicy::Foreground), ..DeleteOptions::default() };
        write::delete(&api, &key.name, &at, &options).await.map(drop)
    }
}
