//! Names that no server will accept for a child, found before anything is made.

use super::Snapshot;
use super::claims::template_name;
use crd::names::volume_claim;
use std::collections::BTreeSet;

/// Longest name of a Service and of a volume in a Pod, in characters.
const LABEL_LIMIT: usize = 63;
/// Longest name of a volume claim, in characters.
const NAME_LIMIT: usize = 253;

/// Why a child that is wanted can never exist under its name.
pub(super) fn unusable(snapshot: &Snapshot) -> Option<String> {
    service(snapshot).or_else(|| claims(snapshot))
}

/// Whether the Service has to be tried before anything else is made: Kubernetes before 1.36 refuses it a name that
/// begins with a digit, newer ones do not.
pub(super) fn service_decides(snapshot: &Snapshot) -> bool {
    let wanted = snapshot.sandbox.spec.service == Some(true) && snapshot.service.is_none();
    wanted && snapshot.name().starts_with(|first: char| first.is_ascii_digit())
}

fn service(snapshot: &Snapshot) -> Option<String> {
    let name = snapshot.name();
    if snapshot.sandbox.spec.service != Some(true) {
        return None;
    }
    if name.len() > LABEL_LIMIT {
        return Some(format!(
            "sandbox name \"{name}\" has {} characters, but with service: true the Service takes that name and allows at \
             most {LABEL_LIMIT}; use a shorter name or leave service unset",
            name.len()
        ));
    }
    name.contains('.').then(|| {
        format!(
            "sandbox name \"{name}\" contains a dot, but with service: true the Service takes that name and allows none; \
             use a name without dots or leave service unset"
        )
    })
}

/// A volume claim template names a volume of the Pod, and a volume claim together with the Sandbox.
fn claims(snapshot: &Snapshot) -> Option<String> {
    let mut seen = BTreeSet::new();
    snapshot.sandbox.spec.volume_claim_templates.iter().flatten().map(template_name).find_map(|template| {
        if !is_label(template) {
            return Some(format!(
                "volumeClaimTemplate name \"{template}\" cannot name a volume: a lower case letter or digit has to begin \
                 and end it, only such and '-' may be between, and {LABEL_LIMIT} characters are the most"
            ));
        }
        if !seen.insert(template) {
            return Some(format!("volumeClaimTemplate name \"{template}\" is given twice; each needs its own"));
        }
        let claim = volume_claim(template, snapshot.name());
        (claim.len() > NAME_LIMIT).then(|| {
            format!(
                "the name of the PVC \"{claim}\" would have {} characters, of at most {NAME_LIMIT}; use a shorter sandbox \
                 name or volumeClaimTemplate name",
                claim.len()
            )
        })
    })
}

fn is_label(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    text.len() <= LABEL_LIMIT
        && ends.into_iter().all(|byte| byte.is_some_and(word))
        && text.bytes().all(|byte| word(byte) || byte == b'-')
}
