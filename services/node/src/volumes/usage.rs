//! What a tree takes on disk.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use rustix::fs::FileType;

use super::walk::walk;

/// Bytes in use beneath a directory, without following links and without leaving its file system. A file with several names
/// counts once. Blocking.
///
/// # Errors
/// What the file system says of the directory itself; what vanishes meanwhile counts nothing.
pub(crate) fn usage(path: &Path) -> io::Result<u64> {
    let (mut blocks, mut linked) = (0_u64, HashSet::new());
    walk(path, &mut |_, _, stat| {
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if directory || stat.st_nlink < 2 || linked.insert(stat.st_ino) {
            blocks = blocks.saturating_add(u64::try_from(stat.st_blocks).unwrap_or_default());
        }
    })?;
    Ok(blocks.saturating_mul(512))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use rustix::fs::{CWD, Mode, OFlags, openat};

    const DIRECTORY: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    #[test]
    fn what_lies_deeper_than_any_path_is_counted() {
        let place = tempfile::tempdir().unwrap();
        let mut at = openat(CWD, place.path(), DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deep", Mode::from_raw_mode(0o755)).unwrap();
            at = openat(&at, "deep", DIRECTORY, Mode::empty()).unwrap();
        }
        let before = usage(place.path()).unwrap();
        let made = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&at, "hidden", made, Mode::from_raw_mode(0o600)).unwrap();
        rustix::io::write(&file, &vec![1; 1 << 20]).unwrap();
        rustix::fs::fsync(&file).unwrap();
        assert!(usage(place.path()).unwrap() >= before + (1 << 20));
        image::remove_tree(&place.path().join("deep")).unwrap();
    }

    #[test]
    fn links_lead_nowhere_and_a_file_with_two_names_counts_once() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("inside"), place.path().join("outside"));
        for dir in [&inside, &outside] {
            fs::create_dir(dir).unwrap();
            let file = fs::File::create(dir.join("file")).unwrap();
            std::io::Write::write_all(&mut &file, &vec![1; 1 << 20]).unwrap();
            file.sync_all().unwrap();
        }
        fs::hard_link(inside.join("file"), inside.join("again")).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let used = usage(&inside).unwrap();
        assert!((1 << 20..3 << 19).contains(&used), "{used}");
        assert!(usage(&inside.join("link")).is_err(), "not even at the top");
    }
}
