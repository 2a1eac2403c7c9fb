//! What belongs to us in a data directory: `up` marks the directory, and `down --purge` deletes what `up` makes there and
//! nothing else.

use cli::{Failure, Result};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// The file that says that a directory is ours.
const MARK: &str = ".agent-sandbox";
const MARK_TEXT: &str =
    "This directory belongs to agent-sandbox; 'agent-sandbox down --purge' deletes what it keeps here.\n";

/// Everything that a running installation makes directly in its data directory. The lock and the mark go last, so that
/// a purge that was cut short can be made again.
const NAMES: [&str; 16] = [
    "store",
    "images",
    "pods",
    "volumes",
    "roots",
    "trash",
    "host",
    "pki",
    "kubeconfig",
    "node-name",
    "runtimes.json",
    "network.json",
    "up.json",
    "agent.log",
    "lock",
    MARK,
];

/// Names that begin so are ours as well: what is written beside a file before it replaces it, uploads, rotated logs.
const PREFIXES: [&str; 9] =
    ["up.", ".up.", ".room", "kubeconfig.", ".kubeconfig", "import-", "agent.log.", "network.", "runtimes."];

/// Marks an empty directory as ours, or sees that it is.
///
/// # Errors
/// It holds something that is not ours.
pub(crate) fn claim(data: &Path) -> Result<()> {
    let failed = |error: io::Error| Failure::new(format!("look into {}: {error}", data.display()));
    // What mkfs makes on a disk of its own is nobody's.
    let foreign =
        |entry: io::Result<fs::DirEntry>| entry.map_or(true, |entry| entry.file_name() != "lost+found");
    if !is_ours(data) && fs::read_dir(data).map_err(failed)?.any(foreign) {
        return Err(Failure::new(format!(
            "{} is not empty and not a data directory of agent-sandbox",
            data.display()
        ))
        .remedy("choose another place with --data-dir"));
    }
    if data.join(MARK).exists() {
        return Ok(());
    }
    // A directory that takes no writes is told by whoever writes data; it is ours all the same.
    let _ = fs::write(data.join(MARK), MARK_TEXT);
    Ok(())
}

/// Whether `up` has made this directory its own. The version before the mark left a lock and a store.
pub(crate) fn is_ours(data: &Path) -> bool {
    data.join(MARK).is_file() || (data.join("lock").is_file() && data.join("store").is_dir())
}

/// Deletes what is ours, and the directory itself if nothing else is in it. Gives what stays.
///
/// # Errors
/// Something of ours cannot be deleted.
pub(crate) fn purge(data: &Path) -> Result<Vec<PathBuf>> {
    let failed = |path: &Path, error: &io::Error| Failure::new(format!("delete {}: {error}", path.display()));
    let mut names: Vec<String> = fs::read_dir(data)
        .map_err(|error| failed(data, &error))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    names.extend(NAMES.map(str::to_owned));
    for name in names {
        let path = data.join(name);
        delete(&path).map_err(|error| failed(&path, &error))?;
    }
    match fs::remove_dir(data) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(left(data)),
        // A mount point stays, empty.
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(Vec::new()),
        Err(error) => Err(failed(data, &error)),
        Ok(()) => Ok(Vec::new()),
    }
}

fn delete(path: &Path) -> io::Result<()> {
    let deleted = match fs::symlink_metadata(path) {
        // Sandboxes make trees that the standard library cannot delete.
        Ok(metadata) if metadata.is_dir() => image::remove_tree(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    deleted.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn left(data: &Path) -> Vec<PathBuf> {
    let mut left: Vec<PathBuf> =
        fs::read_dir(data).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    left.sort();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("thesis.tex"), "years of work").expect("write");
        let refused = claim(dir.path()).expect_err("refused").to_string();
        assert!(refused.contains("not empty") && refused.contains("--data-dir"), "{refused}");
        assert!(!dir.path().join(MARK).exists() && !is_ours(dir.path()));
    }

    #[test]
    fn a_directory_of_the_version_before_the_mark_is_ours() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join("lock"), "").expect("lock");
        assert!(claim(dir.path()).is_err(), "a file named lock alone can be anybody's");
        fs::create_dir(dir.path().join("store")).expect("store");
        claim(dir.path()).expect("ours");
        assert!(dir.path().join(MARK).exists());
    }

    #[test]
    fn a_purge_deletes_what_is_ours_and_lists_the_rest() {
        let dir = tempfile::tempdir().expect("dir");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("data");
        claim(&data).expect("empty");
        fs::create_dir_all(data.join("store/deep")).expect("store");
        fs::write(data.join("agent.log.1"), "").expect("log");
        fs::write(data.join("notes.txt"), "mine").expect("notes");
        assert_eq!(purge(&data).expect("purged"), [data.join("notes.txt")]);
        assert_eq!(fs::read_dir(&data).expect("there").count(), 1);
        fs::remove_file(data.join("notes.txt")).expect("remove");
        assert!(purge(&data).expect("purged again").is_empty());
        assert!(!data.exists(), "the empty directory goes as well");
    }
}
