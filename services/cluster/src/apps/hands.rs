//! What the three controllers do to pods: make, delete, take, let go.

use super::{BY_CONTROLLER, BY_NAMESPACE};
use crate::view::PodView;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource};
use kubekit::write::{self, DeleteOptions, Deletion};
use kubekit::{EventRecorder, Happening, Key, Precondition, Reader};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;
use workloads::ownership::{Claim, Owner, claim};
use workloads::pod::{TRACKING, owner_reference};

/// A controller's hands.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) client: Client,
    pub(super) pods: Reader<PodView>,
    pub(super) recorder: EventRecorder,
}

/// A pod and the view that holds it.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<PodView>);

// === impl Held ===

impl Held {
    pub(super) fn new(view: Arc<PodView>) -> Option<Held> {
        view.work.is_some().then_some(Held(view))
    }

    pub(super) fn pod(&self) -> &workloads::Pod {
        self.0.work.as_deref().expect("only views that have it are held")
    }
}

// === impl Hands ===

impl Hands {
    /// The pods whose controller has this uid.
    pub(super) fn owned(&self, uid: &str) -> Vec<Held> {
        let found = self.pods.by_index(BY_CONTROLLER, uid);
        found.into_iter().filter_map(|(_, view)| Held::new(view)).collect()
    }

    /// All pods of a namespace that these controllers may own.
    pub(super) fn around(&self, namespace: &str) -> Vec<Held> {
        let found = self.pods.by_index(BY_NAMESPACE, namespace);
        found.into_iter().filter_map(|(_, view)| Held::new(view)).collect()
    }

    /// Takes the pods that match and lets go of those that no longer do; answers with what then belongs to `owner`.
    pub(super) async fn claim<K>(&self, object: &K, owner: &Owner<'_>) -> Result<Vec<Held>, kube::Error>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let meta = object.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let mut alive = None;
        for held in self.around(namespace) {
            let pod = held.pod();
            let mut owners = pod.owners.clone();
            match claim(owner, pod.candidate()) {
                Claim::Own | Claim::Ignore => continue,
                Claim::Release => owners.retain(|reference| reference.uid != owner.uid),
                Claim::Adopt => {
                    if alive.is_none() {
                        alive = Some(is_alive::<K>(&self.client, meta).await?);
                    }
                    if alive != Some(true) {
                        continue;
                    }
                    owners.retain(|reference| reference.uid != owner.uid);
                    owners.push(owner_reference(&K::api_version(&()), &K::kind(&()), meta));
                }
            }
            self.patch_pod(namespace, pod, json!({"metadata": {"ownerReferences": owners}})).await?;
        }
        Ok(self.owned(owner.uid))
    }

    /// Makes pods, a few at first. Stops after the batch in which one failed, and says why.
    pub(super) async fn create(&self, about: &ObjectReference, pods: Vec<Pod>) -> Result<(), String> {
        let namespace = about.namespace.clone().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams::default();
        let mut left = pods.as_slice();
        for size in workloads::batches(pods.len()) {
            let (batch, rest) = left.split_at(size);
            left = rest;
            let made = join_all(batch.iter().map(|pod| api.create(&params, pod))).await;
            let mut failed = None;
            for answer in made {
                match answer {
                    Ok(pod) => {
                        let name = pod.metadata.name.clone().unwrap_or_default();
                        self.remember(pod);
                        self.tell(about, "SuccessfulCreate", "Create", format!("Created pod: {name}"));
                    }
                    // Everything goes with its namespace: there is nothing to tell.
                    Err(error) if is_terminating(&error) => return Ok(()),
                    Err(error) => failed = failed.or(Some(text(&error))),
                }
            }
            if let Some(why) = failed {
                self.warn(about, "FailedCreate", "Create", format!("Error creating: {why}"));
                return Err(why);
            }
        }
        Ok(())
    }

