//! Finds and removes what no object owns any more.

use crate::{cgroup, container::read, detect::Runtimes, process, types::Driver};
use rustix::event::Timespec;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
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
    /// process, now or while this runs. Records in container directories stay: they are the caller's.
    pub async fn sweep(&self, keep: &BTreeSet<String>) -> Swept {
        let (runtimes, keep) = (self.clone(), keep.clone());
        tokio::task::spawn_blocking(move || runtimes.sweep_now(&keep)).await.unwrap_or_default()
    }

    fn sweep_now(&self, keep: &BTreeSet<String>) -> Swept {
        let mut swept = Swept::default();
        let supervisors = match supervisors(&self.inner.config.instance) {
            Ok(found) => found,
            Err(error) => {
                // Without the whole list nothing can be told from what is in use.
                swept.failed.push(format!("the processes of this machine cannot be listed: {error}"));
                return swept;
            }
        };
        let (kept, lost): (Vec<_>, Vec<_>) =
            supervisors.into_iter().partition(|supervisor| keep.contains(&supervisor.id));
        let in_use: BTreeSet<String> =
            kept.iter().filter_map(|supervisor| cgroup_of(&supervisor.dir)).collect();
        for supervisor in &lost {
            if self.unless_active(&supervisor.id, || kill(supervisor.pid)) {
                wait_killed(supervisor.pid);
                swept.containers.insert(supervisor.id.clone());
            }
        }
        self.sweep_cgroups(&in_use, &mut swept);
        for (driver, name, id) in self.states() {
            let path = self.root(driver).join(name);
            if !keep.contains(&id) && self.unless_active(&id, || remove_state(&path)) {
                swept.containers.insert(id);
            }
        }
        swept
    }

    fn sweep_cgroups(&self, in_use: &BTreeSet<String>, swept: &mut Swept) {
        let top = self.instance_cgroup();
        for pod in cgroup::children(&top) {
            for container in cgroup::children(&format!("{top}/{pod}")) {
                let path = format!("/{top}/{pod}/{container}");
                if in_use.contains(&path) {
                    continue;
                }
                match cgroup::destroy_while(&path, |pass| self.unless_used(&path, pass)) {
                    Some(true) => drop(swept.cgroups.insert(path)),
                    Some(false) => swept.failed.push(format!("cgroup {path} is still in use")),
                    None => {}
                }
            }
            self.unless_used(&format!("/{top}/{pod}/"), || self.remove_pod(&pod));
        }
    }

    /// Does it unless the container was started or adopted by this process. Nobody can start it meanwhile.
    fn unless_active(&self, id: &str, act: impl FnOnce()) -> bool {
        let active = self.inner.active.lock();
        let free = !active.contains_key(id);
        if free {
            act();
        }
        free
    }

    /// The same for a cgroup or, with a slash at its end, for all that lies below it.
    fn unless_used(&self, path: &str, act: impl FnOnce()) -> bool {
        let active = self.inner.active.lock();
        let below = |used: &String| used == path || (path.ends_with('/') && used.starts_with(path));
        let free = !active.values().any(below);
        if free {
            act();
        }
        free
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
            let all = supervisors(&runtimes.inner.config.instance).unwrap_or_default();
            if let Some(supervisor) = all.into_iter().find(|found| found.id == id) {
                kill(supervisor.pid);
                wait_killed(supervisor.pid);
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
///
/// # Errors
/// It cannot be told: the machine's processes cannot be listed.
pub(crate) fn supervisor_of(dir: &Path) -> io::Result<Option<i32>> {
    // It says who it is once its container runs; the long way is for one that is still starting, or gone.
    let state = read::<Value>(&dir.join("state.json")).ok().flatten().unwrap_or_default();
    let told = state["supervisor"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = told
        && let Some(words) = process::command_line(pid)?
        && parse((pid, words)).is_some_and(|(_, supervisor)| supervisor.dir == dir)
    {
        return Ok(Some(pid));
    }
    let found = process::command_lines()?.into_iter().filter_map(parse);
    Ok(found
        .map(|(_, supervisor)| supervisor)
        .find(|supervisor| supervisor.dir == dir)
        .map(|found| found.pid))
}

/// Every supervisor of an instance.
fn supervisors(instance: &str) -> io::Result<Vec<Supervisor>> {
    let found = process::command_lines()?.into_iter().filter_map(parse);
    Ok(found.filter(|(owner, _)| owner == instance).map(|(_, supervisor)| supervisor).collect())
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

fn kill(pid: i32) {
    if let Some(held) = process::hold(pid) {
        process::kill(&held);
    }
}

/// Waits up to two seconds for a process that was killed to be gone.
fn wait_killed(pid: i32) {
    if let Some(held) = process::hold(pid) {
        process::ends_within(&held, Timespec { tv_sec: 2, tv_nsec: 0 });
    }
}

fn remove_state(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}
