//! Makes the directories and files that a Pod's volumes stand for.
//!
//! Everything made from names in the Pod lies beneath the Pod's own directory; persistent volumes lie beneath theirs
//! and are never removed here (see [`crate::persistent`]).

mod empty;
mod group;
mod host;
mod payload;
mod projection;
mod usage;
mod walk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, Pod, PodSpec, Volume as Asked,
};
use kube::{Api, Client};
use podspec::{Host, Volume};

use crate::paths::{Paths, is_plain};
use crate::sources::Sources;

pub(crate) use empty::{release as release_memory, release_all};
pub(crate) use usage::usage;

/// Our own storage, as volumes name it.
const DRIVER: &str = "agent-sandbox.local";

/// Why a volume is not there. The Pod waits; it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {reason}")]
pub(crate) struct Failure {
    pub(crate) volume: String,
    pub(crate) reason: String,
}

/// What volumes are made from.
pub(crate) struct Maker<'a> {
    pub(crate) client: &'a Client,
    pub(crate) sources: &'a Sources,
    pub(crate) paths: &'a Paths,
    pub(crate) host: &'a Host,
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ips: &'a [String],
    /// The host's id of the sandbox's root.
    pub(crate) first_id: u32,
    pub(crate) now: Timestamp,
    /// Directories that the operator allows `hostPath` below.
    pub(crate) host_paths: &'a [PathBuf],
}

// === impl Maker ===

impl Maker<'_> {
    /// Makes all volumes of the Pod. Repeating it is harmless: what is there stays.
    ///
    /// # Errors
    /// The first volume that cannot be made, with the reason.
    pub(crate) async fn make(&self) -> Result<BTreeMap<String, Volume>, Failure> {
        let mut made = BTreeMap::new();
        for asked in self.spec().volumes.iter().flatten() {
            let fail = |reason: String| Failure { volume: asked.name.clone(), reason };
            if !is_plain(&asked.name) {
                return Err(fail("the name is not valid".to_owned()));
            }
            made.insert(asked.name.clone(), self.one(asked).await.map_err(fail)?);
        }
        Ok(made)
    }

    async fn one(&self, asked: &Asked) -> Result<Volume, String> {
        let path = self.paths.pod_volumes(self.uid()).join(&asked.name);
        if let Some(empty) = &asked.empty_dir {
            return empty::make(self.paths, self.uid(), &asked.name, empty, self.first_id, self.group());
        }
        if let Some(claim) = &asked.persistent_volume_claim {
            let path = self.claimed(&claim.claim_name).await?;
            return Ok(Volume::Dir { path, read_only: claim.read_only.unwrap_or_default() });
        }
        if let Some(host) = &asked.host_path {
            return host::open(&host.path, host.type_.as_deref().unwrap_or_default(), self.host_paths);
        }
        let files = self.project(asked).await?;
        self.write(asked, files).await?;
        Ok(Volume::Dir { path, read_only: true })
    }

    /// The directory of the persistent volume that a claim is bound to; made on first use.
    async fn claimed(&self, name: &str) -> Result<PathBuf, String> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let claim = claims.get_opt(name).await.map_err(|error| error.to_string())?;
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        let volume = claim.spec.and_then(|spec| spec.volume_name).filter(|name| !name.is_empty());
        let volume = volume.ok_or_else(|| format!("persistentvolumeclaim {name:?} is not bound yet"))?;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let found = volumes.get_opt(&volume).await.map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("persistentvolume {volume:?} not found"))?;
        let handle = handle_of(&volume, &found)?;
        if !is_plain(handle) {
            return Err(format!(
                "persistentvolume {volume:?}: volumeHandle {handle:?} cannot be a directory's name"
            ));
        }
        let path = self.paths.persistent_volumes().join(handle);
        let (dir, group) = (path.clone(), self.group());
        let opened = tokio::task::spawn_blocking(move || open_directory(&dir, group)).await;
        let opened = opened.unwrap_or_else(|error| Err(io::Error::other(error)));
        opened.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().expect("a pod that was checked has a spec")
    }

    fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    /// `securityContext.fsGroup`.
    fn group(&self) -> Option<u32> {
        let group = self.spec().security_context.as_ref()?.fs_group?;
        u32::try_from(group).ok()
    }
}

/// The name of a volume's directory on this node. Another's source would be taken for an empty directory.
fn handle_of<'a>(name: &str, volume: &'a PersistentVolume) -> Result<&'a str, String> {
    let spec = volume.spec.as_ref();
    let source = match spec.and_then(|spec| spec.csi.as_ref()) {
        Some(csi) if csi.driver == DRIVER => return Ok(&csi.volume_handle),
        Some(csi) => format!("CSI driver {:?}", csi.driver),
        None => spec.map(source_of).unwrap_or_default(),
    };
    Err(format!(
        "persistentvolume {name:?} has the source {source}, which this node cannot mount; use a claim of storage class \
         \"standard\", or a volume with csi.driver {DRIVER:?}"
    ))
}

/// The name of a volume's source as written in the manifest.
fn source_of(spec: &PersistentVolumeSpec) -> String {
    let value = serde_json::to_value(spec).unwrap_or_default();
    let names = value.as_object().into_iter().flatten().filter(|(_, value)| value.is_object());
    let known = ["capacity", "claimRef", "nodeAffinity"];
    let mut names = names.map(|(name, _)| name.clone()).filter(|name| !known.contains(&name.as_str()));
    names.next().unwrap_or_else(|| "none".to_owned())
}

/// Makes a directory that everybody in the Pod may write, as the kubelet does; an existing one keeps its mode, and goes to the
/// Pod's group. Blocking.
fn open_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    if path.is_dir() {
        return group.map_or(Ok(()), |group| group::give(path, group));
    }
    fs::create_dir_all(path)?;
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    if group.is_some() {
        chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_of_another_source_is_named_with_the_remedy() {
        let volume = |source: serde_json::Value| -> PersistentVolume {
            let mut spec = json!({"capacity": {"storage": "1Gi"}, "claimRef": {"name": "c"}});
            spec.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            serde_json::from_value(json!({"spec": spec})).unwrap()
        };
        let ours = volume(json!({"csi": {"driver": "agent-sandbox.local", "volumeHandle": "x"}}));
        assert_eq!(handle_of("pv", &ours), Ok("x"));
        for (source, name) in [
            (json!({"nfs": {"server": "s", "path": "/"}}), "nfs"),
            (json!({"hostPath": {"path": "/etc"}}), "hostPath"),
            (json!({"csi": {"driver": "disk.example", "volumeHandle": "x"}}), "disk.example"),
        ] {
            let said = handle_of("pv", &volume(source)).unwrap_err();
            assert!(said.contains(name) && said.contains("standard"), "{said}");
        }
    }
}
