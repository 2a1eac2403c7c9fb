//! ReplicaSets.

use super::hands::{Hands, Held, about, controller_of};
use super::{BY_NAMESPACE, WORKERS, remember};
use crate::guarded::outcome;
use crate::view::PodView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kubekit::{Board, Change, Key, Outcome, Precondition, Queue, Reader, write};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use workloads::ownership::{Owner, controller};
use workloads::replica_set::{self, Step, Trouble};

/// The controller.
#[derive(Clone)]
pub(super) struct ReplicaSets {
    hands: Hands,
    queue: Queue<Key>,
    sets: Reader<ReplicaSet>,
}

// === impl ReplicaSets ===

impl ReplicaSets {
    pub(super) fn new(hands: Hands, sets: Reader<ReplicaSet>) -> ReplicaSets {
        ReplicaSets { hands, queue: Queue::default(), sets }
    }

    pub(super) fn show(&self, board: &Board) {
        board.show("replicaset", &self.queue);
    }

    pub(super) fn changed(&self, key: &Key) {
        self.queue.add(key.clone());
    }

    /// A pod's controller looks; a pod without one is offered to who selects it.
    pub(super) fn pod_changed(&self, change: &Change<'_, PodView>) {
        for view in change.old.into_iter().chain(change.new) {
            if let Some(owner) = controller_of(view, "apps/", "ReplicaSet") {
                self.queue.add(Key::new(&change.key.namespace, &owner.name));
            }
        }
        let Some(orphan) = change.new.and_then(|view| view.work.as_ref()) else { return };
        if controller(&orphan.owners).is_some() {
            return;
        }
        for (key, set) in self.sets.by_index(BY_NAMESPACE, &change.key.namespace) {
            let selector = workloads::selector(Some(&set.spec.selector));
            if workloads::selects(&selector, &orphan.labels) {
                self.queue.add(key);
            }
        }
    }

    pub(super) async fn run(self, shutdown: CancellationToken) {
        let synced = async { tokio::join!(self.sets.synced(), self.hands.pods.synced()) };
        if shutdown.run_until_cancelled(synced).await.is_none() {
            return;
        }
        let queue = self.queue.clone();
        let work = move |key: Key| {
            let this = self.clone();
            async move { outcome("replica sets", &key, this.look_at(&key).await) }
        };
        queue.work(WORKERS, shutdown, work).await;
    }

    async fn look_at(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(set) = self.sets.get(key) else { return Ok(Outcome::Done) };
        let uid = set.metadata.uid.clone().unwrap_or_default();
        let selector = workloads::selector(Some(&set.spec.selector));
        let owner =
            Owner { uid: &uid, deleting: set.metadata.deletion_timestamp.is_some(), selector: &selector };
        let held = self.hands.claim(&*set, &owner).await?;
        let trouble = self.resize(&set, &held).await.err();
        // What was just made and deleted counts already.
        let held = self.hands.owned(&uid);
        let pods: Vec<&workloads::Pod> = held.iter().map(Held::pod).collect();
        let now = Timestamp::now();
        self.write(key, &set, &replica_set::status(&set, &pods, trouble.as_ref(), now)).await?;
        Ok(match (trouble, replica_set::next_look(&set, &pods, now)) {
            (Some(_), _) => Outcome::Retry,
            (None, Some(wait)) => Outcome::After(wait),
            (None, None) => Outcome::Done,
        })
    }

    async fn resize(&self, set: &Arc<ReplicaSet>, held: &[Held]) -> Result<(), Trouble> {
        let related = self.related(set);
        let neighbours: Vec<&workloads::Pod> = related.iter().map(Held::pod).collect();
        let pods: Vec<&workloads::Pod> = held.iter().map(Held::pod).collect();
        let about = about(&**set);
        match replica_set::plan(set, &pods, &neighbours, Timestamp::now()) {
            Step::Nothing => Ok(()),
            Step::Create(count) => {
                let template = set.spec.template.clone().unwrap_or_default();
                let owner = workloads::pod::owner_reference("apps/v1", "ReplicaSet", &set.metadata);
                let pod = workloads::pod::from_template(&template, owner);
                let made = self.hands.create(&about, vec![pod; count]).await;
                made.map_err(|message| Trouble { creating: true, message })
            }
            Step::Delete(surplus) => {
                let gone = self.hands.delete(&about, &surplus).await;
                gone.map_err(|message| Trouble { creating: false, message })
            }
        }
    }

    /// The pods of all sets of the same controller.
    fn related(&self, set: &ReplicaSet) -> Vec<Held> {
        let uid = |set: &ReplicaSet| {
            controller(set.metadata.owner_references.as_deref().unwrap_or_default())
                .map(|owner| owner.uid.clone())
        };
        let (own, namespace) = (uid(set), set.metadata.namespace.as_deref().unwrap_or_default());
        let around = self.sets.by_index(BY_NAMESPACE, namespace).into_iter().map(|(_, other)| other);
        around
            .filter(|other| other.metadata.uid == set.metadata.uid || (own.is_some() && uid(other) == own))
            .flat_map(|other| self.hands.owned(other.metadata.uid.as_deref().unwrap_or_default()))
            .collect()
    }

    async fn write(
        &self,
        key: &Key,
        set: &ReplicaSet,
        status: &k8s_openapi::api::apps::v1::ReplicaSetStatus,
    ) -> Result<(), kube::Error> {
        let value = |status| serde_json::to_value(status).map_err(kube::Error::SerdeError);
        let (old, new) = (value(&set.status.clone().unwrap_or_default())?, value(status)?);
        let Some(patch) = workloads::deployment::difference(&old, &new) else { return Ok(()) };
        let Some(at) = Precondition::of(&set.metadata) else { return Ok(()) };
        let api: Api<ReplicaSet> = Api::namespaced(self.hands.client.clone(), &key.namespace);
        let written = write::patch_status(&api, &key.name, &at, patch).await?;
        remember(&self.sets, key, written);
        Ok(())
    }
}
