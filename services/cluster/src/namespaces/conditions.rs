//! What a namespace says about its own deletion, in Kubernetes' words. Pure.
use jiff::Timestamp;
use k8s_openapi::api::core::v1::NamespaceCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::ApiResource;
use std::collections::BTreeMap;

/// What is still in a namespace.
#[derive(Debug, Default)]
pub(super) struct Remaining {
    /// By `<plural>.<group>`.
    objects: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    /// The first failure of each kind, by kind.
    failures: BTreeMap<String, String>,
}

// === impl Remaining ===

impl Remaining {
    pub(super) fn count(&mut self, kind: &ApiResource, finalizers: &[String]) {
        *self.objects.entry(format!("{}.{}", kind.plural, kind.group)).or_default() += 1;
        for finalizer in finalizers {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }

    pub(super) fn failed(&mut self, kind: &ApiResource, error: &dyn std::fmt::Display) {
        let kind = format!("{}.{}", kind.plural, kind.group);
        tracing::debug!(%kind, %error, "content of a namespace could not be deleted");
        self.failures.entry(kind).or_insert_with(|| error.to_string());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.failures.is_empty()
    }

    fn failure(&self) -> Option<String> {
        let mut texts: Vec<&str> = self.failures.values().map(String::as_str).collect();
        texts.sort_unstable();
        let (count, texts) = (texts.len(), texts.join(", "));
        (count > 0).then(|| format!("Failed to delete all resource types, {count} remaining: {texts}"))
    }

    /// The new conditions; None if they say what `old` says.
    pub(super) fn conditions(
        &self,
        old: &[NamespaceCondition],
        now: Timestamp,
    ) -> Option<Vec<NamespaceCondition>> {
        let objects = self.objects.iter().map(|(kind, n)| format!("{kind} has {n} resource instances"));
        let finalizers = self.finalizers.iter().map(|(name, n)| format!("{name} in {n} resource instances"));
        let list = |lines: Vec<String>| lines.join(", ");
        let new = [
            quiet(
                "NamespaceDeletionDiscoveryFailure",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            quiet(
                "NamespaceDeletionGroupVersionParsingFailure",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            match self.failure() {
                None => quiet(
                    "NamespaceDeletionContentFailure",
                    "ContentDeleted",
                    "All content successfully deleted, may be waiting on finalization",
                ),
                Some(failure) => loud("NamespaceDeletionContentFailure", "ContentDeletionFailed", &failure),
            },
            match self.objects.is_empty() {
                true => {
                    quiet("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed")
                }
                false => loud(
                    "NamespaceContentRemaining",
                    "SomeResourcesRemain",
                    &format!("Some resources are remaining: {}", list(objects.collect())),
                ),
            },
            match self.finalizers.is_empty() {
                true => quiet(
                    "NamespaceFinalizersRemaining",
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished",
                ),
                false => loud(
                    "NamespaceFinalizersRemaining",
                    "SomeFinalizersRemain",
                    &format!(
                        "Some content in the namespace has finalizers remaining: {}",
                        list(finalizers.collect())
                    ),
                ),
            },
        ];
        let dated = new.map(|condition| dated(condition, old, now)).to_vec();
        (dated != old).then_some(dated)
    }
}

fn quiet(kind: &str, reason: &str, message: &str) -> NamespaceCondition {
    condition(kind, "False", reason, message)
}

fn loud(kind: &str, reason: &str, message: &str) -> NamespaceCondition {
    condition(kind, "True", reason, message)
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> NamespaceCondition {
    NamespaceCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: None,
    }
}

/// The time of the last change of status.
fn dated(mut new: NamespaceCondition, old: &[NamespaceCondition], now: Timestamp) -> NamespaceCondition {
    let before = old.iter().find(|condition| condition.type_ == new.type_ && condition.status == new.status);
    let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
    new.last_transition_time = before.and_then(|b| b.last_transition_time.clone()).or(Some(Time(whole)));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_said_as_kubernetes_says_it_and_only_once() {
        let pods = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            plural: "pods".to_owned(),
        };
        let mut remaining = Remaining::default();
        remaining.count(&pods, &["x.io/f".to_owned()]);
        remaining.count(&pods, &[]);
        let now = Timestamp::UNIX_EPOCH;
        let said = remaining.conditions(&[], now).unwrap();
        // pkg/controller/namespace/deletion: "%s.%s has %d resource instances", so the core group ends in a dot.
        assert_eq!(
            said[3].message.as_deref(),
            Some("Some resources are remaining: pods. has 2 resource instances")
        );
        assert_eq!(
            said[4].message.as_deref(),
            Some("Some content in the namespace has finalizers remaining: x.io/f in 1 resource instances")
        );
        assert_eq!(remaining.conditions(&said, Timestamp::MAX), None);
        remaining.failed(&pods, &"refused");
        remaining.failed(&pods, &"refused again");
        let said = remaining.conditions(&said, now).unwrap();
        let failure = "Failed to delete all resource types, 1 remaining: refused";
        assert_eq!((said[2].status.as_str(), said[2].message.as_deref()), ("True", Some(failure)));
    }
}
