//! How many Sandboxes there are of which sort, counted when somebody asks: upstream's `agent_sandboxes`.

use super::packed::PackedSandbox;
use crd::conditions::reason;
use crd::names::{annotation, created_by, label};
use crd::v1beta1::Sandbox;
use kube::core::ObjectMeta;
use kubekit::{Reader, Text};
use std::collections::BTreeMap;
use std::fmt::Error;
use telemetry::metrics::{Collector, ConstGauge, DescriptorEncoder, EncodeMetric as _, MetricType};

/// Sorts told apart; namespaces and templates are the users' to name, so there must be an end. Sandboxes of further sorts are
/// counted under [`OTHER`].
const LIMIT: usize = 1000;
const OTHER: &str = "other";

/// Looks into the cache.
pub(super) struct Census(Reader<PackedSandbox>);

/// What is counted of one Sandbox.
pub(super) struct Traits {
    ready: bool,
    expired: bool,
    warm: bool,
    owner: &'static str,
    client: &'static str,
    template: Option<Text>,
}

/// Values of the labels, in their order.
type Sort<'a> = [&'a str; 7];

const LABELS: [&str; 7] =
    ["namespace", "ready_condition", "expired", "launch_type", "sandbox_template", "owned_by", "created_by"];

// === impl Traits ===

impl Traits {
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        let meta = &sandbox.metadata;
        let labelled =
            |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        let mut conditions = sandbox.status.iter().flat_map(|status| &status.conditions);
        let ready = conditions.find(|condition| condition.type_ == "Ready");
        let template = meta.annotations.as_ref().and_then(|all| all.get(annotation::TEMPLATE_REF));
        Self {
            ready: ready.is_some_and(|ready| ready.status == "True"),
            expired: ready.is_some_and(|ready| ready.reason == reason::SANDBOX_EXPIRED),
            warm: labelled(label::LAUNCH_TYPE) == Some("warm"),
            owner: owner(meta),
            client: labelled(label::CREATED_BY).map_or("unknown", created_by),
            template: template.map(|template| template.as_str().into()),
        }
    }

    fn sort<'a>(&'a self, namespace: &'a str) -> Sort<'a> {
        let word = |value| if value { "true" } else { "false" };
        let launch = if self.warm { "warm" } else { "cold" };
        let template = self.template.as_deref().unwrap_or("unknown");
        [namespace, word(self.ready), word(self.expired), launch, template, self.owner, self.client]
    }
}

fn owner(meta: &ObjectMeta) -> &'static str {
    let mut owners = meta.owner_references.iter().flatten();
    let kind = owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.kind.as_str());
    ["SandboxClaim", "SandboxWarmPool"].into_iter().find(|known| kind == Some(known)).unwrap_or("None")
}

// === impl Census ===

impl Census {
    pub(super) fn of(sandboxes: &Reader<PackedSandbox>) -> Self {
        Self(sandboxes.clone())
    }
}

/// Counts, with what is beyond `limit` sorts together.
fn count<'a>(all: impl Iterator<Item = Sort<'a>>, limit: usize) -> BTreeMap<Sort<'a>, u64> {
    let mut counts = BTreeMap::new();
    for sort in all {
        if counts.len() < limit || counts.contains_key(&sort) {
            *counts.entry(sort).or_default() += 1;
        } else {
            let [_, ready, expired, launch, _, owner, client] = sort;
            *counts.entry([OTHER, ready, expired, launch, OTHER, owner, client]).or_default() += 1;
        }
    }
    counts
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.list();
        let counts = count(all.iter().map(|(key, sandbox)| sandbox.traits.sort(&key.namespace)), LIMIT);
        let help = "Current number of sandboxes.";
        let mut metric = encoder.encode_descriptor("agent_sandboxes", help, None, MetricType::Gauge)?;
        for (sort, count) in counts {
            let labels: Vec<(&str, &str)> = LABELS.into_iter().zip(sort).collect();
            ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
        }
        let help = "A metric with a constant '1' value labeled by what this program was built from.";
        let mut metric =
            encoder.encode_descriptor("agent_sandbox_build_info", help, None, MetricType::Gauge)?;
        let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
        let labels = [
            ("git_version", concat!("v", env!("CARGO_PKG_VERSION"))),
            ("git_commit", ""),
            ("build_date", ""),
            ("go_version", ""),
            ("compiler", "rustc"),
            ("platform", platform),
        ];
        ConstGauge::new(1_i64).encode(metric.encode_family(&labels)?)
    }
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").field("sandboxes", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sort(mut document: Value) -> String {
        document["metadata"]["name"] = "s".into();
        document["spec"] = json!({"podTemplate": {"spec": {"containers": []}}});
        let sandbox: Sandbox = serde_json::from_value(document).unwrap();
        Traits::of(&sandbox).sort("n").join(" ")
    }

    // Facts: the labels and values of upstream's internal/metrics/sandbox_collector.go.
    #[test]
    fn a_sandbox_is_counted_as_upstream_does() {
        assert_eq!(sort(json!({"metadata": {}})), "n false false cold unknown None unknown");
        let owner = json!({"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxClaim", "name": "c", "uid": "u",
            "controller": true});
        let meta = json!({"ownerReferences": [owner],
            "labels": {"agents.x-k8s.io/launch-type": "warm", "agents.x-k8s.io/created-by": "go-client"},
            "annotations": {"agents.x-k8s.io/sandbox-template-ref": "python"}});
        let ready = |status: &str, reason: &str| {
            json!({"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-02T03:04:05Z"}]})
        };
        let document = json!({"metadata": meta, "status": ready("True", "DependenciesReady")});
        assert_eq!(sort(document), "n true false warm python SandboxClaim go-client");
        let expired = json!({"metadata": {"labels": {"agents.x-k8s.io/created-by": "mine"}}, "status": ready("False", "SandboxExpired")});
        assert_eq!(sort(expired), "n false true cold unknown None unknown");
    }

    #[test]
    fn sorts_beyond_the_limit_are_counted_together() {
        let names: Vec<String> = (0..6).map(|number| format!("t{number}")).collect();
        let sort = |name| ["n", "true", "false", "cold", name, "None", "unknown"];
        let all = names.iter().map(|name| sort(name.as_str())).chain([sort("t0")]);
        let counts = count(all, 4);
        assert_eq!(counts.len(), 5);
        assert_eq!(counts.get(&sort("t0")), Some(&2));
        assert_eq!(counts.get(&["other", "true", "false", "cold", "other", "None", "unknown"]), Some(&2));
    }
}
