//! Cgroups: the cap over all sandboxes, what a container uses, and removal.

use crate::{detect::Runtimes, host, types::Stats};
use podspec::CgroupVersion;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Root of all hierarchies.
const TOP: &str = "/sys/fs/cgroup";

/// A cgroup file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {}", path.display())]
pub struct CgroupError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

// === impl Runtimes ===

impl Runtimes {
    /// Makes the cgroup that holds every sandbox of this instance and caps their memory (swap included) and the number of
    /// their processes together.
    ///
    /// # Errors
    /// The kernel refuses, for example because the agent is not root.
    pub fn prepare_cgroups(&self, memory_bytes: Option<u64>) -> Result<(), CgroupError> {
        let name = self.instance_cgroup();
        let pids = most_processes(host::read_number("pid_max"), host::read_number("threads-max"));
        let at = |controller: &str| Path::new(TOP).join(controller).join(&name);
        match host::cgroup_version() {
            CgroupVersion::V1 => {
                let (memory, processes) = (at("memory"), at("pids"));
                make(&memory)?;
                write_all(&memory, &memory_v1(memory_bytes))?;
                make(&processes)?;
                set(&processes.join("pids.max"), &pids)
            }
            CgroupVersion::V2 => {
                let controllers = Path::new(TOP).join("cgroup.subtree_control");
                set(&controllers, "+memory +pids +cpu +cpuset +io")
                    .or_else(|_| set(&controllers, "+memory +pids +cpu"))?;
                make(&at(""))?;
                write_all(&at(""), &memory_v2(memory_bytes))?;
                set(&at("").join("pids.max"), &pids)
            }
        }
    }

    /// Removes a pod's cgroup once its containers are gone; one that is still in use stays.
    pub fn remove_pod(&self, pod_uid: &str) {
        for dir in directories(&format!("{}/{pod_uid}", self.instance_cgroup())) {
            let _ = fs::remove_dir(dir);
        }
    }

    /// Removes the cgroup of the whole instance, killing what is still in it. Blocks for up to two seconds; true when it is gone.
    pub fn remove_instance(&self) -> bool {
        destroy(&self.instance_cgroup())
    }

    /// `agent-sandbox-<instance>`.
    pub(crate) fn instance_cgroup(&self) -> String {
        format!("agent-sandbox-{}", self.inner.config.instance)
    }
}

/// A file, what is written to it, and whether a kernel without swap accounting may lack it.
type Setting = (&'static str, String, bool);

/// The limit with swap can never be below the one without, so it is lifted before that one is changed.
fn memory_v1(bytes: Option<u64>) -> Vec<Setting> {
    let value = bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    let (memory, both) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    vec![(both, "-1".to_owned(), true), (memory, value.clone(), false), (both, value, true)]
}

fn memory_v2(bytes: Option<u64>) -> Vec<Setting> {
    let swap = if bytes.is_some() { "0" } else { "max" };
    let value = bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
    vec![("memory.max", value, false), ("memory.swap.max", swap.to_owned(), true)]
}

/// Nine tenths of what the kernel has for all: the host can always start a process.
fn most_processes(pid_max: Option<u64>, threads_max: Option<u64>) -> String {
    let all = pid_max.into_iter().chain(threads_max).min();
    all.map_or_else(|| "max".to_owned(), |all| (all - all / 10).to_string())
}

fn make(dir: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(dir).map_err(|source| CgroupError { path: dir.to_owned(), source })
}

fn write_all(dir: &Path, settings: &[Setting]) -> Result<(), CgroupError> {
    let there = |(file, _, optional): &&Setting| !optional || dir.join(file).exists();
    settings.iter().filter(there).try_for_each(|(file, value, _)| set(&dir.join(file), value))
}

fn set(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|source| CgroupError { path: path.to_owned(), source })
}

