//! The built-in image: the host's own `/usr`, read-only, over a generated root that holds nothing else of the host.
//!
//! `/usr` is bound and not made a layer of overlayfs, because the host may be upgraded while sandboxes run and
//! overlayfs leaves changes below a live mount undefined. So a sandbox sees an upgrade as programs on the host do: what
//! runs keeps its files, what starts later gets the new ones.
//!
//! **Invariant:** no file of the host's `/etc` is shown but public certificates and the loader's cache; no account, key
//! or configuration.

use crate::{
    config::ImageConfig,
    digest::{Digest, Hasher},
};
use rustix::fs as rfs;
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

/// The name of the built-in image.
pub const HOST_IMAGE: &str = "agent-sandbox/host:latest";
/// Its short name.
pub const HOST_IMAGE_SHORT: &str = "host";

/// No file that is copied from the host is larger.
const MAX_COPY: u64 = 8 << 20;
/// The search path in the built-in image. `pip install` puts programs into the first directory.
const PATH: &str = "PATH=/root/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Waits for ever, and ends at once when asked to.
const WAIT: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// The root directory to generate, before anything is written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    nodes: BTreeMap<String, Node>,
    /// Host directories beside `/usr` to bind: on a host where `/bin` and its like are no links.
    pub(crate) directories: Vec<PathBuf>,
    /// Files in `/usr` to hide.
    pub(crate) hidden: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory(u32),
    File(Vec<u8>, u32),
    Link(PathBuf),
}

/// When the places that a plan is made from last changed. A comparison costs a few system calls; a plan, hundreds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<(u64, i64, i64)>>);

/// Where a plan was made real.
pub(crate) struct Made {
    /// The lower layer.
    pub(crate) root: PathBuf,
    /// An empty directory.
    pub(crate) empty: PathBuf,
    /// A node that is neither a file nor can be opened.
    pub(crate) nothing: PathBuf,
}

const DIRECTORIES: [(&str, u32); 24] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/alternatives", 0o755),
    ("etc/ssl", 0o755),
    ("etc/ssl/certs", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
    ("workspace", 0o755),
    ("media", 0o755),
];

const FILES: [(&str, &str); 10] = [
    ("etc/group", include_str!("host/group")),
    ("etc/passwd", include_str!("host/passwd")),
    ("etc/profile", include_str!("host/profile")),
    ("etc/services", include_str!("host/services")),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"),
    ("etc/shells", "/bin/sh\n/bin/bash\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/hostname", "sandbox\n"),
    ("etc/resolv.conf", ""),
    ("etc/machine-id", ""),
];

/// What the built-in image says about running it.
pub(crate) fn config() -> ImageConfig {
    ImageConfig {
        cmd: ["/bin/sh", "-c", WAIT].map(Into::into).to_vec(),
        env: [PATH, "HOME=/root", "LANG=C.UTF-8"].map(Into::into).to_vec(),
        working_dir: "/root".into(),
        ..ImageConfig::default()
    }
}

// === impl Plan ===

impl Plan {
    /// Looks at the host whose root is `host` (`/`, except in tests).
    pub(crate) fn of(host: &Path) -> io::Result<Self> {
        let mut plan = Self::default();
        for (path, mode) in DIRECTORIES {
            plan.add(path, Node::Directory(mode));
        }
        for (path, text) in FILES {
            plan.add(path, Node::File(text.into(), 0o644));
        }
        for (path, target) in
            [("etc/mtab", "../proc/self/mounts"), ("var/run", "/run"), ("var/lock", "/run/lock")]
        {
            plan.add(path, Node::Link(target.into()));
        }
        plan.root_links(host)?;
        plan.copied(host)?;
        plan.alternatives(host)?;
        plan.certificates(host)?;
        plan.hidden = markers(&host.join("usr/lib"))?;
        Ok(plan)
    }

    fn add(&mut self, path: impl Into<String>, node: Node) {
        self.nodes.insert(path.into(), node);
    }

