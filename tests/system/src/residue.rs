//! What of ours is on the host: the test of "nothing is left" compares two looks.

use crate::Output;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Everything found on the host that an installation could have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residue {
    found: BTreeSet<String>,
}

// === impl Residue ===

impl Residue {
    /// Looks at processes, mounts, network interfaces, nftables tables, cgroups and run directories.
    pub fn look() -> Self {
        let mut found = BTreeSet::new();
        found.extend(processes());
        found.extend(mounts());
        found.extend(interfaces());
        found.extend(tables());
        found.extend(directories("/run/agent-sandbox", "run directory"));
        for controller in [
            "memory", "pids", "cpu", "cpuacct", "freezer", "blkio", "devices", "cpuset", "systemd",
            "unified", ".",
        ] {
            found.extend(cgroups(&Path::new("/sys/fs/cgroup").join(controller)));
        }
        Self { found }
    }

    /// Fails with everything that is there now and was not then. Kernel clean-up gets a moment.
    ///
    /// # Panics
    /// Something is left.
    #[track_caller]
    pub fn assert_nothing_new(&self) {
        let started = Instant::now();
        loop {
            let now = Self::look();
            let left: Vec<&String> = now.found.difference(&self.found).collect();
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "left on the host: {left:#?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn processes() -> Vec<String> {
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    listed
        .filter_map(|entry| {
            let pid = entry
                .file_name()
                .into_string()
                .ok()
                .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))?;
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?.replace('\0', " ");
            let ours = ["agent-sandbox", "runsc-", "runsc ", "runc "].iter().any(|word| line.contains(word));
            (ours && !line.contains("cargo") && !line.contains("deps/"))
                .then(|| format!("process {pid}: {line}"))
        })
        .collect()
}

fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.contains("agent-sandbox")).map(|line| format!("mount: {line}")).collect()
}

fn interfaces() -> Vec<String> {
    let listed = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    listed.map(|entry| format!("interface {}", entry.file_name().to_string_lossy())).collect()
}

fn tables() -> Vec<String> {
    let listed = Output::of(Command::new("nft").args(["list", "tables"])).out;
    listed.lines().map(|line| format!("nftables {line}")).collect()
}

fn directories(path: &str, what: &str) -> Vec<String> {
    let listed = fs::read_dir(path).into_iter().flatten().flatten();
    listed.map(|entry| format!("{what} {}", entry.path().display())).collect()
}

fn cgroups(root: &Path) -> Vec<String> {
    let listed = fs::read_dir(root).into_iter().flatten().flatten();
    let ours = listed.filter(|entry| entry.file_name().to_string_lossy().starts_with("agent-sandbox"));
    ours.map(|entry| format!("cgroup {}", entry.path().display())).collect()
}
