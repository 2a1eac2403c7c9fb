//! Reads files of a root file system that is not mounted.

use crate::types::RootFs;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use std::{fs::File, io::Read as _, path::Path};

/// Longest file read.
const LIMIT: u64 = 4 << 20;

/// The file as a container would see it: the topmost layer that has it wins, a deleted one is absent. Links are
/// followed within one layer only and never lead out of it. Meant for `/etc/passwd` and `/etc/group`.
pub fn read_in_rootfs(root: &RootFs, path: &str) -> Option<Vec<u8>> {
    let relative = path.trim_start_matches('/');
    std::iter::once(&root.upper)
        .chain(&root.lower)
        .find_map(|layer| look(layer, Path::new(relative)))
        .flatten()
}

/// `None`: the layer does not know it; `Some(None)`: the layer says that it is deleted.
#[allow(clippy::option_option, reason = "absent here and deleted here are different answers")]
fn look(layer: &Path, path: &Path) -> Option<Option<Vec<u8>>> {
    let root =
        rustix::fs::open(layer, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
    let stat = rustix::fs::fstat(&found).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if stat.st_rdev == 0 => Some(None),
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file = rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?;
            let mut text = Vec::new();
            File::from(file).take(LIMIT).read_to_end(&mut text).ok()?;
            Some(Some(text))
        }
        _ => None,
    }
}
