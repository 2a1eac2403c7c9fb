//! The raw side: the runtime itself, started on the bundle of a sandbox of ours.
//!
//! The root file system of a sandbox is mounted in its supervisor's private mount namespace, so the runner is a process of
//! this program inside that namespace; entering it is not timed.

use crate::client::{only_entry, read_json};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use system::Output;

pub(crate) mod runner;

/// runsc refuses a namespace in which it sees the root network's settings; the supervisor hides them likewise.
const GVISOR: &str = "mount -t tmpfs none /proc/sys/net/core && exec \"$0\" \"$@\"";
const RUNC: &str = "exec \"$0\" \"$@\"";

/// A runner in the namespaces of one sandbox.
pub(crate) struct Raw {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    netns: Netns,
    directory: PathBuf,
}

/// The records of a sandbox's one container.
pub(crate) struct Container {
    /// The supervisor's own directory for it.
    pub(crate) directory: PathBuf,
    /// What the supervisor was told.
    pub(crate) config: Value,
}

// === impl Container ===

impl Container {
    /// Finds the container of the Pod `uid`.
    pub(crate) fn find(data: &Path, uid: &str) -> Result<Self> {
        let directory = only_entry(&data.join("pods").join(uid).join("c"))?;
        let config = read_json(&directory.join("config.json"))?;
        Ok(Self { directory, config })
    }

    fn supervisor(&self) -> Result<u32> {
        let wanted = self.directory.display().to_string();
        for entry in fs::read_dir("/proc")?.flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.starts_with("agent-sandbox-supervisor") && line.contains(&wanted) {
                return Ok(entry.file_name().to_string_lossy().parse()?);
            }
        }
        anyhow::bail!("no supervisor of {wanted}")
    }
}

// === impl Raw ===

impl Raw {
    /// Starts a runner for the container, with a network namespace of its own.
    pub(crate) fn beside(container: &Container, scratch: &Path) -> Result<Self> {
        let supervisor = container.supervisor()?;
        let netns = Netns::make()?;
        let directory = scratch.join(format!("raw-{supervisor}"));
        fs::create_dir_all(&directory)?;
        let gvisor = container.config["driver"] == "runsc";
        let plan = json!({
            "program": container.config["program"], "options": container.config["options"],
            "gvisor": gvisor,
            "spec": container.directory.join("bundle/config.json"),
            "directory": directory,
        });
        let plan_file = directory.join("plan.json");
        fs::write(&plan_file, plan.to_string())?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{supervisor}/ns/mnt"));
        command.arg(format!("--net=/run/netns/{}", netns.name));
        command.args(["--", "unshare", "--mount", "sh", "-c"]).arg(if gvisor { GVISOR } else { RUNC });
        command.arg(std::env::current_exe()?).arg("raw-runner").arg(&plan_file);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start nsenter")?;
        let input = child.stdin.take().context("stdin")?;
        let output = BufReader::new(child.stdout.take().context("stdout")?);
        Ok(Self { child, input, output, netns, directory })
    }

    /// Starts one container by the runtime and removes it; only the start is timed.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        self.netns.dress()?;
        self.ask("one")
    }

    /// Starts one container and asks it to end; only its end is timed.
    pub(crate) fn stop(&mut self) -> Result<Duration> {
        self.netns.dress()?;
        self.ask("stop")
    }

    /// Starts `count` containers, as many at a time as ours are; the time until the last one runs.
    pub(crate) fn burst(&mut self, count: usize) -> Result<Duration> {
        self.ask(&format!("burst {count}"))
    }

    fn ask(&mut self, what: &str) -> Result<Duration> {
        writeln!(self.input, "{what}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let micros = line.trim().parse().with_context(|| format!("raw {what}: {line}"))?;
        Ok(Duration::from_micros(micros))
    }

    /// The bundle that the raw side runs, for the report.
    pub(crate) fn bundle(&self) -> Result<String> {
        let spec = read_json(&self.directory.join("0/config.json"))?;
        Ok(serde_json::to_string(&spec)?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The runner ends when its input does; a kill only helps where it hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network namespace of the same shape as a pod's: one routed veth with an address.
struct Netns {
    name: String,
}

// === impl Netns ===

impl Netns {
    fn make() -> Result<Self> {
        let name = format!("asbench-{}", std::process::id());
        let _ = Command::new("ip").args(["netns", "del", &name]).stderr(Stdio::null()).status();
        ip(&["netns", "add", &name])?;
        let netns = Self { name };
        netns.inside(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", "asbench0", "type", "veth", "peer", "name", "eth0", "netns", &netns.name])?;
        ip(&["link", "set", "asbench0", "up"])?;
        Ok(netns)
    }

    /// gVisor takes the address out of the namespace when it starts: each start needs it anew.
    fn dress(&self) -> Result<()> {
        self.inside(&["addr", "replace", "10.254.254.2/32", "dev", "eth0"])?;
        self.inside(&["link", "set", "eth0", "up"])?;
        self.inside(&["route", "replace", "10.254.254.1", "dev", "eth0"])?;
        self.inside(&["route", "replace", "default", "via", "10.254.254.1", "dev", "eth0"])
    }

    fn inside(&self, args: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name.as_str()], args].concat())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
        let _ = Command::new("ip").args(["link", "del", "asbench0"]).stderr(Stdio::null()).status();
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Output::of(Command::new("ip").args(args));
    ensure!(output.code == 0, "{}: {}", output.line, output.err);
    Ok(())
}
