//! Deployments.

use super::hands::{Hands, about, is_alive, is_terminating, text};
use super::{BY_NAMESPACE, WORKERS, remember};
use crate::guarded::outcome;
use crate::view::PodView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kubekit::write::{self, DeleteOptions};
use kubekit::{Board, Change, Failure, Key, Outcome, Precondition, Queue, Reader};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use workloads::deployment::{self, Facts, Step};
use workloads::ownership::{Candidate, Claim, Owner, claim, controller};
use workloads::pod::owner_reference;

/// The controller.
#[derive(Clone)]
pub(super) struct Deployments {
    hands: Hands,
    queue: Queue<Key>,
    deployments: Reader<Deployment>,
    sets: Reader<ReplicaSet>,
}

/// Whether a pass may go on after a step.
enum Next {
    On,
    /// What the rest was decided on is no longer so.
    Again,
}

// === impl Deployments ===

impl Deployments {
    pub(super) fn new(
        hands: Hands,
        deployments: Reader<Deployment>,
        sets: Reader<ReplicaSet>,
    ) -> Deployments {
        Deployments { hands, queue: Queue::default(), deployments, sets }
    }

    pub(super) fn show(&self, board: &Board) {
        board.show("deployment", &self.queue);
    }

    pub(super) fn changed(&self, key: &Key) {
        self.queue.add(key.clone());
    }

    /// A set's Deployment looks; a set without one is offered to who selects it.
    pub(super) fn set_changed(&self, change: &Change<'_, ReplicaSet>) {
        let mut orphan = false;
        for set in change.old.into_iter().chain(change.new) {
            match controller(set.metadata.owner_references.as_deref().unwrap_or_default()) {
                Some(owner) if owner.kind == "Deployment" => {
                    self.queue.add(Key::new(&change.key.namespace, &owner.name));
                }
                Some(_) => {}
                None => orphan = true,
            }
        }
        let Some(set) = change.new.filter(|_| orphan) else { return };
        let labels = set.metadata.labels.clone().unwrap_or_default();
        for (key, deployment) in self.deployments.by_index(BY_NAMESPACE, &change.key.namespace) {
            let selector = workloads::selector(Some(&deployment.spec.selector));
            if workloads::selects(&selector, &labels) {
                self.queue.add(key);
            }
        }
    }

    /// A pod of an old set that has gone may be what `Recreate` waits for.
    pub(super) fn pod_changed(&self, change: &Change<'_, PodView>) {
        let (Some(old), None) = (change.old, change.new) else { return };
        let Some(owner) = super::hands::controller_of(old, "apps/", "ReplicaSet") else { return };
        let Some(set) = self.sets.get(&Key::new(&change.key.namespace, &owner.name)) else { return };
        if let Some(owner) = controller(set.metadata.owner_references.as_deref().unwrap_or_default()) {
            self.queue.add(Key::new(&change.key.namespace, &owner.name));
        }
    }

    pub(super) async fn run(self, shutdown: CancellationToken) {
        let synced =
            async { tokio::join!(self.deployments.synced(), self.sets.synced(), self.hands.pods.synced()) };
        if shutdown.run_until_cancelled(synced).await.is_none() {
            return;
        }
        let queue = self.queue.clone();
        let work = move |key: Key| {
            let this = self.clone();
            async move { outcome("deployments", &key, this.look_at(&key).await) }
        };
        queue.work(WORKERS, shutdown, work).await;
    }

    async fn look_at(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(deployment) = self.deployments.get(key) else { return Ok(Outcome::Done) };
        let sets = self.claim(&deployment).await?;
        let held: Vec<_> = sets
            .iter()
            .map(|set| set.metadata.uid.as_deref().unwrap_or_default())
            .flat_map(|uid| self.hands.owned(uid).into_iter().map(move |held| (uid, held)))
            .collect();
        let pods: Vec<_> = held.iter().map(|(uid, held)| (*uid, held.pod())).collect();
        let borrowed: Vec<&ReplicaSet> = sets.iter().map(|set| &**set).collect();
        let facts = Facts { deployment: &deployment, sets: &borrowed, pods: &pods, now: Timestamp::now() };
        let (steps, again) = deployment::plan(&facts);
        for step in steps {
            if let Next::Again = self.carry_out(key, &deployment, &sets, step).await? {
                return Ok(Outcome::Retry);
            }
        }
        Ok(again.map_or(Outcome::Done, Outcome::After))
    }