/// Directories of a cgroup, one for each hierarchy.
pub(crate) fn directories(path: &str) -> Vec<PathBuf> {
    let relative = path.trim_start_matches('/');
    if relative.is_empty() {
        return Vec::new();
    }
    let own = Path::new(TOP).join(relative);
    let hierarchies =
        fs::read_dir(TOP).into_iter().flatten().flatten().map(|entry| entry.path().join(relative));
    let mut list: Vec<PathBuf> = std::iter::once(own).chain(hierarchies).filter(|dir| dir.is_dir()).collect();
    // `cpu` and `cpuacct` may be links to one directory.
    list.sort();
    list.dedup_by_key(|dir| dir.canonicalize().unwrap_or_default());
    list
}

/// Names of the cgroups directly below a cgroup, over all hierarchies.
pub(crate) fn children(path: &str) -> std::collections::BTreeSet<String> {
    let entries =
        directories(path).into_iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Kills everything in a cgroup and removes it. Blocks for up to two seconds; true when it is gone.
pub(crate) fn destroy(path: &str) -> bool {
    let always = |pass: &mut dyn FnMut()| {
        pass();
        true
    };
    destroy_while(path, always) == Some(true)
}

/// The same; `guard` runs each pass, or says that the cgroup is wanted again: then the answer is none.
pub(crate) fn destroy_while(path: &str, guard: impl Fn(&mut dyn FnMut()) -> bool) -> Option<bool> {
    for _ in 0..80 {
        let left = directories(path);
        if left.is_empty() {
            return Some(true);
        }
        if !guard(&mut || left.iter().for_each(|dir| remove_below(dir))) {
            return None;
        }
        if directories(path).is_empty() {
            return Some(true);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Some(false)
}

fn remove_below(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    if fs::remove_dir(dir).is_err() {
        let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
            if let Some(process) = crate::process::hold(pid) {
                crate::process::kill(&process);
            }
        }
    }
}

/// What a cgroup uses, on v1 or v2; zero for what cannot be read.
pub(crate) fn stats(path: &str) -> Stats {
    let relative = path.trim_start_matches('/');
    let read = |controller: &str, file: &str| {
        fs::read_to_string(Path::new(TOP).join(controller).join(relative).join(file)).unwrap_or_default()
    };
    let number = |text: String| text.trim().parse::<u64>().unwrap_or(0);
    let (cpu_nanos, memory_bytes, inactive, pids) = match host::cgroup_version() {
        CgroupVersion::V1 => (
            number(read("cpuacct", "cpuacct.usage")),
            number(read("memory", "memory.usage_in_bytes")),
            field(&read("memory", "memory.stat"), "total_inactive_file"),
            number(read("pids", "pids.current")),
        ),
        CgroupVersion::V2 => (
            field(&read("", "cpu.stat"), "usage_usec") * 1000,
            number(read("", "memory.current")),
            field(&read("", "memory.stat"), "inactive_file"),
            number(read("", "pids.current")),
        ),
    };
    Stats { cpu_nanos, memory_bytes, working_set_bytes: memory_bytes.saturating_sub(inactive), pids }
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_match_whole_names() {
        let text = "inactive_file_x 9\ninactive_file 4096\nusage_usec 7";
        assert_eq!(field(text, "inactive_file"), 4096);
        assert_eq!(field(text, "usage_usec"), 7);
        assert_eq!(field(text, "usage"), 0);
    }

    #[test]
    fn the_limit_with_swap_is_never_below_the_one_without_on_the_way() {
        let settings = memory_v1(Some(400));
        let files: Vec<_> = settings.iter().map(|(file, value, _)| (*file, value.as_str())).collect();
        let both = "memory.memsw.limit_in_bytes";
        assert_eq!(files, [(both, "-1"), ("memory.limit_in_bytes", "400"), (both, "400")]);
        assert_eq!(memory_v2(Some(400))[1].1, "0");
        assert_eq!(memory_v2(None)[1].1, "max");
    }

    #[test]
    fn all_sandboxes_together_leave_the_host_a_tenth_of_its_processes() {
        assert_eq!(most_processes(Some(32_768), Some(30_000)), "27000");
        assert_eq!(most_processes(None, None), "max");
    }
}
