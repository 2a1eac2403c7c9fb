//! `emptyDir`: a directory on disk, or a file system in memory.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;
use podspec::Volume;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::open_directory;
use crate::paths::Paths;

/// Makes the volume. One in memory is mounted on the host, because a container's own mounts die with it and the volume
/// has to outlive its restarts. It belongs to the sandbox's root, whose id on the host is `first_id`.
pub(super) fn make(
    paths: &Paths,
    uid: &str,
    name: &str,
    asked: &EmptyDirVolumeSource,
    first_id: u32,
    group: Option<u32>,
) -> Result<Volume, String> {
    let size = asked.size_limit.as_ref().and_then(|limit| podspec::quantity::millis(&limit.0));
    let size = size.and_then(|millis| u64::try_from(millis / 1000).ok()).filter(|size| *size > 0);
    if asked.medium.as_deref() != Some("Memory") {
        let path = paths.pod_volumes(uid).join(name);
        open_directory(&path, group).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(Volume::Dir { path, read_only: false });
    }
    let path = paths.memory_volumes(uid).join(name);
    mount_memory(&path, size, first_id, group)
        .map_err(|error| format!("mount tmpfs at {}: {error}", path.display()))?;
    Ok(Volume::Memory { path })
}

fn mount_memory(path: &Path, size: Option<u64>, first_id: u32, group: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if is_mount(path)? {
        if fs::metadata(path)?.uid() == first_id {
            return Ok(());
        }
        // Of an earlier life on this machine, with other ids: what is in it is nobody's any more.
        unmount(path, UnmountFlags::DETACH)?;
    }
    make_closed(path)?;
    // As on disk: everybody in the Pod may write, and with `fsGroup` new files belong to that group.
    let mode = if group.is_some() { "2777" } else { "0777" };
    let gid = first_id.saturating_add(group.unwrap_or_default());
    let mut options = format!("mode={mode},uid={first_id},gid={gid}");
    if let Some(size) = size {
        options.push_str(&format!(",size={size}"));
    }
    let options = CString::new(options).map_err(io::Error::other)?;
    mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, &*options)?;
    Ok(())
}

/// Makes the directory. Its parents are closed to all but root: what is in the volume has the ids that the sandbox gave it.
fn make_closed(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    fs::create_dir_all(path)
}

/// Unmounts and removes what [`make`] made in memory for this Pod. Repeating it is harmless.
///
/// # Errors
/// What the file system says; nothing is removed that is still mounted.
pub(crate) fn release(paths: &Paths, uid: &str) -> io::Result<()> {
    let dir = paths.memory_volumes(uid);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        while is_mount(&path)? {
            unmount(&path, UnmountFlags::DETACH)?;
        }
        fs::remove_dir(&path)?;
    }
    fs::remove_dir(&dir)
}

/// Unmounts and removes what was made in memory for any Pod.
///
/// # Errors
/// As [`release`].
pub(crate) fn release_all(paths: &Paths) -> io::Result<()> {
    let uids = match fs::read_dir(paths.run().join("volumes")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        uids => uids?,
    };
    uids.into_iter().try_for_each(|uid| release(paths, &uid?.file_name().to_string_lossy()))
}

fn is_mount(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let own = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        own => own?,
    };
    let parent = path.parent().map(fs::symlink_metadata).transpose()?;
    Ok(parent.is_some_and(|parent| parent.dev() != own.dev()))
}
