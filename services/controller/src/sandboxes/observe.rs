//! Puts together what is known of one Sandbox.

use super::Worker;
use super::caches::CONTROLLER;
use crd::names::{annotation, volume_claim};
use crd::v1beta1::Sandbox;
use kubekit::Key;
use lifecycle::sandbox::{ClaimView, Failure, PodView, ServiceView, Snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Worker {
    /// The snapshot of the Sandbox named `key`; none if there is no such Sandbox.
    pub(super) fn observe(&self, key: &Key, failures: Vec<Failure>) -> Option<Snapshot> {
        let (sandbox, unreadable) = self.caches.sandboxes.get(key)?.open()?;
        Some(Snapshot {
            pods: self.pods(key, &sandbox),
            service: self
                .caches
                .services
                .get(key)
                .and_then(|service| service.open())
                .map(|service| Arc::new(ServiceView::of(&service))),
            claims: self.claims(key, &sandbox),
            sandbox: Arc::new(sandbox),
            unreadable,
            failures,
            memory: self.memories.get(key),
            cluster_domain: Arc::clone(&self.cluster_domain),
        })
    }

    fn pods(&self, key: &Key, sandbox: &Sandbox) -> Vec<Arc<PodView>> {
        let uid = sandbox.metadata.uid.as_deref().unwrap_or_default();
        let owned = self.caches.pods.by_index(CONTROLLER, uid).into_iter();
        let owned = owned.filter(|(pod, _)| pod.namespace == key.namespace).map(|(_, pod)| pod);
        let annotations = sandbox.metadata.annotations.as_ref();
        let tracked = annotations.and_then(|annotations| annotations.get(annotation::POD_NAME));
        let names = [Some(&*key.name), tracked.map(String::as_str)];
        let named = names.into_iter().flatten().filter_map(|name| {
            self.caches.pods.get(&Key { namespace: key.namespace.clone(), name: name.into() })
        });
        let views = owned.chain(named).filter_map(|pod| Some(Arc::new(PodView::of(&pod.open()?))));
        let by_name: BTreeMap<String, Arc<PodView>> = views.map(|pod| (pod.meta.name.clone(), pod)).collect();
        by_name.into_values().collect()
    }

    fn claims(&self, key: &Key, sandbox: &Sandbox) -> BTreeMap<String, Arc<ClaimView>> {
        let templates = sandbox.spec.volume_claim_templates.iter().flatten();
        let names = templates.map(|template| {
            let name = template.metadata.as_ref().and_then(|metadata| metadata.name.as_deref());
            volume_claim(name.unwrap_or_default(), &key.name)
        });
        let found = names.filter_map(|name| {
            let claim = self.caches.claims.get(&Key::new(&key.namespace, &name))?;
            Some((name, Arc::new(ClaimView::of(&claim.open()?))))
        });
        found.collect()
    }
}
