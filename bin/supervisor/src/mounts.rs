//! Builds the container's file system in a mount namespace of this process alone.
//!
//! **Invariant:** no mount made here is ever seen by the host, so none can be left behind: all go with this process
//! and the container.

use crate::{
    config::{Config, Driver, Mount},
    sys,
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags},
};
use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Component, Path},
};

/// Reads of this directory make runsc believe that it is in the root network namespace on kernels from 6.11.
const NET_CORE: &str = "/proc/sys/net/core";

/// Makes everything ready below `config.mount_dir`.
///
/// # Errors
/// What could not be mounted, in words.
pub(crate) fn prepare(config: &Config) -> Result<(), String> {
    let no_map = |error| format!("cannot map user ids: {error}");
    // Made by a child while this process goes on.
    let ids = config.ids.map(|ids| Ok((sys::user_namespace()?, ids))).transpose().map_err(no_map)?;
    private(&config.mount_dir).map_err(|error| format!("cannot make a private mount namespace: {error}"))?;
    network(config)?;
    let idmap = ids.map(|(namespace, ids)| namespace.finish(ids)).transpose().map_err(no_map)?;
    root(config, idmap.as_ref())?;
    for mount in &config.mounts {
        volume(config, mount, idmap.as_ref()).map_err(|error| {
            format!("cannot mount {}: {}", mount.source.display(), plain(&error, mount.idmap))
        })?;
    }
    Ok(())
}

/// A mount namespace of our own, that still learns of the host's unmounts, with an empty memory file system to work in.
fn private(dir: &Path) -> io::Result<()> {
    sys::own_mounts()?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount_new("tmpfs", dir, MountFlags::NODEV, c"mode=0711,size=16m")
}

fn mount_new(kind: &str, target: &Path, flags: MountFlags, data: &CStr) -> io::Result<()> {
    Ok(rustix::mount::mount(kind, target, kind, flags, data)?)
}

/// Enters the pod's network namespace for good and does what must be done from inside it.
fn network(config: &Config) -> Result<(), String> {
    let sys_dir = config.mount_dir.join("sys");
    let sysfs = || -> io::Result<()> {
        fs::create_dir(&sys_dir)?;
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        mount_new("sysfs", &sys_dir, flags, c"")
    };
    let Some(path) = &config.netns else {
        return if config.driver == Driver::Runc { sysfs().map_err(|e| e.to_string()) } else { Ok(()) };
    };
    let enter = || -> io::Result<()> {
        sys::enter_network(&File::open(path)?)?;
        match config.driver {
            Driver::Runc => {
                sysfs()?;
                for (name, value) in &config.net_sysctls {
                    fs::write(Path::new("/proc/sys").join(name.replace('.', "/")), value)?;
                }
                Ok(())
            }
            Driver::Runsc => mount_new("tmpfs", Path::new(NET_CORE), MountFlags::empty(), c"size=4k"),
        }
    };
    enter().map_err(|error| format!("cannot use the network namespace {}: {error}", path.display()))?;
    // runsc opens the namespace by the pin, which its specification names; runc inherits it.
    if config.driver == Driver::Runc {
        forget_pins(path);
    }
    Ok(())
}

/// The pins of all pods' network namespaces are one mount with mounts below: without it the container's namespaces hold none of
/// them, and pods that come later cost this one nothing.
fn forget_pins(pin: &Path) {
    if let Some(pins) = pin.parent() {
        // Fails where the directory is no mount (of an older version): then they stay, as they did.
        let _ = rustix::mount::unmount(pins, UnmountFlags::DETACH);
    }
}

/// The root: an overlay of the layers, or an empty directory in memory.
fn root(config: &Config, idmap: Option<&OwnedFd>) -> Result<(), String> {
    let target = config.mount_dir.join("rootfs");
    let in_words =
        |error: io::Error| format!("cannot mount the root file system: {}", plain(&error, idmap.is_some()));
    make_dir(&target).map_err(in_words)?;
    if config.rootfs.lower.is_empty() {
        return mount_new("tmpfs", &target, MountFlags::empty(), c"mode=0755,size=64k").map_err(in_words);
    }
    overlay(config, &target, idmap).map_err(in_words)
}

