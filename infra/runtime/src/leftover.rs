//! Files for a while: gone when they are dropped, and swept where a process died with them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file that is removed when this is dropped. It need not be there.
#[derive(Debug)]
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A name that [`sweep`] knows by: `<what>-<pid>-<rest>`.
pub(crate) fn name(what: &str, rest: &str) -> String {
    format!("{what}-{}-{rest}", std::process::id())
}

/// Removes files and directories of processes that are gone.
pub(crate) fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split('-').nth(1));
        let dead = |pid: &str| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists();
        if pid.is_some_and(dead) {
            let path = entry.path();
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_what_is_in_use_is_not() {
        let dir = std::env::temp_dir().join(format!("as-leftover-{}", std::process::id()));
        let own = name("probe", "systrap");
        // No process has a number this large.
        for name in [own.as_str(), "probe-4294967000-kvm", "probe-kvm", "mnt"] {
            fs::create_dir_all(dir.join(name).join("rootfs")).unwrap();
        }
        fs::write(dir.join("exec-4294967000-1.json"), "SECRET=1").unwrap();
        sweep(&dir);
        let mut left: Vec<_> = fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["mnt", own.as_str(), "probe-kvm"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
