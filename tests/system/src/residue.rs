//! What one installation has on the host, found by the id that everything it makes carries. So suites can run side by side.

use crate::Output;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The hierarchies of cgroup v1, and the root of v2.
const HIERARCHIES: [&str; 11] =
    ["memory", "pids", "cpu", "cpuacct", "freezer", "blkio", "devices", "cpuset", "systemd", "unified", "."];

/// Where to look for what the installation of one data directory has made.
#[derive(Debug, Clone)]
pub struct Residue {
    data: PathBuf,
    id: String,
}

// === impl Residue ===

impl Residue {
    /// Of the installation whose data are, or will be, in `data`.
    pub fn of(data: &Path) -> Self {
        let id = format!("{:06x}", fnv(data.to_string_lossy().as_bytes()) & 0xff_ffff);
        Self { data: data.to_owned(), id }
    }

    /// The six digits that the installation's names on the host carry.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Processes, mounts, network interfaces and namespaces, nftables tables, cgroups, run directory and data.
    pub fn look(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        found.extend(self.processes());
        found.extend(self.mounts());
        found.extend(self.interfaces());
        found.extend(self.tables());
        let cgroup = format!("agent-sandbox-{}", self.id);
        let places = HIERARCHIES.map(|name| Path::new("/sys/fs/cgroup").join(name).join(&cgroup));
        let run = Path::new("/run/agent-sandbox").join(&self.id);
        let places = places.into_iter().chain([run, self.data.clone()]);
        found.extend(places.filter(|place| place.exists()).map(|place| place.display().to_string()));
        found
    }

    /// Fails with everything that is still there. Kernel clean-up gets a moment.
    ///
    /// # Panics
    /// Something is left.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let started = Instant::now();
        loop {
            let left = self.look();
            if left.is_empty() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(10), "left on the host: {left:#?}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn ours(&self, text: &str) -> bool {
        text.contains(&format!("agent-sandbox/{}", self.id))
            || text.contains(&format!("agent-sandbox-{}", self.id))
            || text.contains(&*self.data.to_string_lossy())
    }

    fn processes(&self) -> Vec<String> {
        let listed = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        listed
            .filter_map(|process| {
                let line = fs::read_to_string(process.join("cmdline")).ok()?.replace('\0', " ");
                let cgroups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
                let pid = process.file_name()?.to_string_lossy().into_owned();
                (self.ours(&line) || self.ours(&cgroups)).then(|| format!("process {pid}: {line}"))
            })
            .collect()
    }

    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        table.lines().filter(|line| self.ours(line)).map(|line| format!("mount: {line}")).collect()
    }

    fn interfaces(&self) -> Vec<String> {
        let listed = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let names = listed.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let ours = names.filter(|name| name.starts_with(&format!("as{}", self.id)));
        ours.map(|name| format!("interface {name}")).collect()
    }

    fn tables(&self) -> Vec<String> {
        let listed = Output::of(Command::new("nft").args(["list", "tables"])).ok();
        listed.lines().filter(|line| self.ours(line)).map(|line| format!("nftables {line}")).collect()
    }
}

/// How the product makes its id of the data directory's path: the low half of a 32-bit FNV-1a hash.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
