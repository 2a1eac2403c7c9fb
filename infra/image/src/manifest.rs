//! Manifests, indexes and configurations as they are on the wire, and the choice among platforms.

use crate::{Error, config::ImageConfig, digest::Digest};
use serde::Deserialize;
use std::collections::BTreeMap;

/// No manifest or index is larger.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
/// No configuration is larger.
pub(crate) const MAX_CONFIG: u64 = 8 << 20;
/// No image has more layers: overlayfs takes 500, and the mount's options must fit in a page.
pub(crate) const MAX_LAYERS: usize = 127;

/// What a manifest may be called on the wire, most wanted first.
pub(crate) const ACCEPT: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Content by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Image(Manifest),
    Index(Vec<Descriptor>),
}

/// One image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// The configuration document.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(default)]
    pub(crate) config: Option<ImageConfig>,
    pub(crate) rootfs: RootFs,
}

/// The layers, bottom first, by the digest of their uncompressed archives.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub(crate) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct Raw {
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

// === impl Document ===

impl Document {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|error| format!("its manifest does not parse: {error}"))?;
        match raw {
            Raw { manifests: Some(manifests), .. } => Ok(Self::Index(manifests)),
            Raw { config: Some(config), layers: Some(layers), .. } => {
                if layers.len() > MAX_LAYERS {
                    return Err(format!("it has {} layers, and {MAX_LAYERS} is the limit", layers.len()));
                }
                Ok(Self::Image(Manifest { config, layers }))
            }
            Raw { .. } => {
                Err("its manifest is neither an image nor an index (an artifact, or schema 1)".into())
            }
        }
    }
}

/// The entry of an index for this machine.
pub(crate) fn for_this_machine<'a>(
    reference: &str,
    entries: &'a [Descriptor],
) -> Result<&'a Descriptor, Error> {
    let wanted = architecture();
    let fits = |entry: &&Descriptor| match &entry.platform {
        Some(platform) => {
            platform.os == "linux" && platform.architecture == wanted && runs(platform.variant.as_deref())
        }
        None => false,
    };
    let unlabelled = || entries.iter().find(|entry| entries.len() == 1 && entry.platform.is_none());
    entries.iter().find(fits).or_else(unlabelled).ok_or_else(|| Error::NoPlatform {
        reference: reference.into(),
        wanted: format!("linux/{wanted}"),
        found: platforms(entries),
    })
}

/// Variants that every processor of the architecture runs.
fn runs(variant: Option<&str>) -> bool {
    matches!(variant, None | Some("" | "v1" | "v8"))
}

fn platforms(entries: &[Descriptor]) -> String {
    let known = entries.iter().filter_map(|entry| entry.platform.as_ref());
    let names: Vec<String> =
        known.map(|platform| format!("{}/{}", platform.os, platform.architecture)).collect();
    if names.is_empty() { "none that it names".into() } else { names.join(", ") }
}

/// This machine's architecture, as Go and the image specification call it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests;
