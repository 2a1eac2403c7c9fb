//! Carries out one step: one request, its answer put into the cache, its failure put into words.

use super::caches::Caches;
use super::packed::{self, Packed, PackedSandbox};
use crate::Metrics;
use crd::v1beta1::LenientSandbox;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client, Resource};
use kubekit::write::{self, DeleteOptions, Deletion};
use kubekit::{Key, Precondition, Reader};
use lifecycle::sandbox::{Failure, Step, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;
use std::sync::Arc;

/// Field manager of what the controller creates.
const MANAGER: &str = "sandbox-controller";

/// A step was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Decide what is next.
    Continue,
    /// The Sandbox does not exist any more.
    SandboxGone,
}

pub(super) struct Executor {
    client: Client,
    caches: Caches,
    metrics: Arc<Metrics>,
}

/// One kind as the executor sees it: how to ask for it, where it is cached, how it is projected.
struct Kind<'a, K, T> {
    api: Api<K>,
    namespace: &'a str,
    resource: &'static str,
    cache: &'a Reader<T>,
    view: fn(&K) -> T,
    metrics: &'a Metrics,
}

// === impl Executor ===

impl Executor {
    pub(super) fn new(client: Client, caches: Caches, metrics: Arc<Metrics>) -> Self {
        Self { client, caches, metrics }
    }

    /// Carries out `step` for the Sandbox named `key`.
    pub(super) async fn carry_out(&self, key: &Key, step: &Step) -> Result<Done, Failure> {
        let namespace = &*key.namespace;
        let result = match step {
            Step::CreateClaim(claim) => self.claims(namespace).create(claim).await,
            Step::PatchClaim(target, patch) => self.claims(namespace).patch(target, patch).await,
            Step::CreatePod(pod) => self.pods(namespace).create(pod).await,
            Step::PatchPod(target, patch) => self.pods(namespace).patch(target, patch).await,
            Step::DeletePod(target) => self.pods(namespace).delete(target).await,
            Step::CreateService(service) => self.services(namespace).create(service).await,
            Step::PatchService(target, patch) => self.services(namespace).patch(target, patch).await,
            Step::DeleteService(target) => self.services(namespace).delete(target).await,
            Step::PatchSandbox(target, patch) => self.sandboxes(namespace).patch(target, patch).await,
            Step::PatchStatus(target, patch, _) => {
                self.sandboxes(namespace).patch_status(target, patch).await
            }
            Step::DeleteSandbox(target) => self.sandboxes(namespace).delete(target).await,
            Step::Warn { .. } | Step::Wake(_) | Step::Retry => Ok(()),
        };
        let about_sandbox = matches!(step, Step::PatchSandbox(..) | Step::PatchStatus(..));
        match result {
            Ok(()) if matches!(step, Step::DeleteSandbox(_)) => Ok(Done::SandboxGone),
            Ok(()) => Ok(Done::Continue),
            Err(error) if about_sandbox && kubekit::Failure::of(&error) == kubekit::Failure::NotFound => {
                Ok(Done::SandboxGone)
            }
            Err(error) => Err(failure(step, &error)),
        }
    }

    fn sandboxes<'a>(&'a self, namespace: &'a str) -> Kind<'a, LenientSandbox, PackedSandbox> {
        self.kind(namespace, "sandboxes", &self.caches.sandboxes, PackedSandbox::of)
    }

    fn pods<'a>(&'a self, namespace: &'a str) -> Kind<'a, Pod, Packed<Pod>> {
        self.kind(namespace, "pods", &self.caches.pods, packed::pod)
    }

    fn services<'a>(&'a self, namespace: &'a str) -> Kind<'a, Service, Packed<Service>> {
        self.kind(namespace, "services", &self.caches.services, packed::service)
    }

    fn claims<'a>(
        &'a self,
        namespace: &'a str,
    ) -> Kind<'a, PersistentVolumeClaim, Packed<PersistentVolumeClaim>> {
        self.kind(namespace, "persistentvolumeclaims", &self.caches.claims, packed::claim)
    }

    fn kind<'a, K, T>(
        &'a self,
        namespace: &'a str,
        resource: &'static str,
        cache: &'a Reader<T>,
        view: fn(&K) -> T,
    ) -> Kind<'a, K, T>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let api = Api::namespaced(self.client.clone(), namespace);
        Kind { api, namespace, resource, cache, view, metrics: &self.metrics }
    }
}

// === impl Kind ===

impl<K, T> Kind<'_, K, T>
where
    K: Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    /// Creates an object. One of that name that is there already is taken into the cache, for the next decision.
    async fn create(&self, object: &K) -> Result<(), kube::Error> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let created = self.count("create", self.api.create(&params, object).await);
        match created {
            Ok(created) => {
                self.remember(&created);
                Ok(())
            }
            Err(error) if kubekit::Failure::of(&error) == kubekit::Failure::AlreadyExists => {
                let name = object.meta().name.as_deref().unwrap_or_default();
                let found = self.count("get", self.api.get(name).await)?;
                self.remember(&found);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn patch(&self, target: &Target, patch: &Value) -> Result<(), kube::Error> {
        let patched = write::patch(&self.api, &target.name, &precondition(target), patch.clone()).await;
        self.remember(&self.count("patch", patched)?);
        Ok(())
    }

    async fn patch_status(&self, target: &Target, patch: &Value) -> Result<(), kube::Error> {
        let patched = write::patch_status(&self.api, &target.name, &precondition(target), patch).await;
        self.remember(&self.count("patch_status", patched)?);
        Ok(())
    }

    async fn delete(&self, target: &Target) -> Result<(), kube::Error> {
        let options = DeleteOptions::default();
        let deleted = write::delete_and_see(&self.api, &target.name, &precondition(target), &options).await;
        match self.count("delete", deleted)? {
            Deletion::Terminating(object) => self.remember(&object),
            Deletion::Gone => {
                self.cache.forget(&Key::new(self.namespace, &target.name), &target.version.resource_version);
            }
        }
        Ok(())
    }

    fn remember(&self, object: &K) {
        let meta: &ObjectMeta = object.meta();
        let version = meta.resource_version.as_deref().unwrap_or_default();
        self.cache.remember(&Key::of(meta), version, (self.view)(object));
    }

    fn count<R>(&self, verb: &'static str, result: Result<R, kube::Error>) -> Result<R, kube::Error> {
        let word = match result.as_ref().map_err(kubekit::Failure::of) {
            Ok(_) => "ok",
            Err(kubekit::Failure::NotFound) => "not_found",
            Err(kubekit::Failure::AlreadyExists) => "already_exists",
            Err(kubekit::Failure::Conflict) => "conflict",
            Err(kubekit::Failure::Expired) => "expired",
            Err(kubekit::Failure::Transient) => "transient",
            Err(kubekit::Failure::Refused) => "refused",
        };
        self.metrics.request(verb, self.resource, word);
        result
    }
}

fn precondition(target: &Target) -> Precondition {
    Precondition {
        uid: target.version.uid.clone(),
        resource_version: target.version.resource_version.clone(),
    }
}

/// A failed request in the words of the server.
fn failure(step: &Step, error: &kube::Error) -> Failure {
    let said = match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    Failure::of(step, &said, kubekit::Failure::of(error) == kubekit::Failure::Refused)
}
