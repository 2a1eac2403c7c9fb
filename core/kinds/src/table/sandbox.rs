//! The four Sandbox kinds, each in v1beta1 (stored) and v1alpha1. Their schemas are those of the CRDs in `api/crd`,
//! and a test holds this table against those documents; values are converted between the versions by crate `crd`.

use std::borrow::Cow;
use std::sync::Arc;

use super::subresources::{SCALE, STATUS};
use super::{Body, Kind, STORED, Storage, Subresource};
use crate::custom::{Custom, PrinterColumn, Scale};

const AGENTS: &str = "agents.x-k8s.io";
const EXTENSIONS: &str = "extensions.agents.x-k8s.io";
const READY: &str = ".status.conditions[?(@.type=='Ready')].status";
const REASON: &str = ".status.conditions[?(@.type=='Ready')].reason";

type Columns = &'static [(&'static str, &'static str, &'static str)];

struct Entry {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    beta: (&'static [Subresource], Columns),
    alpha: (&'static [Subresource], Columns),
}

const AGE: (&str, &str, &str) = ("Age", "date", ".metadata.creationTimestamp");
const POOL: (&[Subresource], Columns) = (
    &[SCALE, STATUS],
    &[("Ready", "integer", ".status.readyReplicas"), ("Desired", "integer", ".spec.replicas"), AGE],
);

const ENTRIES: &[Entry] = &[
    Entry {
        group: AGENTS,
        kind: "Sandbox",
        plural: "sandboxes",
        short: "sandbox",
        beta: (&[STATUS], &[("Ready", "string", READY), ("Reason", "string", REASON), AGE]),
        alpha: (&[SCALE, STATUS], &[]),
    },
    Entry {
        group: EXTENSIONS,
        kind: "SandboxClaim",
        plural: "sandboxclaims",
        short: "sandboxclaim",
        beta: (
            &[STATUS],
            &[
                ("Ready", "string", READY),
                ("Sandbox", "string", ".status.sandbox.name"),
                ("Reason", "string", REASON),
                AGE,
            ],
        ),
        alpha: (&[STATUS], &[]),
    },
    Entry {
        group: EXTENSIONS,
        kind: "SandboxTemplate",
        plural: "sandboxtemplates",
        short: "sandboxtemplate",
        beta: (&[], &[]),
        alpha: (&[], &[]),
    },
    Entry {
        group: EXTENSIONS,
        kind: "SandboxWarmPool",
        plural: "sandboxwarmpools",
        short: "swp",
        beta: POOL,
        alpha: POOL,
    },
];

/// All eight, preferred versions first.
pub(super) fn kinds() -> Vec<Kind> {
    let both = |entry: &Entry| [build(entry, "v1beta1", entry.beta), build(entry, "v1alpha1", entry.alpha)];
    ENTRIES.iter().flat_map(both).collect()
}

fn build(entry: &Entry, version: &'static str, (subresources, columns): (&[Subresource], Columns)) -> Kind {
    let deprecation = (version == "v1alpha1").then(|| {
        let Entry { group, kind, .. } = entry;
        Cow::Owned(format!("{group}/v1alpha1 {kind} is deprecated; use {group}/v1beta1 {kind} instead"))
    });
    let custom = Custom {
        columns: columns.iter().map(|(name, kind, path)| PrinterColumn::new(name, kind, path)).collect(),
        scale: subresources.contains(&SCALE).then(|| Scale {
            spec_replicas: ".spec.replicas".to_owned(),
            status_replicas: ".status.replicas".to_owned(),
            selector: Some(".status.selector".to_owned()),
        }),
        selectable: Vec::new(),
    };
    Kind {
        group: Cow::Borrowed(entry.group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(entry.kind),
        list_kind: Cow::Owned(format!("{}List", entry.kind)),
        plural: Cow::Borrowed(entry.plural),
        singular: Cow::Owned(entry.kind.to_lowercase()),
        short_names: vec![Cow::Borrowed(entry.short)],
        categories: Vec::new(),
        namespaced: true,
        verbs: STORED,
        subresources: subresources.to_vec(),
        storage: Some(Storage {
            group: Cow::Borrowed(entry.group),
            plural: Cow::Borrowed(entry.plural),
            version: Cow::Borrowed("v1beta1"),
        }),
        deprecation,
        body: Body::Custom(Arc::new(custom)),
    }
}
