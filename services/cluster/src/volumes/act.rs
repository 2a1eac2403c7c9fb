//! Carries out what was planned for a claim or a volume.
use super::plan::{self, ClaimFacts, ClaimStep, VolumeStep};
use super::view::{BIND_COMPLETED, ClaimView, VolumeView};
use super::{BY_CLAIM, CLAIM_FINALIZER, PROTECTION, PROVISIONER, STANDARD, Volumes};
use crate::view::NodeView;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::PostParams;
use kube::{Api, Client};
use kubekit::write::{self, DeleteOptions};
use kubekit::{Failure, Happening, Key, Outcome, Precondition};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A claim that cannot be served is looked at again at least this often.
const AGAIN: Duration = Duration::from_secs(300);

impl Volumes {
    pub(super) async fn claim(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(claim) = self.claims.get(key) else { return Ok(Outcome::Done) };
        let Some(at) = claim.at.clone() else { return Ok(Outcome::Done) };
        match self.plan_claim(key, &claim) {
            ClaimStep::Nothing => {}
            ClaimStep::Unprotect => {
                let left: Vec<_> =
                    claim.finalizers.iter().filter(|finalizer| *finalizer != CLAIM_FINALIZER).collect();
                self.patch_claim(key, &at, json!({"metadata": {"finalizers": left}})).await?;
            }
            ClaimStep::SetClass(class) => {
                self.patch_claim(key, &at, json!({"spec": {"storageClassName": class}})).await?;
            }
            ClaimStep::Provision(volume) => {
                let name = volume["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                self.create_volume(&volume).await?;
                let outcome = self.bind(key, &claim, &at, &name).await?;
                let note = format!("Successfully provisioned volume {name}");
                self.tell(key, &claim, false, "ProvisioningSucceeded", note);
                return Ok(outcome);
            }
            ClaimStep::Bind(volume) => return self.bind(key, &claim, &at, &volume).await,
            ClaimStep::Publish(volume) => self.publish(key, &at, &volume).await?,
            ClaimStep::Lose => {
                write::patch_status(&self.claims_api(key), &key.name, &at, json!({"phase": "Lost"})).await?;
                let note =
                    "Bound claim has lost its PersistentVolume. Data on the volume is lost!".to_owned();
                self.tell(key, &claim, true, "ClaimLost", note);
            }
            ClaimStep::Tell { reason, warning, note } => {
                self.tell(key, &claim, warning, reason, note);
                return Ok(Outcome::After(AGAIN));
            }
        }
        Ok(Outcome::Done)
    }

    fn plan_claim(&self, key: &Key, claim: &ClaimView) -> ClaimStep {
        let nodes = self.nodes.list();
        let size = |node: &NodeView| node.allocatable.get("ephemeral-storage").copied();
        let disk = nodes
            .iter()
            .filter_map(|(key, node)| Some((&*key.name, size(node)?)))
            .max_by_key(|(_, size)| size.value());
        let uses = |namespace: &Key, claims: &[String]| {
            *namespace.namespace == *key.namespace && claims.iter().any(|name| **name == *key.name)
        };
        plan::claim(&ClaimFacts {
            key,
            claim,
            volumes: &self.volumes_around(claim),
            classes: &self.classes.list(),
            disk,
            used: claim.deleting
                && self.pods.list().iter().any(|(at, pod)| !pod.over && uses(at, &pod.claims)),
        })
    }

    /// The volumes that may be this claim's: the one it names, those that are for it, and those that are for nobody in particular.
    fn volumes_around(&self, claim: &ClaimView) -> Vec<(Key, Arc<VolumeView>)> {
        let named = Key::new("", &claim.volume);
        let named = self.volumes.get(&named).map(|volume| (named, volume));
        let mut found = self.volumes.by_index(BY_CLAIM, "");
        found.extend(self.volumes.by_index(BY_CLAIM, &claim.uid));
        found.extend(named.filter(|(key, _)| !found.iter().any(|(other, _)| other == key)));
        found
    }

    pub(super) async fn volume(&self, key: &Key) -> Result<Outcome, kube::Error> {
        let Some(volume) = self.volumes.get(key) else { return Ok(Outcome::Done) };
        let Some(at) = volume.at.clone() else { return Ok(Outcome::Done) };
        let claim = volume.claim.as_ref().map(|claim| Key::new(&claim.namespace, &claim.name));
        let claim = claim.and_then(|claim| self.claims.get(&claim));
        match plan::volume_step(&volume, key, claim.as_deref()) {
            VolumeStep::Nothing => {}
            VolumeStep::Unprotect => self.unprotect(key, &at).await?,
            VolumeStep::Phase(phase) => self.set_phase(key, &at, phase).await?,
            VolumeStep::Release | VolumeStep::Delete if !self.claim_is_gone(key, &volume).await? => {}
            VolumeStep::Release => self.set_phase(key, &at, "Released").await?,
            VolumeStep::Delete => {
                write::delete(&self.volumes_api(), &key.name, &at, &DeleteOptions::default()).await?;
            }
        }
        Ok(Outcome::Done)
    }

    /// What the server says now: a cache that is behind must not cost anybody data.
    async fn claim_is_gone(&self, key: &Key, volume: &VolumeView) -> Result<bool, kube::Error> {
        let Some(reference) = &volume.claim else { return Ok(false) };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &reference.namespace);
        let claim = api.get_opt(&reference.name).await?.map(ClaimView::of);
        Ok(claim.is_none_or(|claim| {
            claim.uid != reference.uid || (!claim.volume.is_empty() && claim.volume != *key.name)
        }))
    }

