//! The container's cgroup: was memory short, kill what is left, remove it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Directories of a cgroup, one for each hierarchy (one alone on v2).
pub(crate) fn directories(path: &str) -> Vec<PathBuf> {
    let relative = path.trim_start_matches('/');
    if relative.is_empty() {
        return Vec::new();
    }
    let top = Path::new("/sys/fs/cgroup");
    let own = top.join(relative);
    let hierarchies =
        fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path().join(relative));
    std::iter::once(own).chain(hierarchies).filter(|dir| dir.is_dir()).collect()
}

/// The kernel killed something in this cgroup because memory ran out.
pub(crate) fn oom_killed(path: &str) -> bool {
    let relative = path.trim_start_matches('/');
    let files = [
        Path::new("/sys/fs/cgroup/memory").join(relative).join("memory.oom_control"),
        Path::new("/sys/fs/cgroup").join(relative).join("memory.events"),
    ];
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| {
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    })
}

/// Longest sleep between two tries to remove a cgroup.
const PAUSE: Duration = Duration::from_millis(25);

/// Kills every process in the cgroup and removes it; gives up after about a second (the sweep finds the rest).
pub(crate) fn remove(path: &str) {
    // What was killed is mostly gone within a millisecond.
    let mut pause = Duration::from_micros(500);
    for round in 0..45 {
        let left = directories(path);
        if left.is_empty() {
            return;
        }
        for dir in &left {
            remove_below(dir);
        }
        if round > 0 {
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }
}

/// Removes the deepest first; kills what stands in the way.
fn remove_below(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    if fs::remove_dir(dir).is_err() {
        let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
