//! What a claim or a volume needs next. Pure.
use super::view::{ClaimView, ClassView, VolumeView};
use super::{CLAIM_FINALIZER, PROVISIONER, VOLUME_FINALIZER, view::PROVISIONED_BY};
use kubekit::{Key, Text};
use serde_json::{Value, json};
use std::sync::Arc;
use wire::Quantity;

/// Everything a decision about a claim depends on.
#[derive(Debug)]
pub(super) struct ClaimFacts<'a> {
    pub(super) key: &'a Key,
    pub(super) claim: &'a ClaimView,
    pub(super) volumes: &'a [(Key, Arc<VolumeView>)],
    pub(super) classes: &'a [(Key, Arc<ClassView>)],
    /// The node's name and the size of its disk, if it has said so.
    pub(super) disk: Option<(&'a str, Quantity)>,
    /// A pod that is not over names it.
    pub(super) used: bool,
}

/// The next thing to do about a claim. After each the claim is looked at again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ClaimStep {
    Nothing,
    /// Nobody uses it any more: it may go.
    Unprotect,
    SetClass(String),
    /// Make this volume, then bind it.
    Provision(Box<Value>),
    /// Make the volume this claim's, and the claim the volume's.
    Bind(Text),
    /// Say that it is bound.
    Publish(Text),
    /// Its volume is gone.
    Lose,
    /// Nothing can be done: say why.
    Tell {
        reason: &'static str,
        warning: bool,
        note: String,
    },
}

/// The next thing to do about a volume whose claim is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeStep {
    Nothing,
    /// It is bound to nobody: it may go.
    Unprotect,
    Phase(&'static str),
    /// The claim seems gone: ask the server, then release.
    Release,
    Delete,
}

pub(super) fn claim(facts: &ClaimFacts<'_>) -> ClaimStep {
    let claim = facts.claim;
    if claim.deleting {
        let protected = claim.finalizers.iter().any(|finalizer| finalizer == CLAIM_FINALIZER);
        return if protected && !facts.used { ClaimStep::Unprotect } else { ClaimStep::Nothing };
    }
    if !claim.volume.is_empty() {
        return with_volume(facts);
    }
    let Some(class) = &claim.class else {
        return default_class(facts.classes).map_or_else(no_default, ClaimStep::SetClass);
    };
    match existing(facts, class) {
        Some(volume) => ClaimStep::Bind(volume),
        None => provision(facts, class),
    }
}

/// A claim that names a volume: bound already, half bound, or asking for a certain one.
fn with_volume(facts: &ClaimFacts<'_>) -> ClaimStep {
    let claim = facts.claim;
    let found = facts.volumes.iter().find(|(key, _)| *key.name == *claim.volume).map(|(_, volume)| volume);
    match found {
        None if claim.completed && claim.phase != "Lost" => ClaimStep::Lose,
        None => ClaimStep::Nothing,
        Some(volume) if is_for(volume, facts) => match &*claim.phase {
            "Bound" if claim.completed => ClaimStep::Nothing,
            _ if claim.completed => ClaimStep::Publish(claim.volume.clone()),
            _ => ClaimStep::Bind(claim.volume.clone()),
        },
        Some(volume) if volume.claim.is_none() && fits(volume, claim) => {
            ClaimStep::Bind(claim.volume.clone())
        }
        Some(_) => ClaimStep::Tell {
            reason: "FailedBinding",
            warning: true,
            note: format!(
                "volume \"{}\" already bound to a different claim, or it does not fit.",
                claim.volume
            ),
        },
    }
}

/// The volume that is for this claim, or the smallest free one that fits.
fn existing(facts: &ClaimFacts<'_>, class: &str) -> Option<Text> {
    let ours = facts.volumes.iter().find(|(_, volume)| !volume.deleting && is_for(volume, facts));
    if let Some((key, _)) = ours {
        return Some(key.name.clone());
    }
    // What a selector means is for people with several kinds of disks; here it only keeps us from choosing.
    let free =
        |volume: &VolumeView| volume.claim.is_none() && volume.phase == "Available" && volume.class == class;
    let fitting = facts.volumes.iter().filter(|(_, volume)| {
        !facts.claim.selects && !volume.deleting && free(volume) && fits(volume, facts.claim)
    });
    let smallest = fitting
        .min_by_key(|(key, volume)| (volume.capacity.as_ref().map(|(size, _)| size.value()), key.clone()));
    smallest.map(|(key, _)| key.name.clone())
}

fn is_for(volume: &VolumeView, facts: &ClaimFacts<'_>) -> bool {
    volume.claim.as_ref().is_some_and(|claim| {
        let named = claim.name == *facts.key.name && claim.namespace == *facts.key.namespace;
        named && (claim.uid.is_empty() || claim.uid == facts.claim.uid)
    })
}

fn fits(volume: &VolumeView, claim: &ClaimView) -> bool {
    let large = match (&volume.capacity, &claim.request) {
        (Some((size, _)), Some((wanted, _))) => size >= wanted,
        (_, wanted) => wanted.is_none(),
    };
    large
        && volume.volume_mode == claim.volume_mode
        && claim.modes.iter().all(|mode| volume.modes.contains(mode))
}

