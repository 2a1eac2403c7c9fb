//! What of an installation is on the host, held against the objects that own it.

use crate::Output;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// The objects that may own something.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Uids of Pods: records, logs, processes, namespaces, interfaces, cgroups, mounts.
    pub pods: BTreeSet<String>,
    /// Uids of Sandboxes (and of Pods without one): kept writable layers.
    pub owners: BTreeSet<String>,
    /// Names of PersistentVolumes: directories.
    pub volumes: BTreeSet<String>,
}

/// Everything of an installation that no object owns.
pub fn unowned(data: &Path, id: &str, objects: &Objects) -> Vec<String> {
    let run = Path::new("/run/agent-sandbox").join(id);
    let mut left = Vec::new();
    let mut check = |what: &str, found: Vec<String>, owners: &BTreeSet<String>| {
        left.extend(found.into_iter().filter(|one| !owners.contains(one)).map(|one| format!("{what} {one}")));
    };
    check("records", names(&data.join("pods")), &objects.pods);
    check("kept layer", names(&data.join("roots")), &objects.owners);
    check("volume", names(&data.join("volumes")), &objects.volumes);
    check("network namespace", names(&run.join("netns")), &objects.pods);
    check("memory volumes", names(&run.join("volumes")), &objects.pods);
    for driver in ["runc", "runsc"] {
        check("container state", uids(names(&run.join(driver))), &objects.pods);
    }
    check("interface", interfaces(id), &objects.pods);
    check("process", processes(data, id), &objects.pods);
    check("mount", mounts(data, &run), &objects.pods);
    for controller in names(Path::new("/sys/fs/cgroup")) {
        let dir = Path::new("/sys/fs/cgroup").join(controller).join(format!("agent-sandbox-{id}"));
        check("cgroup", directories(&dir), &objects.pods);
    }
    left
}

/// The rules of an installation's table, for comparing two looks. Counters are not among them.
pub(crate) fn rules(id: &str) -> String {
    Output::of(Command::new("nft").args(["list", "table", "inet", &format!("agent-sandbox-{id}")])).ok()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn directories(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| dir.join(name).is_dir()).collect()
}

/// The Pods' uids in names such as `runsc-<uid>.<container>.1.sock`.
fn uids(names: Vec<String>) -> Vec<String> {
    let uid = |name: String| name.trim_start_matches("runsc-").chars().take(36).collect();
    let all: BTreeSet<String> = names.into_iter().map(uid).collect();
    all.into_iter().collect()
}

fn interfaces(id: &str) -> Vec<String> {
    let listed = Output::of(Command::new("ip").args(["-j", "link"])).ok();
    let links: Vec<Value> = serde_json::from_str(&listed).expect("ip prints JSON");
    let ours = links
        .iter()
        .filter(|link| link["ifname"].as_str().unwrap_or_default().starts_with(&format!("as{id}-")));
    let owner = |link: &Value| {
        link["ifalias"].as_str().unwrap_or("without owner").split(' ').next().map(str::to_owned)
    };
    ours.filter_map(owner).collect()
}

/// The Pods' uids of processes that name this installation, but for the agent.
fn processes(data: &Path, id: &str) -> Vec<String> {
    let marks = [
        format!("{}/pods/", data.display()),
        format!("/run/agent-sandbox/{id}/"),
        format!("agent-sandbox-{id}/"),
    ];
    let pids = names(Path::new("/proc")).into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let ours = pids.filter(|pid| {
        let said = of_process(pid);
        marks.iter().any(|mark| said.contains(mark))
    });
    ours.map(|pid| owner_of(&pid).unwrap_or_else(|| format!("{pid}: {}", of_process(&pid)))).collect()
}

/// Command line, directory and cgroups of a process.
fn of_process(pid: &str) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let directory = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    format!("{} {} {cgroups}", String::from_utf8_lossy(&line).replace('\0', " "), directory.display())
}

/// The uid that a process or one of its ancestors carries: gVisor's helpers have it from their supervisor.
fn owner_of(pid: &str) -> Option<String> {
    let mut pid = pid.to_owned();
    for _ in 0..6 {
        if let Some(uid) = uid_in(&of_process(&pid)) {
            return Some(uid);
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        pid = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
    }
    None
}

/// The first uid in a text.
fn uid_in(text: &str) -> Option<String> {
    let lengths = [8, 4, 4, 4, 12];
    let shaped = |word: &&str| word.split('-').map(str::len).eq(lengths);
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.map(|word| word.trim_matches('-')).find(shaped).map(str::to_owned)
}

/// The host's mounts of this installation: a namespace by its Pod, anything else by its path.
fn mounts(data: &Path, run: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let ours = points.filter(|point| point.starts_with(run) || point.starts_with(data));
    // The directory of the pins is a mount of the installation's own, gone when that goes.
    let ours = ours.filter(|point| *point != run.join("netns"));
    let owner = |point: &Path| match point.strip_prefix(run.join("netns")) {
        Ok(uid) => uid.display().to_string(),
        Err(_) => point.display().to_string(),
    };
    ours.map(owner).collect()
}
