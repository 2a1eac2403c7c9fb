//! Commands in a running container, by the runtime's own `exec`.

use crate::{
    container::Container,
    leftover::{self, Removed},
    pty::{self, Master},
    start,
    types::{Driver, ExecExit, ExecRequest},
};
use rustix::thread::LinkNameSpaceType;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    process::{Child, Command},
    runtime::Handle,
};

/// Input of an exec. Dropping it ends the input of a command without a terminal.
pub type ExecStdin = Box<dyn AsyncWrite + Send + Unpin>;

/// An output of an exec.
pub type ExecOutput = Box<dyn AsyncRead + Send + Unpin>;

/// Why a command could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The request has no command.
    #[error("you must specify at least one command for the container")]
    NoCommand,
    /// The host failed.
    #[error("cannot run the container runtime")]
    Host(#[from] io::Error),
}

/// A command in a container. Dropping it leaves the command running.
pub struct Exec {
    /// Standard input, if it was asked for.
    pub stdin: Option<ExecStdin>,
    /// Standard output, or the terminal. `None` once taken.
    pub stdout: Option<ExecOutput>,
    /// Standard error; none with a terminal.
    pub stderr: Option<ExecOutput>,
    child: Child,
    terminal: Option<Master>,
    files: Files,
    /// The container's cgroup, which its commands are in.
    cgroup: String,
    /// The command's end was seen: its number may mean another process of the host by now.
    waited: bool,
}

/// Numbers for file names.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Files of one exec, removed when it is dropped.
struct Files {
    process: Removed,
    log: Removed,
    pid: Removed,
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default)]
    level: String,
    #[serde(default)]
    msg: String,
}

// === impl Container ===

impl Container {
    /// Runs a command in the container. A command that does not exist is not an error here: see [`Exec::wait`].
    ///
    /// # Errors
    /// See [`ExecError`].
    pub fn exec(&self, request: &ExecRequest) -> Result<Exec, ExecError> {
        if request.command.is_empty() {
            return Err(ExecError::NoCommand);
        }
        let inner = &self.inner;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = inner.runtimes.exec_dir();
        let name = |kind: &str| Removed(dir.join(leftover::name("exec", &format!("{number}.{kind}"))));
        let files = Files { process: name("json"), log: name("log"), pid: name("pid") };
        write_private(&files.process.0, &process(&self.facts().process, request).to_string())?;
        let command = self.exec_command(&files)?;
        let (netns, cgroup) = (self.network()?, self.facts().cgroup.clone());
        if request.tty {
            with_terminal(command, netns, request, files, cgroup)
        } else {
            with_pipes(command, netns, request, files, cgroup)
        }
    }

    fn exec_command(&self, files: &Files) -> Result<Command, ExecError> {
        let inner = &self.inner;
        let found =
            inner.runtimes.driver(inner.driver).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut command = Command::new(&found.path);
        command.arg("--root").arg(inner.runtimes.root(inner.driver)).arg("--log").arg(&files.log.0);
        command.args(["--log-format", "json"]).args(start::options(found)).arg("exec");
        command.arg("--process").arg(&files.process.0);
        if inner.driver == Driver::Runc {
            command.arg("--pid-file").arg(&files.pid.0);
        }
        command.arg(&inner.id);
        Ok(command)
    }
}

impl Container {
    /// A container of runc has its network from the supervisor (see podspec): so must what is run in it.
    fn network(&self) -> io::Result<Option<fs::File>> {
        let path = self.facts().netns.as_ref().filter(|_| self.inner.driver == Driver::Runc);
        path.map(fs::File::open).transpose()
    }
}

/// Writes a file that only its owner may read: the variables of a command may be secrets.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

/// The container's own process, with the request's command.
fn process(base: &Value, request: &ExecRequest) -> Value {
    let mut process = base.clone();
    process["args"] = json!(request.command);
    process["terminal"] = request.tty.into();
    if let Some((width, height)) = request.size.filter(|_| request.tty) {
        // runc passes on its own terminal's size only once the command runs, which may ask before.
        process["consoleSize"] = json!({ "width": width, "height": height });
    }
    if let Some(cwd) = &request.cwd {
        process["cwd"] = json!(cwd);
    }
    let mut env: Vec<String> = serde_json::from_value(process["env"].clone()).unwrap_or_default();
    let mut set = |name: &str, value: &str| {
        let start = format!("{name}=");
        env.retain(|entry| !entry.starts_with(&start));
        env.push(format!("{start}{value}"));
    };
    if request.tty {
        set("TERM", "xterm");
    }
    request.env.iter().for_each(|(name, value)| set(name, value));
    process["env"] = json!(env);
    process
}

/// Spawns the command in a network namespace.
///
/// A thread enters it and spawns from there. Entering between fork and exec would do as well, but then the child begins as a
/// copy of the agent's page tables, which costs milliseconds.
fn spawn(mut command: Command, netns: Option<fs::File>) -> io::Result<Child> {
    let Some(netns) = netns else { return command.spawn() };
    let runtime = Handle::current();
    let spawned = thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let _context = runtime.enter();
            rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            command.spawn()
        });
        inside.join()
    });
    spawned.unwrap_or_else(|_| Err(io::Error::other("the thread that spawns panicked")))
}