fn overlay(config: &Config, target: &Path, idmap: Option<&OwnedFd>) -> io::Result<()> {
    let (upper, work) = (&config.rootfs.upper, &config.rootfs.work);
    let parent = upper.parent().filter(|parent| work.parent() == Some(parent));
    let parent = parent.ok_or_else(|| io::Error::other("upper and work must be in one directory"))?;
    make_dirs(upper)?;
    make_dirs(work)?;
    let writable = config.mount_dir.join("w");
    bind(&open_path(parent)?, &writable, idmap, false)?;
    let mut options = String::from("lowerdir=");
    for (index, layer) in config.rootfs.lower.iter().enumerate() {
        let name = format!("l{index}");
        bind(&open_path(layer)?, &config.mount_dir.join(&name), idmap, true)?;
        if index > 0 {
            options.push(':');
        }
        options.push_str(&name);
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    options.push_str(&format!(",upperdir=w/{},workdir=w/{}\0", name(upper), name(work)));
    // Short relative names: the kernel takes one page of options.
    let home = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    std::env::set_current_dir(&config.mount_dir)?;
    let data = CStr::from_bytes_with_nul(options.as_bytes()).map_err(io::Error::other)?;
    let mounted = mount_new("overlay", target, MountFlags::NODEV, data);
    rustix::process::fchdir(&home)?;
    mounted
}

fn volume(config: &Config, mount: &Mount, idmap: Option<&OwnedFd>) -> io::Result<()> {
    let mut source = open_path(&mount.source)?;
    if let Some(path) = &mount.sub_path {
        source = beneath(&source, Path::new(path), mount.no_links)?;
    }
    let idmap = idmap.filter(|_| mount.idmap);
    bind(&source, &config.mount_dir.join(&mount.name), idmap, mount.read_only)
}

/// Attaches a copy of what `source` shows at `target`, which is made.
fn bind(source: &OwnedFd, target: &Path, idmap: Option<&OwnedFd>, read_only: bool) -> io::Result<()> {
    let directory = FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode) == FileType::Directory;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(source, c"", flags)?;
    sys::set_mount(tree.as_fd(), idmap, read_only)?;
    if directory {
        make_dir(target)?;
    } else {
        File::create_new(target)?;
    }
    Ok(rustix::mount::move_mount(&tree, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a path that may not lead out of `root`, by links or otherwise; makes directories that are missing.
fn beneath(root: &OwnedFd, path: &Path, no_links: bool) -> io::Result<OwnedFd> {
    let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if no_links {
        how |= ResolveFlags::NO_SYMLINKS;
    }
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(root, path, flags, Mode::empty(), how)
    };
    match open(path) {
        Ok(fd) => return Ok(fd),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut so_far = std::path::PathBuf::new();
    let mut parent = root.try_clone()?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        so_far.push(name);
        let made = rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o700));
        parent = open(&so_far)?;
        match made {
            Ok(()) => share_like(root, &parent)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(parent)
}

/// A part of a volume that we made belongs to whom the volume belongs to, and is as open, as the kubelet makes it. Through
/// the descriptor, because somebody in the sandbox may put another thing in the place of the name.
fn share_like(root: &OwnedFd, part: &OwnedFd) -> io::Result<()> {
    let volume = rustix::fs::fstat(root)?;
    let (owner, group) = (rustix::fs::Uid::from_raw(volume.st_uid), rustix::fs::Gid::from_raw(volume.st_gid));
    rustix::fs::chownat(part, c"", Some(owner), Some(group), rustix::fs::AtFlags::EMPTY_PATH)?;
    let path = format!("/proc/self/fd/{}", part.as_raw_fd());
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(volume.st_mode & 0o2777))?)
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)
}

fn make_dirs(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).recursive(true).create(path)
}

/// The error, with the usual cause where the kernel says only "invalid argument".
fn plain(error: &io::Error, idmap: bool) -> String {
    match error.raw_os_error() {
        Some(libc::EINVAL) if idmap => {
            format!(
                "{error}; its file system may not support id-mapped mounts (ext4, xfs, btrfs and tmpfs do)"
            )
        }
        _ => error.to_string(),
    }
}
