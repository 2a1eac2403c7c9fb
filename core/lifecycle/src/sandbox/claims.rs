//! The volume claims: created once, never repaired, never deleted; they outlive the Pod and go with the Sandbox.

use super::children::{foreign, is_adoptable, not_adoptable, owner_reference, tracking_label};
use super::view::Owner;
use super::{Snapshot, Step};
use crd::names::volume_claim;
use crd::v1beta1::VolumeClaimTemplate;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube_core::ObjectMeta;
use serde_json::json;

/// What is to be done about the claims, up to the first that stands in the way.
pub(super) struct Look {
    pub(super) steps: Vec<Step>,
    pub(super) error: Option<String>,
}

pub(super) fn look(snapshot: &Snapshot) -> Look {
    let mut look = Look { steps: Vec::new(), error: None };
    for template in snapshot.sandbox.spec.volume_claim_templates.iter().flatten() {
        let name = volume_claim(template_name(template), snapshot.name());
        let Some(claim) = snapshot.claims.get(&name) else {
            look.steps.push(Step::CreateClaim(Box::new(create(snapshot, template, name))));
            continue;
        };
        match claim.meta.owner(snapshot.uid()) {
            Owner::Us => {}
            Owner::Other(kind, owner, uid) => {
                look.error = Some(foreign(snapshot, "PVC", &name, (kind, owner, uid)));
            }
            Owner::Nobody if is_adoptable(snapshot, &claim.meta.labels) => {
                let mut owners = claim.meta.owners.clone();
                owners.push(owner_reference(snapshot));
                let patch = json!({ "metadata": { "ownerReferences": owners } });
                look.steps.push(Step::PatchClaim(claim.meta.target(), patch));
            }
            Owner::Nobody => look.error = Some(not_adoptable("PVC", &name)),
        }
        if look.error.is_some() {
            break;
        }
    }
    look
}

/// Name of a volume claim template; the schema lets it be empty.
pub(super) fn template_name(template: &VolumeClaimTemplate) -> &str {
    template.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default()
}

fn create(snapshot: &Snapshot, template: &VolumeClaimTemplate, name: String) -> PersistentVolumeClaim {
    let metadata = template.metadata.as_ref();
    let mut labels = metadata.and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    labels.extend([tracking_label(snapshot)]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: snapshot.sandbox.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: metadata.and_then(|metadata| metadata.annotations.clone()),
            owner_references: Some(vec![owner_reference(snapshot)]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec.clone()),
        ..PersistentVolumeClaim::default()
    }
}