fn provision(facts: &ClaimFacts<'_>, class: &str) -> ClaimStep {
    let tell = |reason, warning, note: String| ClaimStep::Tell { reason, warning, note };
    if class.is_empty() || facts.claim.selects {
        let note = "no persistent volumes available for this claim and no storage class is set";
        return tell("FailedBinding", false, note.to_owned());
    }
    let Some((_, found)) = facts.classes.iter().find(|(key, _)| *key.name == *class) else {
        return tell(
            "ProvisioningFailed",
            true,
            format!("storageclass.storage.k8s.io \"{class}\" not found"),
        );
    };
    if found.provisioner == "kubernetes.io/no-provisioner" {
        return tell("FailedBinding", false, "no volume of this class is free, and it makes none".to_owned());
    }
    if found.provisioner != PROVISIONER {
        let note = format!(
            "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system administrator. \
             If volume creation is delayed, please verify that the provisioner is running and correctly registered.",
            found.provisioner
        );
        return tell("ExternalProvisioning", false, note);
    }
    match (impossible(facts), &facts.claim.request) {
        (Some(note), _) => tell("ProvisioningFailed", true, note),
        (None, Some((_, size))) => {
            ClaimStep::Provision(Box::new(volume(facts, class, &found.reclaim_policy, size)))
        }
        (None, None) => ClaimStep::Nothing,
    }
}

/// Why no directory of the node can be this volume, with the fix.
fn impossible(facts: &ClaimFacts<'_>) -> Option<String> {
    if facts.claim.volume_mode == "Block" {
        return Some("volumes here are directories: set volumeMode to Filesystem".to_owned());
    }
    let (wanted, text) = facts.claim.request.as_ref()?;
    let Some((node, disk)) = facts.disk else {
        return Some("no node has said how large its disk is yet".to_owned());
    };
    (*wanted > disk).then(|| {
        format!("the claim asks for {text}, but the whole disk of node {node} is {}: ask for less, or put the data directory on a larger disk", readable(disk))
    })
}

/// In whole Gi, or Mi where that is nothing.
fn readable(size: Quantity) -> String {
    let bytes = size.value();
    if bytes >> 30 > 0 { format!("{}Gi", bytes >> 30) } else { format!("{}Mi", bytes >> 20) }
}

fn volume(facts: &ClaimFacts<'_>, class: &str, reclaim: &str, size: &str) -> Value {
    let name = format!("pvc-{}", facts.claim.uid);
    let reclaim = if reclaim.is_empty() { "Delete" } else { reclaim };
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {PROVISIONED_BY: PROVISIONER},
            "finalizers": [VOLUME_FINALIZER],
        },
        "spec": {
            "capacity": {"storage": size},
            "accessModes": facts.claim.modes,
            "persistentVolumeReclaimPolicy": reclaim,
            "storageClassName": class,
            "volumeMode": facts.claim.volume_mode,
            "csi": {"driver": PROVISIONER, "volumeHandle": name},
            "claimRef": claim_ref(facts.key, &facts.claim.uid),
        },
    })
}

pub(super) fn claim_ref(key: &Key, uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": &*key.namespace, "name": &*key.name, "uid": uid})
}

/// The newest class marked as the default.
fn default_class(classes: &[(Key, Arc<ClassView>)]) -> Option<String> {
    let defaults = classes.iter().filter(|(_, class)| class.default);
    defaults
        .max_by_key(|(key, class)| (class.created.clone(), key.clone()))
        .map(|(key, _)| key.name.to_string())
}

fn no_default() -> ClaimStep {
    let note = "no persistent volumes available for this claim and no storage class is set".to_owned();
    ClaimStep::Tell { reason: "FailedBinding", warning: false, note }
}

/// `claim`: the one the volume names, as far as known.
pub(super) fn volume_step(volume: &VolumeView, key: &Key, claim: Option<&ClaimView>) -> VolumeStep {
    let phase = |phase: &'static str| {
        if volume.phase == phase { VolumeStep::Nothing } else { VolumeStep::Phase(phase) }
    };
    if volume.deleting && volume.protected && volume.phase != "Bound" {
        return VolumeStep::Unprotect;
    }
    if volume.deleting && volume.phase != "Bound" {
        return VolumeStep::Nothing;
    }
    let Some(reference) = &volume.claim else { return phase("Available") };
    if reference.uid.is_empty() {
        return phase("Available");
    }
    match claim.filter(|claim| claim.uid == reference.uid) {
        Some(claim) if claim.volume == *key.name => phase("Bound"),
        // It is being bound, or the claim took another one.
        Some(claim) if claim.volume.is_empty() => VolumeStep::Nothing,
        Some(_) | None if volume.phase != "Released" => VolumeStep::Release,
        Some(_) | None if volume.reclaim && volume.ours && !volume.deleting => VolumeStep::Delete,
        Some(_) | None => VolumeStep::Nothing,
    }
}

#[cfg(test)]
mod tests;
