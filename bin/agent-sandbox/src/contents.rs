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

/// The file that says that a restore has begun here and has not ended.
const RESTORING: &str = ".restoring";

/// Everything that a running installation makes directly in its data directory. The lock and the mark go last, so that
/// a purge that was cut short can be made again.
const NAMES: [&str; 17] = [
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
    RESTORING,
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
    must_be_whole(data)?;
    if !is_ours(data) && !is_empty(data)? {
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

/// Whether nothing is in a directory. What mkfs makes on a disk of its own is nobody's.
fn is_empty(data: &Path) -> Result<bool> {
    let failed = |error: io::Error| Failure::new(format!("look into {}: {error}", data.display()));
    let foreign =
        |entry: io::Result<fs::DirEntry>| entry.map_or(true, |entry| entry.file_name() != "lost+found");
    Ok(!fs::read_dir(data).map_err(failed)?.any(foreign))
}

/// Fails for what a restore left that did not come to its end.
pub(crate) fn must_be_whole(data: &Path) -> Result<()> {
    if !data.join(RESTORING).exists() {
        return Ok(());
    }
    Err(Failure::new(format!("a restore to {} was not finished: what is there is not whole", data.display()))
        .remedy(format!(
            "delete it with 'agent-sandbox down --purge --data-dir {}', then restore again",
            data.display()
        )))
}

/// Fails where a directory holds anything: a restore changes nothing that is there.
pub(crate) fn must_be_empty(data: &Path) -> Result<()> {
    if !data.exists() {
        return Ok(());
    }
    must_be_whole(data)?;
    if is_empty(data)? {
        return Ok(());
    }
    let what = if is_ours(data) { "a data directory with data in it" } else { "not empty" };
    Err(Failure::new(format!("{} is {what}: a restore changes nothing that is there", data.display()))
        .remedy("choose a new or empty directory with --data-dir"))
}

/// Marks an empty directory as ours, and as not whole yet.
pub(crate) fn begin_restore(data: &Path) -> Result<()> {
    let written = fs::File::create_new(data.join(RESTORING))
        .and_then(|mark| mark.sync_all())
        .and_then(|()| fs::write(data.join(MARK), MARK_TEXT))
        .and_then(|()| fs::File::open(data)?.sync_all());
    written.map_err(|error| Failure::new(format!("write to {}: {error}", data.display())))
}

/// What was restored is on the disk: from here on it is a data directory like any other.
pub(crate) fn end_restore(data: &Path) -> Result<()> {
    let ended = fs::File::open(data)
        .and_then(|dir| dir.sync_all())
        .and_then(|()| fs::remove_file(data.join(RESTORING)))
        .and_then(|()| fs::File::open(data)?.sync_all());
    ended.map_err(|error| Failure::new(format!("write to {}: {error}", data.display())))
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
    empty(data)?;
    match fs::remove_dir(data) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(left(data)),
        // A mount point stays, empty.
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(Vec::new()),
        Err(error) => Err(Failure::new(format!("delete {}: {error}", data.display()))),
        Ok(()) => Ok(Vec::new()),
    }
}

/// Deletes what is ours in a directory.
///
/// # Errors
/// Something of ours cannot be deleted.
pub(crate) fn empty(data: &Path) -> Result<()> {
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
    Ok(())
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
    fn what_a_killed_restore_left_is_not_used_and_can_be_purged() {
        let dir = tempfile::tempdir().expect("dir");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("data");
        must_be_empty(&data).expect("empty");
        begin_restore(&data).expect("begun");
        fs::create_dir_all(data.join("store")).expect("store");
        for refused in [claim(&data), must_be_empty(&data), must_be_whole(&data)] {
            let refused = refused.expect_err("refused").to_string();
            assert!(refused.contains("was not finished") && refused.contains("down --purge"), "{refused}");
        }
        assert!(is_ours(&data), "else nobody could delete it");
        end_restore(&data).expect("ended");
        claim(&data).expect("a data directory like any other");
        assert!(must_be_empty(&data).expect_err("full").to_string().contains("changes nothing"));
        empty(&data).expect("emptied");
        must_be_empty(&data).expect("as it was");
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
