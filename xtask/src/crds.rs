//! Makes `api/crd/crds/*.yaml`: the four CustomResourceDefinitions, each with both of its versions.
//!
//! The kinds are described by hand in [`kinds`]; the Kubernetes types inside them (PodSpec,
//! PersistentVolumeClaimSpec, NetworkPolicy rules) come from `data/openapi`, made structural by [`structural`].
//!
//! **Invariant:** no descriptions, so that each document stays under the 256 KiB that client-side apply can
//! carry in its annotation.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;

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
    std::fs::create_dir_all(folder())?;
    for (name, document) in documents()? {
        std::fs::write(folder().join(name), yaml::document(&document))?;
    }
    Ok(())
}

/// Checks that the committed documents are what the chore would write.
pub(crate) fn check() -> Result<()> {
    for (name, document) in documents()? {
        let committed = std::fs::read_to_string(folder().join(&name)).unwrap_or_default();
        if committed != yaml::document(&document) {
            bail!("api/crd/crds/{name} is out of date: run `cargo xtask crds`");
        }
    }
    Ok(())
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

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/crd/crds")
}
