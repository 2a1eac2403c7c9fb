//! `fsGroup`: gives a volume that is there already to a group.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, chmod, chownat, fstat, openat};

use super::walk::walk;

/// What the group may do with a file, and with a directory, where new files get the group too.
const FILE: u32 = 0o660;
const DIRECTORY: u32 = 0o2770;

/// Gives everything in a volume to the group, as the kubelet does, unless the volume's top says that this was done before. Links
/// are given themselves, not what they lead to. Blocking.
///
/// # Errors
/// What the file system says of the first thing that cannot be given.
pub(super) fn give(path: &Path, group: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = openat(CWD, path, flags, Mode::empty())?;
    let stat = fstat(&top)?;
    if stat.st_gid == group && stat.st_mode & DIRECTORY == DIRECTORY {
        return Ok(());
    }
    let mut failed = Ok(());
    walk(path, &mut |directory, name, stat| {
        if failed.is_ok() {
            failed = give_one(directory, name, stat, group);
        }
    })?;
    failed?;
    // Last, so that what was interrupted is done again.
    chownat(&top, c"", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
    set_mode(top.as_raw_fd(), stat.st_mode | DIRECTORY)
}

fn give_one(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat, group: u32) -> io::Result<()> {
    use rustix::io::Errno;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    // What was seen under the name may be another thing now; what is open decides.
    let opened = fstat(&file)?;
    if opened.st_ino != stat.st_ino {
        return Ok(());
    }
    chownat(&file, c"", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
    match FileType::from_raw_mode(opened.st_mode) {
        FileType::Directory => set_mode(file.as_raw_fd(), opened.st_mode | DIRECTORY),
        FileType::RegularFile => set_mode(file.as_raw_fd(), opened.st_mode & 0o1777 | FILE),
        _ => Ok(()),
    }
}

/// Of what is open by path alone, which `fchmod` refuses.
fn set_mode(fd: i32, mode: u32) -> io::Result<()> {
    Ok(chmod(format!("/proc/self/fd/{fd}"), Mode::from_raw_mode(mode & 0o7777))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    /// Kubernetes (volume ownership): every file goes to the group, which may read and write; new files get the group.
    #[test]
    fn an_existing_volume_goes_to_the_group_and_nothing_that_it_links_to() {
        let place = tempfile::tempdir().unwrap();
        let (volume, outside) = (place.path().join("volume"), place.path().join("outside"));
        fs::create_dir_all(volume.join("a/b")).unwrap();
        for file in [volume.join("a/b/file"), outside.clone()] {
            fs::write(&file, "x").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        symlink(&outside, volume.join("a/link")).unwrap();
        give(&volume, 4242).unwrap();
        for (name, mode) in [("", 0o2775), ("a", 0o2775), ("a/b", 0o2775), ("a/b/file", 0o660)] {
            let meta = fs::metadata(volume.join(name)).unwrap();
            assert_eq!((meta.gid(), meta.mode() & 0o7777), (4242, mode), "{name}");
        }
        let meta = fs::metadata(&outside).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o7777), (rustix::process::getegid().as_raw(), 0o600));

        // What a sandbox changes afterwards stays: the top says that it was done.
        fs::set_permissions(volume.join("a/b/file"), fs::Permissions::from_mode(0o600)).unwrap();
        give(&volume, 4242).unwrap();
        assert_eq!(fs::metadata(volume.join("a/b/file")).unwrap().mode() & 0o777, 0o600);
    }
}
