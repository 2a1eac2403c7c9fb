//! What cargo knows of the workspace: its crates, where they stand and what they import.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::PathBuf;

/// The part of `cargo metadata --no-deps` that the checks read.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_root: PathBuf,
}

/// One crate of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One entry of a crate's dependency tables.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` is a normal dependency; `dev` and `build` are the others.
    pub(crate) kind: Option<String>,
    /// Present for crates of this workspace only.
    pub(crate) path: Option<PathBuf>,
}

// === impl Metadata ===

impl Metadata {
    /// Asks cargo, offline: only the workspace's own manifests are read.
    pub(crate) fn load() -> Result<Self> {
        let output = crate::child::cargo()
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .output()
            .context("run cargo metadata")?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("parse cargo metadata")
    }
}

// === impl Package ===

impl Package {
    /// The crate's folder below the workspace, for example `infra/store`.
    pub(crate) fn folder(&self, metadata: &Metadata) -> String {
        let folder = self.manifest_path.parent().unwrap_or(&self.manifest_path);
        folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder).display().to_string()
    }
}