    /// Takes the sets that match and lets go of those that no longer do.
    async fn claim(&self, deployment: &Deployment) -> Result<Vec<Arc<ReplicaSet>>, kube::Error> {
        let meta = &deployment.metadata;
        let (uid, namespace) =
            (meta.uid.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default());
        let selector = workloads::selector(Some(&deployment.spec.selector));
        let owner = Owner { uid: &uid, deleting: meta.deletion_timestamp.is_some(), selector: &selector };
        let empty = workloads::Labels::new();
        for (key, set) in self.sets.by_index(BY_NAMESPACE, &namespace) {
            let labels = set.metadata.labels.as_ref().unwrap_or(&empty);
            let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
            let deleting = set.metadata.deletion_timestamp.is_some();
            match claim(&owner, Candidate { labels, owners: &owners, deleting }) {
                Claim::Own | Claim::Ignore => continue,
                Claim::Release => owners.retain(|reference| reference.uid != uid),
                Claim::Adopt if !is_alive::<Deployment>(&self.hands.client, meta).await? => continue,
                Claim::Adopt => owners.push(owner_reference("apps/v1", "Deployment", meta)),
            }
            self.patch_set(&key, &set, json!({"metadata": {"ownerReferences": owners}})).await?;
        }
        let around = self.sets.by_index(BY_NAMESPACE, &namespace).into_iter().map(|(_, set)| set);
        let ours = |set: &Arc<ReplicaSet>| {
            controller(set.metadata.owner_references.as_deref().unwrap_or_default())
                .is_some_and(|owner| owner.uid == uid)
        };
        Ok(around.filter(ours).collect())
    }

    async fn carry_out(
        &self,
        key: &Key,
        deployment: &Deployment,
        sets: &[Arc<ReplicaSet>],
        step: Step,
    ) -> Result<Next, kube::Error> {
        let find = |name: &str| sets.iter().find(|set| set.metadata.name.as_deref() == Some(name));
        match step {
            Step::Create(set) => return self.create(key, deployment, *set).await,
            Step::Update(change) => {
                let Some(set) = find(&change.name) else { return Ok(Next::Again) };
                self.patch_set(&Key::new(&key.namespace, &change.name), set, change.patch).await?;
                if let Some((from, to)) = change.scaled {
                    self.tell_scaled(&about(deployment), &change.name, from, to);
                }
            }
            Step::Delete(name) => {
                let Some(at) = find(&name).and_then(|set| Precondition::of(&set.metadata)) else {
                    return Ok(Next::Again);
                };
                write::delete(&self.sets_of(key), &name, &at, &DeleteOptions::default()).await?;
            }
            Step::Status(patch) => self.write(key, deployment, patch).await?,
        }
        Ok(Next::On)
    }

    async fn create(&self, key: &Key, deployment: &Deployment, set: ReplicaSet) -> Result<Next, kube::Error> {
        let name = set.metadata.name.clone().unwrap_or_default();
        let size = workloads::replica_set::wanted(&set);
        let about = about(deployment);
        let error = match self.sets_of(key).create(&PostParams::default(), &set).await {
            Ok(made) => {
                remember(&self.sets, &Key::new(&key.namespace, &name), made);
                if size > 0 {
                    self.tell_scaled(&about, &name, 0, size);
                }
                return Ok(Next::On);
            }
            Err(error) => error,
        };
        if is_terminating(&error) {
            return Ok(Next::On);
        }
        if Failure::of(&error) == Failure::AlreadyExists {
            return self.settle_collision(key, deployment, &name).await;
        }
        let why = text(&error);
        let note = format!("Failed to create new replica set \"{name}\": {why}");
        self.hands.warn(&about, "ReplicaSetCreateError", "Create", note);
        if let Some(status) = deployment::generic_failure(deployment, &name, &why, Timestamp::now()) {
            self.write(key, deployment, json!({"status": status})).await?;
        }
        Err(error)
    }

    /// A set of that name exists: ours from a pass whose answer was lost, or one of another template with the same hash.
    async fn settle_collision(
        &self,
        key: &Key,
        deployment: &Deployment,
        name: &str,
    ) -> Result<Next, kube::Error> {
        let Some(found) = self.sets_of(key).get_opt(name).await? else { return Ok(Next::Again) };
        if deployment::fits(&found, deployment) {
            remember(&self.sets, &Key::new(&key.namespace, name), found);
            return Ok(Next::Again);
        }
        let known = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        self.write(key, deployment, json!({"status": {"collisionCount": known + 1}})).await?;
        Ok(Next::Again)
    }

    fn tell_scaled(&self, about: &ObjectReference, set: &str, from: i32, to: i32) {
        self.hands.tell(about, "ScalingReplicaSet", "Scale", deployment::scaled_note(set, from, to));
    }

    async fn patch_set(&self, key: &Key, set: &ReplicaSet, patch: Value) -> Result<(), kube::Error> {
        let Some(at) = Precondition::of(&set.metadata) else { return Ok(()) };
        let patched = write::patch(&self.sets_of(key), &key.name, &at, patch).await?;
        remember(&self.sets, key, patched);
        Ok(())
    }

    /// The revision is an annotation, and it is written with the status, as in Kubernetes: so it starts no new generation.
    async fn write(&self, key: &Key, deployment: &Deployment, mut patch: Value) -> Result<(), kube::Error> {
        let Some(at) = Precondition::of(&deployment.metadata) else { return Ok(()) };
        patch["metadata"]["uid"] = at.uid.into();
        patch["metadata"]["resourceVersion"] = at.resource_version.into();
        let api: Api<Deployment> = Api::namespaced(self.hands.client.clone(), &key.namespace);
        let params = PatchParams::default();
        let written = api.patch_status(&key.name, &params, &Patch::Merge(patch)).await?;
        remember(&self.deployments, key, written);
        Ok(())
    }

    fn sets_of(&self, key: &Key) -> Api<ReplicaSet> {
        Api::namespaced(self.hands.client.clone(), &key.namespace)
    }
}
