//! Makes the four CustomResourceDefinitions: `api/crd/crds/*.yaml` with both versions, for the embedded API server, which
//! converts between them; `deploy/crds/*.yaml` with the stored version alone, for clusters, whose API server converts
//! nothing without a webhook and would prune what a version does not know.
//!
//! The kinds are described by hand in [`kinds`]; the Kubernetes types inside them (PodSpec,
//! PersistentVolumeClaimSpec, NetworkPolicy rules) come from `data/openapi`, made structural by [`structural`].
//!
//! **Invariant:** no descriptions, so that each document stays under the 256 KiB that client-side apply can
//! carry in its annotation.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;

/// Where the documents with both versions are, and what stands above them.
const BOTH: &str = "api/crd/crds";
const BOTH_HEAD: &str = "# Made by `cargo xtask crds`. For the embedded API server, which converts between the versions. On a cluster\n\
                         # apply deploy/crds: without a conversion webhook v1alpha1 writes would lose what they say.\n";
/// Where those with the stored version alone are.
const STORED: &str = "deploy/crds";
const STORED_HEAD: &str = "# Made by `cargo xtask crds`. For clusters: one version, no conversion webhook.\n";

mod kinds;
mod structural;
mod yaml;

#[cfg(test)]
mod tests;

/// What `cargo xtask crds` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only check that the committed documents are up to date; needs no network.
    #[arg(long)]
    check: bool,
}

/// Writes the documents, or checks them.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.check {
        return check();
    }
    for (path, text) in files()? {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(&path, text)?;
    }
    Ok(())
}

/// Checks that the committed documents are what the chore would write.
pub(crate) fn check() -> Result<()> {
    for (path, text) in files()? {
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            bail!("{} is out of date: run `cargo xtask crds`", path.display());
        }
    }
    Ok(())
}

/// Every file with its text.
fn files() -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for (name, document) in documents()? {
        files.push((root().join(BOTH).join(&name), with_head(BOTH_HEAD, &document)));
        files.push((root().join(STORED).join(&name), with_head(STORED_HEAD, &stored_only(document))));
    }
    Ok(files)
}

fn with_head(head: &str, document: &Value) -> String {
    format!("{head}{}", yaml::document(document))
}

/// A document without the versions that would have to be converted.
fn stored_only(mut document: Value) -> Value {
    if let Some(versions) = document["spec"]["versions"].as_array_mut() {
        versions.retain(|version| version["storage"] == true);
    }
    document
}

/// The documents by file name.
fn documents() -> Result<Vec<(String, Value)>> {
    let library = structural::Library::new(crate::openapi::schemas()?);
    let all = kinds::all(&library)?;
    let file = |document: &Value| {
        let (group, names) = (&document["spec"]["group"], &document["spec"]["names"]);
        format!(
            "{}_{}.yaml",
            group.as_str().unwrap_or_default(),
            names["plural"].as_str().unwrap_or_default()
        )
    };
    Ok(all.into_iter().map(|document| (file(&document), document)).collect())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