    /// Deletes pods, each as it was decided on.
    pub(super) async fn delete(
        &self,
        about: &ObjectReference,
        pods: &[&workloads::Pod],
    ) -> Result<(), String> {
        let namespace = about.namespace.clone().unwrap_or_default();
        let gone = join_all(pods.iter().map(|pod| self.delete_pod(&namespace, pod))).await;
        let mut failed = None;
        for (pod, answer) in pods.iter().zip(gone) {
            match answer {
                Ok(()) => {
                    self.tell(about, "SuccessfulDelete", "Delete", format!("Deleted pod: {}", pod.name))
                }
                Err(error) => {
                    let why = text(&error);
                    self.warn(about, "FailedDelete", "Delete", format!("Error deleting: {why}"));
                    failed = failed.or(Some(why));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn delete_pod(&self, namespace: &str, pod: &workloads::Pod) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let at = at(pod);
        match write::delete_and_see(&api, &pod.name, &at, &DeleteOptions::default()).await? {
            Deletion::Terminating(left) => self.remember(*left),
            Deletion::Gone => self.pods.forget(&Key::new(namespace, &pod.name), &at.resource_version),
        }
        Ok(())
    }

    /// Takes a Job's finalizer off a pod; answers with the pod as it is then, if it is still there.
    pub(super) async fn untrack(
        &self,
        namespace: &str,
        pod: &workloads::Pod,
    ) -> Result<Option<workloads::Pod>, kube::Error> {
        let left: Vec<_> = pod.finalizers.iter().filter(|finalizer| *finalizer != TRACKING).collect();
        match self.patch_pod(namespace, pod, json!({"metadata": {"finalizers": left}})).await {
            Err(error) if kubekit::Failure::of(&error) == kubekit::Failure::NotFound => {
                self.pods.forget(&Key::new(namespace, &pod.name), &pod.resource_version);
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    async fn patch_pod(
        &self,
        namespace: &str,
        pod: &workloads::Pod,
        patch: serde_json::Value,
    ) -> Result<workloads::Pod, kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let patched = write::patch(&api, &pod.name, &at(pod), patch).await?;
        let work = workloads::Pod::of(&patched);
        let over = work.deleting
            && work.finalizers.is_empty()
            && patched.metadata.deletion_grace_period_seconds == Some(0);
        if over {
            // That was all it waited for.
            self.pods.forget(&Key::new(namespace, &pod.name), &work.resource_version);
        } else {
            self.remember(patched);
        }
        Ok(work)
    }

    fn remember(&self, pod: Pod) {
        let (key, revision) =
            (Key::of(&pod.metadata), pod.metadata.resource_version.clone().unwrap_or_default());
        self.pods.remember(&key, &revision, PodView::of(pod));
    }

    pub(super) fn tell(&self, about: &ObjectReference, reason: &str, action: &str, note: String) {
        self.happen(about, false, reason, action, note);
    }

    pub(super) fn warn(&self, about: &ObjectReference, reason: &str, action: &str, note: String) {
        self.happen(about, true, reason, action, note);
    }

    pub(super) fn happen(
        &self,
        about: &ObjectReference,
        warning: bool,
        reason: &str,
        action: &str,
        note: String,
    ) {
        self.recorder.tell(Happening {
            regarding: about.clone(),
            warning,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note,
            ..Happening::default()
        });
    }
}

/// Asks the server whether an owner is what the cache says, before it takes anything.
pub(super) async fn is_alive<K>(client: &Client, meta: &ObjectMeta) -> Result<bool, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let live = api.get_metadata_opt(meta.name.as_deref().unwrap_or_default()).await?;
    Ok(live.is_some_and(|live| live.metadata.uid == meta.uid && live.metadata.deletion_timestamp.is_none()))
}

/// What events are about.
pub(super) fn about<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The name of a pod's controller, if it is of this kind.
pub(super) fn controller_of<'a>(view: &'a PodView, group: &str, kind: &str) -> Option<&'a OwnerReference> {
    let owner = workloads::ownership::controller(&view.work.as_ref()?.owners)?;
    (owner.kind == kind && owner.api_version.starts_with(group)).then_some(owner)
}

/// What the server said.
pub(super) fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

pub(super) fn is_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

fn at(pod: &workloads::Pod) -> Precondition {
    Precondition { uid: pod.uid.clone(), resource_version: pod.resource_version.clone() }
}
