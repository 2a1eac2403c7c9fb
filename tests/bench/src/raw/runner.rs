//! The process inside a supervisor's namespaces: starts containers by the runtime when a line tells it to.

use crate::client::read_json;
use anyhow::{Context as _, Result, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::BufRead as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What to run.
struct Plan {
    program: String,
    options: Vec<String>,
    gvisor: bool,
    spec: Value,
    directory: PathBuf,
}

/// Answers each line of standard input with the microseconds it took.
pub(crate) fn serve(plan: &Path) -> Result<()> {
    let plan = Plan::read(plan)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let took = match (line.strip_prefix("burst "), line.as_str()) {
            (Some(count), _) => plan.burst(count.parse()?)?,
            (None, "stop") => plan.stop(0)?,
            (None, _) => plan.one(0)?,
        };
        println!("{}", took.as_micros());
    }
    Ok(())
}

/// Where a container has its network from.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    /// The runner's namespace, made and dressed like a pod's before the clock starts.
    Shared,
    /// A namespace of its own, as each of ours has; the runtime makes it, with nothing in it.
    Own,
}

// === impl Plan ===

impl Plan {
    fn read(path: &Path) -> Result<Self> {
        let plan = read_json(path)?;
        let text =
            |key: &str| plan[key].as_str().map(str::to_owned).with_context(|| format!("plan has no {key}"));
        let options = plan["options"].as_array().cloned().unwrap_or_default();
        Ok(Self {
            program: text("program")?,
            options: options.iter().filter_map(|option| option.as_str().map(str::to_owned)).collect(),
            gvisor: plan["gvisor"].as_bool().unwrap_or_default(),
            spec: read_json(Path::new(&text("spec")?))?,
            directory: text("directory")?.into(),
        })
    }

    /// Start, remove; the time of the start.
    fn one(&self, number: usize) -> Result<Duration> {
        self.prepare(number, Network::Shared)?;
        let took = self.run(number)?;
        self.remove(number)?;
        Ok(took)
    }

    /// Start, ask to end; the time from the signal to the end of the container's process.
    fn stop(&self, number: usize) -> Result<Duration> {
        self.prepare(number, Network::Shared)?;
        self.run(number)?;
        let pid: i32 = fs::read_to_string(self.pid_file(number))?.trim().parse()?;
        let pid = Pid::from_raw(pid).context("no pid")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        // The first process of a namespace ignores TERM until it says what to do about it.
        thread::sleep(Duration::from_millis(200));
        let asked = Instant::now();
        pidfd_send_signal(&process, Signal::TERM)?;
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience))?;
        let took = asked.elapsed();
        ensure!(ended == 1, "the container did not end on TERM");
        self.remove(number)?;
        Ok(took)
    }

    fn burst(&self, count: usize) -> Result<Duration> {
        for number in 0..count {
            self.prepare(number, Network::Own)?;
        }
        let started = Instant::now();
        thread::scope(|scope| {
            let starts: Vec<_> = (0..count).map(|number| scope.spawn(move || self.run(number))).collect();
            starts.into_iter().try_for_each(|start| match start.join() {
                Ok(result) => result.map(drop),
                Err(_) => anyhow::bail!("a start panicked"),
            })
        })?;
        let took = started.elapsed();
        (0..count).try_for_each(|number| self.remove(number))?;
        Ok(took)
    }

    fn bundle(&self, number: usize) -> PathBuf {
        self.directory.join(number.to_string())
    }

    fn pid_file(&self, number: usize) -> PathBuf {
        self.bundle(number).join("pid")
    }

    /// The sandbox's own spec with another cgroup and another network namespace.
    fn prepare(&self, number: usize, network: Network) -> Result<()> {
        let mut spec = self.spec.clone();
        spec["linux"]["cgroupsPath"] = json!(format!("/asbench/{number}"));
        if let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
            for namespace in namespaces.iter_mut().filter(|namespace| namespace["type"] == "network") {
                // This process is in the namespace already; its pin in /run/netns came later than this mount namespace.
                namespace["path"] = json!(format!("/proc/{}/ns/net", std::process::id()));
            }
            if network == Network::Own {
                namespaces.retain(|namespace| namespace["type"] != "network");
                namespaces.push(json!({"type": "network"}));
            }
        }
        fs::create_dir_all(self.bundle(number))?;
        Ok(fs::write(self.bundle(number).join("config.json"), spec.to_string())?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.directory.join("state")).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, number: usize) -> Result<Duration> {
        let detach = if self.gvisor { "-detach" } else { "--detach" };
        let mut command = self.command();
        command.args(["run", detach, "--bundle"]).arg(self.bundle(number));
        command.arg("--pid-file").arg(self.pid_file(number)).arg(id(number));
        let errors = self.bundle(number).join("errors");
        command.stderr(fs::File::create(&errors)?);
        let started = Instant::now();
        let status = command.status()?;
        let took = started.elapsed();
        ensure!(status.success(), "{command:?}: {status}: {}", fs::read_to_string(errors)?);
        Ok(took)
    }

    fn remove(&self, number: usize) -> Result<()> {
        let flag = if self.gvisor { "-force" } else { "--force" };
        let status = self.command().args(["delete", flag]).arg(id(number)).status()?;
        ensure!(status.success(), "delete: {status}");
        Ok(())
    }
}

fn id(number: usize) -> String {
    format!("asbench-{number}")
}