    async fn create_volume(&self, volume: &Value) -> Result<(), kube::Error> {
        let volume: PersistentVolume =
            serde_json::from_value(volume.clone()).map_err(kube::Error::SerdeError)?;
        match self.volumes_api().create(&PostParams::default(), &volume).await {
            Err(error) if Failure::of(&error) != Failure::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// The volume first, then the claim: a claim never names a volume that may be another's.
    async fn bind(
        &self,
        key: &Key,
        claim: &ClaimView,
        at: &Precondition,
        volume: &str,
    ) -> Result<Outcome, kube::Error> {
        let api = self.volumes_api();
        let live = api.get(volume).await?;
        let seen = VolumeView::of(live);
        let Some(volume_at) = seen.at else { return Ok(Outcome::Retry) };
        match seen.claim.as_ref().map(|reference| &*reference.uid) {
            Some(uid) if uid == claim.uid => {}
            Some("") | None => {
                let spec = json!({"spec": {"claimRef": plan::claim_ref(key, &claim.uid)}});
                write::patch(&api, volume, &volume_at, spec).await?;
            }
            // Somebody else was faster; the next look finds another.
            Some(_) => return Ok(Outcome::Retry),
        }
        let mut finalizers = claim.finalizers.to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == CLAIM_FINALIZER) {
            finalizers.push(CLAIM_FINALIZER.into());
        }
        let patch = json!({
            "metadata": {
                "annotations": {BIND_COMPLETED: "yes", "pv.kubernetes.io/bound-by-controller": "yes"},
                "finalizers": finalizers,
            },
            "spec": {"volumeName": volume},
        });
        let bound = self.patch_claim(key, at, patch).await?;
        if let Some(at) = Precondition::of(&bound.metadata) {
            self.publish(key, &at, volume).await?;
        }
        Ok(Outcome::Done)
    }

    async fn unprotect(&self, key: &Key, at: &Precondition) -> Result<(), kube::Error> {
        let mut left = self.volumes_api().get(&key.name).await?.metadata.finalizers.unwrap_or_default();
        left.retain(|finalizer| finalizer != PROTECTION);
        let patch = json!({"metadata": {"finalizers": left}});
        write::patch(&self.volumes_api(), &key.name, at, patch).await.map(drop)
    }

    async fn publish(&self, key: &Key, at: &Precondition, volume: &str) -> Result<(), kube::Error> {
        let volume = self.volumes_api().get(volume).await?;
        let spec = volume.spec.unwrap_or_default();
        let status = json!({"phase": "Bound", "accessModes": spec.access_modes, "capacity": spec.capacity});
        write::patch_status(&self.claims_api(key), &key.name, at, status).await.map(drop)
    }

    async fn set_phase(&self, key: &Key, at: &Precondition, phase: &str) -> Result<(), kube::Error> {
        write::patch_status(&self.volumes_api(), &key.name, at, json!({"phase": phase})).await.map(drop)
    }

    async fn patch_claim(
        &self,
        key: &Key,
        at: &Precondition,
        patch: Value,
    ) -> Result<PersistentVolumeClaim, kube::Error> {
        write::patch(&self.claims_api(key), &key.name, at, patch).await
    }

    fn claims_api(&self, key: &Key) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn volumes_api(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    fn tell(&self, key: &Key, claim: &ClaimView, warning: bool, reason: &str, note: String) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("PersistentVolumeClaim".to_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(claim.uid.to_string()),
            ..ObjectReference::default()
        };
        let (reason, action) = (reason.to_owned(), "Binding".to_owned());
        self.recorder.tell(Happening { regarding, warning, reason, action, note, ..Happening::default() });
    }
}

/// Makes the StorageClass `standard` if there is none of that name.
pub(crate) async fn plant(client: &Client) -> Result<(), kube::Error> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STANDARD,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    });
    let class: StorageClass = serde_json::from_value(class).map_err(kube::Error::SerdeError)?;
    let api: Api<StorageClass> = Api::all(client.clone());
    match api.create(&PostParams::default(), &class).await {
        Err(error) if Failure::of(&error) != Failure::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
