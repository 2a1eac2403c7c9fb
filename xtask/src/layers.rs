//! The layer rule: a crate imports only what the table in ARCHITECTURE.md lets it import.
//!
//! **Invariant:** services never import each other; they meet over the Kubernetes API. Only normal dependencies count:
//! a test may start another service beside its own.

use crate::metadata::{Metadata, Package};
use anyhow::{Result, ensure};

/// Crate -> the crates of ours that it may import. A trailing `/*` names a whole layer.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("api/wire", &[]),
    ("api/crd", &[]),
    ("core/lifecycle", &["api/crd"]),
    ("core/schema", &["api/wire"]),
    ("core/merge", &["api/wire", "core/schema"]),
    ("core/kinds", &["api/wire", "core/schema"]),
    ("core/podspec", &[]),
    ("core/workloads", &["api/wire"]),
    ("core/access", &["api/wire"]),
    ("infra/packing", &[]),
    ("infra/store", &["infra/packing", "infra/telemetry"]),
    ("infra/backup", &[]),
    ("infra/streams", &[]),
    ("infra/image", &[]),
    ("infra/net", &[]),
    ("infra/telemetry", &[]),
    ("infra/runtime", &["core/podspec"]),
    ("infra/kubekit", &["api/wire", "infra/telemetry"]),
    (
        "services/apiserver",
        &[
            "api/*",
            "core/schema",
            "core/merge",
            "core/kinds",
            "core/access",
            "infra/store",
            "infra/telemetry",
        ],
    ),
    ("services/cluster", &["api/*", "core/kinds", "core/workloads", "infra/kubekit", "infra/telemetry"]),
    (
        "services/controller",
        &["api/*", "core/lifecycle", "infra/kubekit", "infra/packing", "infra/telemetry"],
    ),
    (
        "services/node",
        &[
            "api/*",
            "core/lifecycle",
            "core/podspec",
            "infra/image",
            "infra/runtime",
            "infra/net",
            "infra/streams",
            "infra/kubekit",
            "infra/telemetry",
        ],
    ),
    ("services/cli", &["api/*", "infra/kubekit"]),
    ("bin/agent-sandbox", &["api/*", "core/*", "infra/*", "services/*"]),
    ("bin/supervisor", &[]),
    ("tests/differential", &["services/apiserver", "infra/store"]),
    ("tests/fuzz", &["api/wire", "core/merge", "core/schema", "infra/image", "infra/streams"]),
    ("tests/system", &["api/*"]),
    ("tests/bench", &["api/*", "tests/system"]),
    ("xtask", &["api/*", "core/*"]),
];

/// Crates of others that only the named crates of ours may import.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rusqlite", &["infra/store"]),
    ("rtnetlink", &["infra/net"]),
    ("hickory-server", &["infra/net"]),
    ("oci-client", &["infra/image"]),
    ("axum", &["services/apiserver"]),
    ("clap", &["services/cli", "bin/agent-sandbox", "tests/bench", "xtask"]),
    ("kube-cel", &["core/schema"]),
    ("json-patch", &["core/merge"]),
    ("ring", &["services/apiserver"]),
];

/// Layers whose crates decide and must stay free of I/O and of the async runtime.
const PURE: &[&str] = &["api/", "core/"];
const IMPURE_CRATES: &[&str] = &["tokio", "kube-client", "reqwest", "hyper", "rusqlite", "rand"];

/// Fails with every wrong arrow, named.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::load()?;
    let wrong: Vec<String> =
        metadata.packages.iter().flat_map(|package| wrong_arrows(package, &metadata)).collect();
    ensure!(wrong.is_empty(), "layers:\n  {}", wrong.join("\n  "));
    println!("layers: {} crates, no wrong arrow", metadata.packages.len());
    Ok(())
}

fn wrong_arrows(package: &Package, metadata: &Metadata) -> Vec<String> {
    let folder = package.folder(metadata);
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == folder) else {
        return vec![format!("{folder}: not in the layer table (xtask/src/layers.rs)")];
    };
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
    normal
        .filter_map(|dependency| match &dependency.path {
            Some(path) => {
                let target =
                    path.strip_prefix(&metadata.workspace_root).unwrap_or(path).display().to_string();
                (!allows(allowed, &target)).then(|| format!("{folder} must not import {target}"))
            }
            None => refused_crate(&folder, &dependency.name),
        })
        .collect()
}

fn allows(allowed: &[&str], target: &str) -> bool {
    allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(layer) => target.starts_with(layer),
        None => *pattern == target,
    })
}

fn refused_crate(folder: &str, name: &str) -> Option<String> {
    if PURE.iter().any(|layer| folder.starts_with(layer)) && IMPURE_CRATES.contains(&name) {
        return Some(format!("{folder} is pure and must not import {name}"));
    }
    let (_, owners) = ONLY_IN.iter().find(|(owned, _)| *owned == name)?;
    (!owners.contains(&folder))
        .then(|| format!("{folder} must not import {name}: only {} may", owners.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_has_no_wrong_arrow() {
        run().expect("layers");
    }

    #[test]
    fn a_service_importing_a_service_is_refused() {
        let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == "services/node").expect("row");
        assert!(!allows(allowed, "services/apiserver"));
        assert!(allows(allowed, "api/crd"));
    }

    #[test]
    fn core_may_not_import_tokio() {
        assert!(refused_crate("core/lifecycle", "tokio").is_some());
        assert!(refused_crate("infra/store", "tokio").is_none());
        assert!(refused_crate("services/node", "rusqlite").is_some());
    }
}
