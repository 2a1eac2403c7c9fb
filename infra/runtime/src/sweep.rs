//! Finds and removes what no object owns any more.

use crate::{
    cgroup,
    container::read,
    detect::{Inner, Runtimes},
    process,
    types::Driver,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runtime ids of containers whose supervisor or state was found and removed.
    pub containers: BTreeSet<String>,
    /// Cgroups killed and removed, relative to the hierarchies' roots.
    pub cgroups: BTreeSet<String>,
    /// What could not be removed, in words.
    pub failed: Vec<String>,
}

/// A supervisor that runs.
pub(crate) struct Supervisor {
    pub(crate) pid: i32,
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
}

// === impl Runtimes ===

impl Runtimes {
    /// Kills and removes every container of this instance that is neither in `keep` nor started or adopted by this
    /// process. Records in container directories stay: they are the caller's.
    pub async fn sweep(&self, keep: &BTreeSet<String>) -> Swept {
        let inner = self.inner.clone();
        let keep = keep.clone();
        let runtimes = self.clone();
        tokio::task::spawn_blocking(move || {
            let keep = keep.union(&inner.active.lock()).cloned().collect();
            runtimes.sweep_now(&inner, &keep)
        })
        .await
        .unwrap_or_default()
    }

    fn sweep_now(&self, inner: &Arc<Inner>, keep: &BTreeSet<String>) -> Swept {
        let mut swept = Swept::default();
        let (kept, lost): (Vec<_>, Vec<_>) = supervisors(&inner.config.instance)
            .into_iter()
            .partition(|supervisor| keep.contains(&supervisor.id));
        let in_use: BTreeSet<String> =
            kept.iter().filter_map(|supervisor| cgroup_of(&supervisor.dir)).collect();
        for supervisor in &lost {
            kill_and_wait(supervisor.pid);
            swept.containers.insert(supervisor.id.clone());
        }
        let top = self.instance_cgroup();
        for pod in cgroup::children(&top) {
            for container in cgroup::children(&format!("{top}/{pod}")) {
                let path = format!("/{top}/{pod}/{container}");
                if in_use.contains(&path) {
                    continue;
                }
                if cgroup::destroy(&path) {
                    swept.cgroups.insert(path);
                } else {
                    swept.failed.push(format!("cgroup {path} is still in use"));
                }
            }
            self.remove_pod(&pod);
        }
        for (driver, name, id) in self.states() {
            if !keep.contains(&id) {
                remove_state(&self.root(driver).join(name));
                swept.containers.insert(id);
            }
        }
        swept
    }

    /// Driver, file name and container id of every state on record.
    fn states(&self) -> Vec<(Driver, String, String)> {
        let mut list = Vec::new();
        for driver in [Driver::Runc, Driver::Runsc] {
            for entry in fs::read_dir(self.root(driver)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let id = match driver {
                    Driver::Runc => name.clone(),
                    Driver::Runsc => match (name.split_once("_sandbox:"), name.strip_prefix("runsc-")) {
                        (Some((id, _)), _) => id.to_owned(),
                        (None, Some(rest)) => rest.trim_end_matches(".sock").to_owned(),
                        (None, None) => continue,
                    },
                };
                list.push((driver, name, id));
            }
        }
        list
    }

    /// Removes one container whatever its state: supervisor, processes, cgroup, runtime state.
    pub(crate) async fn destroy(&self, id: &str, dir: &Path) {
        let (runtimes, id, dir) = (self.clone(), id.to_owned(), dir.to_owned());
        let work = move || {
            let own = supervisors(&runtimes.inner.config.instance).into_iter().find(|found| found.id == id);
            if let Some(supervisor) = own {
                kill_and_wait(supervisor.pid);
            }
            if let Some(path) = cgroup_of(&dir) {
                cgroup::destroy(&path);
            }
            for (driver, name, owner) in runtimes.states() {
                if owner == id {
                    remove_state(&runtimes.root(driver).join(name));
                }
            }
            let _ = fs::remove_file(dir.join("control.sock"));
        };
        let _ = tokio::task::spawn_blocking(work).await;
    }
}

/// The supervisor that serves a directory, if it lives.
pub(crate) fn supervisor_of(dir: &Path) -> Option<i32> {
    let found = process::command_lines().into_iter().filter_map(parse);
    found.map(|(_, supervisor)| supervisor).find(|supervisor| supervisor.dir == dir).map(|found| found.pid)
}

/// Every supervisor of an instance.
fn supervisors(instance: &str) -> Vec<Supervisor> {
    let found = process::command_lines().into_iter().filter_map(parse);
    found.filter(|(owner, _)| owner == instance).map(|(_, supervisor)| supervisor).collect()
}

/// `agent-sandbox-supervisor run --instance <instance> --id <id> <dir>`.
fn parse((pid, words): (i32, Vec<String>)) -> Option<(String, Supervisor)> {
    // A process in a container may call itself what it likes, but it is not the host's root.
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(format!("/proc/{pid}")).ok().filter(|meta| meta.uid() == 0)?;
    match &words[..] {
        [name, run, flag, instance, _, id, dir]
            if name == "agent-sandbox-supervisor" && run == "run" && flag == "--instance" =>
        {
            Some((instance.clone(), Supervisor { pid, id: id.clone(), dir: dir.into() }))
        }
        _ => None,
    }
}

fn cgroup_of(dir: &Path) -> Option<String> {
    let config = read::<Value>(&dir.join("config.json")).ok().flatten()?;
    config["cgroup"].as_str().map(str::to_owned)
}

/// Kills a process and waits up to two seconds for it to be gone.
fn kill_and_wait(pid: i32) {
    let Some(held) = process::hold(pid) else { return };
    process::kill(&held);
    let mut fds = [PollFd::new(&held, PollFlags::IN)];
    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 2, tv_nsec: 0 }));
}

fn remove_state(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}
