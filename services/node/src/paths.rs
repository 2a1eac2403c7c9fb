//! Where things lie on disk. Every name made from a tenant's text is checked or hashed first.

use std::path::{Path, PathBuf};

/// The directories of one node.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    data: PathBuf,
    run: PathBuf,
}

// === impl Paths ===

impl Paths {
    pub(crate) fn new(data: &Path, run: &Path) -> Self {
        Self { data: data.to_owned(), run: run.to_owned() }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    pub(crate) fn pods(&self) -> PathBuf {
        self.data.join("pods")
    }

    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    pub(crate) fn record(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("pod.json")
    }

    /// The records of one run of a container. Short, because a socket lies in it.
    pub(crate) fn container(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("c").join(run_name(container, attempt))
    }

    /// The writable layer of one run of a container that keeps none.
    pub(crate) fn layer(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.layers(uid).join(run_name(container, attempt))
    }

    pub(crate) fn layers(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("layers")
    }

    pub(crate) fn logs(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("logs").join(container)
    }

    pub(crate) fn log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.logs(uid, container).join(format!("{attempt}.log"))
    }

    /// Volumes that die with the Pod.
    pub(crate) fn pod_volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }

    /// File systems in memory that several containers of a Pod share.
    pub(crate) fn memory_volumes(&self, uid: &str) -> PathBuf {
        self.run.join("volumes").join(uid)
    }

    pub(crate) fn persistent_volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// Where directories wait for their deletion.
    pub(crate) fn trash(&self) -> PathBuf {
        self.data.join("trash")
    }

    pub(crate) fn roots(&self) -> PathBuf {
        self.data.join("roots")
    }

    /// The writable layer that outlives the Pod, until its owner is gone.
    pub(crate) fn kept_layer(&self, owner: &str, container: &str) -> PathBuf {
        self.roots().join(owner).join(container)
    }
}

/// `<hash>.<attempt>`, the end of the runtime's own id for the run.
fn run_name(container: &str, attempt: u32) -> String {
    runtime::container_id("", container, attempt).trim_start_matches('.').to_owned()
}

/// Whether this text can be the name of a file made by us: no separators, no dots alone, nothing odd.
pub(crate) fn is_plain(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=253).contains(&name.len()) && name.bytes().all(fine) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_way_out_is_no_name() {
        for bad in ["", ".", "..", "../x", "a/b", "a\0b", ".hidden", "a b"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
        assert!(is_plain("pvc-0f2c1a5e-1111-2222-3333-444455556666"));
    }

    /// A socket's path has at most 107 bytes; the default data directory and a uid must leave room for its name.
    #[test]
    fn a_containers_directory_leaves_room_for_a_socket() {
        let paths = Paths::new(Path::new("/var/lib/agent-sandbox"), Path::new("/run/agent-sandbox/abcdef"));
        let uid = "0f2c1a5e-1111-2222-3333-444455556666";
        let dir = paths.container(uid, &"x".repeat(63), 10_000);
        assert!(dir.join("control.sock").as_os_str().len() < 108, "{}", dir.display());
    }
}