    /// `/bin` and its like: the host's links into `/usr`, or its directories where they are no links.
    fn root_links(&mut self, host: &Path) -> io::Result<()> {
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let path = host.join(name);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_symlink() => self.add(name, Node::Link(fs::read_link(&path)?)),
                Ok(found) if found.is_dir() => {
                    self.add(name, Node::Directory(0o755));
                    self.directories.push(path);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn copied(&mut self, host: &Path) -> io::Result<()> {
        if let Some(bytes) = small_file(&host.join("etc/ld.so.cache"))? {
            self.add("etc/ld.so.cache", Node::File(bytes, 0o644));
        }
        if host.join("usr/lib/os-release").exists() {
            self.add("etc/os-release", Node::Link("../usr/lib/os-release".into()));
        }
        Ok(())
    }

    /// The links that choose among programs of `/usr`; not those of manuals.
    fn alternatives(&mut self, host: &Path) -> io::Result<()> {
        for path in listed(&host.join("etc/alternatives"))? {
            let Ok(target) = fs::read_link(&path) else { continue };
            let inside = target.starts_with("/usr") && !target.starts_with("/usr/local");
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| inside) else {
                continue;
            };
            if !name.ends_with(".gz") {
                self.add(format!("etc/alternatives/{name}"), Node::Link(target));
            }
        }
        Ok(())
    }

    /// Public certificates: links into `/usr`, links beside each other, and files that hold no private key.
    fn certificates(&mut self, host: &Path) -> io::Result<()> {
        for path in listed(&host.join("etc/ssl/certs"))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let node = match fs::read_link(&path) {
                Ok(target) if target.starts_with("/usr/share") || target.components().count() == 1 => {
                    Node::Link(target)
                }
                Ok(_) => continue,
                Err(_) => match small_file(&path)? {
                    Some(bytes) if is_public(&bytes) => Node::File(bytes, 0o644),
                    _ => continue,
                },
            };
            self.add(format!("etc/ssl/certs/{name}"), node);
        }
        Ok(())
    }

    /// The digest of all that would be made, so that the same host gives the same directory.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (path, node) in &self.nodes {
            let (kind, content) = match node {
                Node::Directory(mode) => (format!("d{mode:o}"), &[][..]),
                Node::File(bytes, mode) => (format!("f{mode:o}"), &bytes[..]),
                Node::Link(target) => ("l".into(), target.as_os_str().as_bytes()),
            };
            hasher.update(format!("{path}\0{kind}\0{}\0", content.len()).as_bytes());
            hasher.update(content);
        }
        for path in self.directories.iter().chain(&self.hidden) {
            hasher.update(path.as_os_str().as_bytes());
        }
        hasher.finish()
    }

    /// Makes it below `dir`, which is empty. Blocking; not synced.
    pub(crate) fn make(&self, dir: &Path) -> io::Result<()> {
        let made = Made::at(dir);
        for path in [&made.root, &made.empty] {
            fs::create_dir(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        let kind = rfs::FileType::CharacterDevice;
        rfs::mknodat(rfs::CWD, &made.nothing, kind, rfs::Mode::empty(), rfs::makedev(0, 0))?;
        for (path, node) in &self.nodes {
            let path = made.root.join(path);
            match node {
                Node::Directory(_) => fs::create_dir(&path)?,
                Node::File(bytes, _) => fs::write(&path, bytes)?,
                Node::Link(target) => symlink(target, &path)?,
            }
            if let Node::Directory(mode) | Node::File(_, mode) = node {
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
            }
        }
        Ok(())
    }
}

// === impl Stamp ===

impl Stamp {
    pub(crate) fn of(host: &Path) -> Self {
        let fixed = [
            "",
            "etc/ld.so.cache",
            "etc/alternatives",
            "etc/ssl/certs",
            "etc/ssl/certs/ca-certificates.crt",
            "usr/lib",
        ];
        let pythons = pythons(&host.join("usr/lib")).unwrap_or_default();
        let watched = fixed.iter().map(|path| host.join(path)).chain(pythons);
        Self(
            watched
                .map(|path| {
                    fs::metadata(path).ok().map(|found| (found.ino(), found.ctime(), found.ctime_nsec()))
                })
                .collect(),
        )
    }
}

// === impl Made ===

impl Made {
    pub(crate) fn at(dir: &Path) -> Self {
        Self { root: dir.join("root"), empty: dir.join("empty"), nothing: dir.join("nothing") }
    }
}

/// The files with which a distribution forbids `pip` to install anything.
fn markers(lib: &Path) -> io::Result<Vec<PathBuf>> {
    let named = pythons(lib)?.into_iter().map(|path| path.join("EXTERNALLY-MANAGED"));
    Ok(named.filter(|path| path.is_file()).collect())
}

fn pythons(lib: &Path) -> io::Result<Vec<PathBuf>> {
    let is_python =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"python3"));
    Ok(listed(lib)?.into_iter().filter(is_python).collect())
}

/// The entries of a directory, in order; none if it is not there.
fn listed(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn small_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() <= MAX_COPY => fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether these are certificates and nothing that is secret.
fn is_public(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY")
}

#[cfg(test)]
mod tests;
