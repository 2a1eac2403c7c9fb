//! Files made from objects: a new version appears at once or not at all.
//!
//! The layout is the kubelet's, because programs know it: the files lie in `..<version>`, `..data` links to it, and
//! what the container opens are links through `..data`. A change swaps that one link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Component, Path};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) data: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// Files by their path in the volume.
pub(crate) type Files = BTreeMap<String, File>;

/// Makes `dir` hold exactly these files. Does nothing if it does already.
///
/// # Errors
/// A path that leads out of the volume, or what the file system says.
pub(crate) fn write(dir: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    if let Some(bad) = files.keys().find(|path| !is_inside(path)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the path {bad:?} leaves the volume"),
        ));
    }
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let current = fs::read_link(dir.join("..data")).ok();
    if current.as_ref().is_some_and(|version| same(&dir.join(version), files)) {
        return Ok(());
    }
    let version = (1..).map(|n| format!("..{n}")).find(|name| !dir.join(name).exists());
    let version = version.ok_or_else(|| io::Error::other("no version is free"))?;
    fill(&dir.join(&version), files, group)?;
    let _ = fs::remove_file(dir.join("..data_tmp"));
    symlink(&version, dir.join("..data_tmp"))?;
    fs::rename(dir.join("..data_tmp"), dir.join("..data"))?;
    link(dir, files)?;
    if let Some(old) = current {
        fs::remove_dir_all(dir.join(old))?;
    }
    Ok(())
}

fn fill(dir: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(&path, &file.data)?;
        let mode = if group.is_some() { file.mode | 0o040 } else { file.mode };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        if group.is_some() {
            chown(&path, None, group)?;
        }
    }
    Ok(())
}

/// Makes the links that the container opens, and removes those of files that are no more.
fn link(dir: &Path, files: &Files) -> io::Result<()> {
    let tops: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !tops.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    for top in tops {
        match symlink(Path::new("..data").join(top), dir.join(top)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn same(dir: &Path, files: &Files) -> bool {
    let alike = |(path, file): (&String, &File)| fs::read(dir.join(path)).is_ok_and(|data| data == file.data);
    count(dir) == files.len() && files.iter().all(alike)
}

fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    let plain = !path.is_empty() && !path.starts_with("..");
    plain && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |text: &str| File { data: text.as_bytes().to_vec(), mode: 0o640 };
        list.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    #[test]
    fn files_are_read_through_links_with_their_mode() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("v");
        write(&dir, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(dir.join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(dir.join("a")).unwrap().is_symlink());
    }

    #[test]
    fn a_new_version_replaces_the_old_one_whole() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("v");
        write(&dir, &files(&[("a", "1"), ("gone", "x")]), None).unwrap();
        let before = fs::read_link(dir.join("..data")).unwrap();
        write(&dir, &files(&[("a", "1"), ("gone", "x")]), None).unwrap();
        assert_eq!(fs::read_link(dir.join("..data")).unwrap(), before, "nothing changed");
        write(&dir, &files(&[("a", "2")]), None).unwrap();
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "2");
        assert!(!dir.join("gone").exists() && fs::symlink_metadata(dir.join("gone")).is_err());
        assert!(!dir.join(before).exists());
    }

    #[test]
    fn no_path_leaves_the_volume() {
        let temp = tempfile::tempdir().unwrap();
        for bad in ["../x", "/etc/passwd", "a/../../x", "..data", ""] {
            assert!(write(&temp.path().join("v"), &files(&[(bad, "")]), None).is_err(), "{bad:?}");
        }
    }
}