fn with_pipes(
    mut command: Command,
    netns: Option<fs::File>,
    request: &ExecRequest,
    files: Files,
    cgroup: String,
) -> Result<Exec, ExecError> {
    command.stdin(if request.stdin { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = spawn(command, netns)?;
    Ok(Exec {
        stdin: child.stdin.take().map(|stdin| Box::new(stdin) as ExecStdin),
        stdout: child.stdout.take().map(|stdout| Box::new(stdout) as ExecOutput),
        stderr: child.stderr.take().map(|stderr| Box::new(stderr) as ExecOutput),
        child,
        terminal: None,
        files,
        cgroup,
        waited: false,
    })
}

fn with_terminal(
    mut command: Command,
    netns: Option<fs::File>,
    request: &ExecRequest,
    files: Files,
    cgroup: String,
) -> Result<Exec, ExecError> {
    let (master, slave) = pty::open(request.size)?;
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    // SAFETY: between fork and exec the closure makes two system calls.
    unsafe { command.pre_exec(pty::own_terminal) };
    // The command holds our copies of the program's end, and goes with this call: while they are open the terminal never ends.
    let child = spawn(command, netns)?;
    Ok(Exec {
        stdin: request.stdin.then(|| Box::new(master.clone()) as ExecStdin),
        stdout: Some(Box::new(master.clone())),
        stderr: None,
        child,
        terminal: Some(master),
        files,
        cgroup,
        waited: false,
    })
}

// === impl Exec ===

impl Exec {
    /// Waits for the command's end. Read the outputs as well, or it may never end.
    ///
    /// # Errors
    /// The operating system lost the child.
    pub async fn wait(&mut self) -> io::Result<ExecExit> {
        let status = self.child.wait().await?;
        self.waited = true;
        let log = fs::read_to_string(&self.files.log.0).unwrap_or_default();
        Ok(outcome(status, &log))
    }

    /// Changes the terminal's size.
    ///
    /// # Errors
    /// The command has no terminal.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        match &self.terminal {
            Some(terminal) => terminal.resize(columns, rows),
            None => Err(io::Error::other("the command has no terminal")),
        }
    }

    /// Ends the command at once, for a probe that takes too long. Nothing happens to one whose end was seen.
    pub fn kill(&mut self) {
        if self.waited {
            return;
        }
        if let Some(process) = self.command() {
            crate::process::kill(&process);
            return;
        }
        // runsc passes TERM on; KILL it cannot pass on.
        if let Some(process) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(crate::process::hold)
        {
            let _ = rustix::process::pidfd_send_signal(&process, rustix::process::Signal::TERM);
        }
        let _ = self.child.start_kill();
    }

    /// The command itself, where the runtime says which process it is. The runtime may have reaped it already: what is held
    /// under its number counts only if it is in the container's cgroup.
    fn command(&self) -> Option<OwnedFd> {
        let pid: i32 = fs::read_to_string(&self.files.pid.0).ok()?.trim().parse().ok()?;
        let process = crate::process::hold(pid)?;
        crate::process::is_in_cgroup(pid, &self.cgroup).then_some(process)
    }
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").field("child", &self.child.id()).finish_non_exhaustive()
    }
}

/// The command's code, or why there is none.
fn outcome(status: ExitStatus, log: &str) -> ExecExit {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let entries = log.lines().filter_map(|line| serde_json::from_str::<LogLine>(line).ok());
    let mut errors = entries.filter(|entry| matches!(entry.level.as_str(), "error" | "fatal" | ""));
    let error = errors.next_back().map(|entry| entry.msg).filter(|text| code != 0 && !text.is_empty());
    let Some(error) = error else { return ExecExit { code, error: None } };
    let lower = error.to_ascii_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    let code = if has(&["not found", "no such file"]) {
        127
    } else if has(&["permission denied", "is a directory", "exec format error"]) {
        126
    } else {
        code
    };
    ExecExit { code, error: Some(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// An exec whose runtime is `true`, and whose pid file names a process of the host.
    async fn stale(dir: &Path, pid: u32) -> Exec {
        let name = |kind: &str| Removed(dir.join(kind));
        let files = Files { process: name("json"), log: name("log"), pid: name("pid") };
        fs::write(&files.pid.0, pid.to_string()).unwrap();
        let child = Command::new("sleep").arg("100").kill_on_drop(true).spawn().unwrap();
        let cgroup = "/agent-sandbox-000000/uid/app".to_owned();
        Exec { stdin: None, stdout: None, stderr: None, child, terminal: None, files, cgroup, waited: false }
    }

    /// The runtime reaps a command before it ends itself: from then on the number is free for any process of the host.
    #[tokio::test]
    async fn a_number_that_means_a_process_of_the_host_by_now_is_not_killed() {
        let dir = std::env::temp_dir().join(format!("as-exec-stale-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut stranger = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let mut exec = stale(&dir, stranger.id()).await;
        exec.kill();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), exec.wait()).await;
        assert!(ended.is_ok(), "the runtime itself is ended");
        exec.kill();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let alive = stranger.try_wait().unwrap().is_none();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert!(alive, "a process outside of the container was killed");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_process_file_is_for_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("as-exec-private-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        write_private(&path, "SECRET=1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
    }
}
