//! Facts of the host.

use podspec::{CgroupVersion, Host};
use std::{fs, path::Path, path::PathBuf};

/// What podspec must know; the node's name and addresses are left empty.
pub(crate) fn facts(instance: &str, mount_dir: PathBuf) -> Host {
    let cgroup = cgroup_version();
    Host {
        instance: instance.to_owned(),
        cgroup,
        swap_accounting: match cgroup {
            CgroupVersion::V1 => Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
            CgroupVersion::V2 => Path::new("/proc/swaps").exists(),
        },
        max_open_files: rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .maximum
            .unwrap_or(1 << 20),
        cpu_millis: std::thread::available_parallelism().map_or(1, |count| count.get() as u64) * 1000,
        memory_bytes: memory_bytes(),
        node_name: String::new(),
        node_ips: Vec::new(),
        mount_dir,
    }
}

/// v2 only where every controller is on the unified hierarchy.
pub(crate) fn cgroup_version() -> CgroupVersion {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        CgroupVersion::V2
    } else {
        CgroupVersion::V1
    }
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A number of `/proc/sys/kernel`.
pub(crate) fn read_number(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
}
