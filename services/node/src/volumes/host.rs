//! `hostPath`: a file or directory below one that the operator allowed.
//!
//! **Invariant:** no link below the allowed directory is followed, not here and not by the supervisor that opens it again: a sandbox
//! that may write there could make one that leads anywhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use podspec::Volume;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;

/// Checks what is at `path`, and makes it where the type asks for that.
///
/// # Errors
/// In the kubelet's words, or that a link is on the way.
pub(super) fn open(path: &str, kind: &str, allowed: &[PathBuf]) -> Result<Volume, String> {
    let said = |error: io::Error| format!("hostPath {path}: {error}");
    let within = |root: &&PathBuf| Path::new(path).starts_with(root);
    let longest = allowed.iter().filter(within).max_by_key(|root| root.components().count());
    let root = longest.ok_or_else(|| format!("hostPath {path} is not allowed on this node"))?;
    let rest = Path::new(path).strip_prefix(root).unwrap_or(Path::new("")).to_path_buf();
    let top = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let top = top.map_err(|error| said(error.into()))?;
    let (make, want) = match kind {
        "" => (false, None),
        "Directory" => (false, Some(FileType::Directory)),
        "DirectoryOrCreate" => (true, Some(FileType::Directory)),
        "File" => (false, Some(FileType::RegularFile)),
        other => return Err(format!("hostPath type {other} is not supported")),
    };
    let found = descend(&top, &rest, make).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => {
            format!("hostPath {path} is refused: a part of it below {} is a link", root.display())
        }
        _ => said(error),
    })?;
    let is = FileType::from_raw_mode(fstat(&found).map_err(|error| said(error.into()))?.st_mode);
    if want.is_some_and(|want| want != is) {
        return Err(format!("hostPath type check failed: {path} is not a {kind}"));
    }
    let beneath = rest.to_str().ok_or_else(|| format!("hostPath {path} is not valid text"))?.to_owned();
    Ok(Volume::Host { allowed: root.clone(), beneath })
}

fn descend(top: &OwnedFd, rest: &Path, make: bool) -> io::Result<OwnedFd> {
    let mut at = top.try_clone()?;
    let step = |at: &OwnedFd, name: &std::ffi::OsStr| {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(at, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)
    };
    for name in rest.iter() {
        at = match step(&at, name) {
            Err(Errno::NOENT) if make => {
                match mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                    Err(Errno::EXIST) => {}
                    made => made?,
                }
                step(&at, name)?
            }
            opened => opened?,
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_below_the_allowed_directory_leads_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let (allowed, secret) = (place.path().join("allowed"), place.path().join("secret"));
        fs::create_dir_all(allowed.join("a")).unwrap();
        fs::create_dir(&secret).unwrap();
        fs::write(allowed.join("file"), "x").unwrap();
        symlink(&secret, allowed.join("a/link")).unwrap();
        let path = |name: &str| allowed.join(name).to_str().unwrap().to_owned();
        let open = |name: &str, kind: &str| open(&path(name), kind, std::slice::from_ref(&allowed));
        for (name, kind) in [("a/link", ""), ("a/link", "Directory"), ("a/link/new", "DirectoryOrCreate")] {
            let said = open(name, kind).unwrap_err();
            assert!(said.contains("is a link"), "{name}: {said}");
        }
        assert!(!secret.join("new").exists(), "nothing is made through a link either");
        assert_eq!(
            open("a/b/c", "DirectoryOrCreate").unwrap(),
            Volume::Host { allowed: allowed.clone(), beneath: "a/b/c".to_owned() }
        );
        assert!(allowed.join("a/b/c").is_dir());
        assert!(open("file", "File").is_ok() && open("", "Directory").is_ok());
        assert!(open("file", "Directory").unwrap_err().contains("type check failed"));
        assert!(open("missing", "").is_err());
        assert!(super::open("/etc", "", &[allowed]).unwrap_err().contains("not allowed"));
    }
}
