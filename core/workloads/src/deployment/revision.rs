//! What is noted on the newest set: its revision, the revisions it was before, and the Deployment's own annotations.

use super::work::Draft;
use k8s_openapi::api::apps::v1::Deployment;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Longest history, in characters; the oldest goes first.
const HISTORY_MAX: usize = 2000;
/// Annotations of the Deployment that are not about its sets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// The revision of a set, if it has one.
pub(super) fn of(set: &Draft) -> Option<i64> {
    set.annotation(REVISION)?.parse().ok()
}

/// Keeps the notes of the newest set fresh. `next` is above all revisions of the other sets.
pub(super) fn refresh(deployment: &Deployment, set: &mut Draft, next: i64) {
    for (name, value) in deployment.metadata.annotations.iter().flatten() {
        if !OWN.contains(&name.as_str()) {
            set.annotate(name, value);
        }
    }
    let known = set.annotation(REVISION).unwrap_or_default().to_owned();
    let before = if known.is_empty() { Ok(0) } else { known.parse::<i64>() };
    // Somebody else's words are left alone.
    let Ok(before) = before else { return };
    if before >= next {
        return;
    }
    set.annotate(REVISION, &next.to_string());
    if !known.is_empty() {
        let history = longer(set.annotation(HISTORY).unwrap_or_default(), &known);
        set.annotate(HISTORY, &history);
    }
}

fn longer(history: &str, revision: &str) -> String {
    let mut all: Vec<&str> = history.split(',').filter(|part| !part.is_empty()).collect();
    all.push(revision);
    while all.len() > 1 && all.iter().map(|part| part.len() + 1).sum::<usize>() > HISTORY_MAX {
        all.remove(0);
    }
    all.join(",")
}
