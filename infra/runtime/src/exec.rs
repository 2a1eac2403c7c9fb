//! Commands in a running container, by the runtime's own `exec`.

use crate::{
    container::Container,
    pty::{self, Master},
    start,
    types::{Driver, ExecExit, ExecRequest},
};
use rustix::thread::LinkNameSpaceType;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs, io,
    os::fd::AsFd as _,
    path::PathBuf,
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
}

/// Numbers for file names.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Files of one exec, removed when it is dropped.
struct Files {
    process: PathBuf,
    log: PathBuf,
    pid: PathBuf,
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
        let name = |kind: &str| inner.dir.join(format!("exec-{}-{number}.{kind}", std::process::id()));
        let files = Files { process: name("json"), log: name("log"), pid: name("pid") };
        fs::write(&files.process, process(&self.facts().process, request).to_string())?;
        let command = self.exec_command(&files)?;
        let netns = self.network()?;
        if request.tty {
            with_terminal(command, netns, request, files)
        } else {
            with_pipes(command, netns, request, files)
        }
    }

    fn exec_command(&self, files: &Files) -> Result<Command, ExecError> {
        let inner = &self.inner;
        let found =
            inner.runtimes.driver(inner.driver).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut command = Command::new(&found.path);
        command.arg("--root").arg(inner.runtimes.root(inner.driver)).arg("--log").arg(&files.log);
        command.args(["--log-format", "json"]).args(start::options(found)).arg("exec");
        command.arg("--process").arg(&files.process);
        if inner.driver == Driver::Runc {
            command.arg("--pid-file").arg(&files.pid);
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

/// The container's own process, with the request's command.
fn process(base: &Value, request: &ExecRequest) -> Value {
    let mut process = base.clone();
    process["args"] = json!(request.command);
    process["terminal"] = request.tty.into();
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
    })
}

fn with_terminal(
    mut command: Command,
    netns: Option<fs::File>,
    request: &ExecRequest,
    files: Files,
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
        let log = fs::read_to_string(&self.files.log).unwrap_or_default();
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

    /// Ends the command at once, for a probe that takes too long.
    pub fn kill(&mut self) {
        let pid = fs::read_to_string(&self.files.pid).ok().and_then(|text| text.trim().parse().ok());
        if let Some(process) = pid.and_then(crate::process::hold) {
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
}

impl std::fmt::Debug for Exec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec").field("child", &self.child.id()).finish_non_exhaustive()
    }
}

// === impl Files ===

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.process, &self.log, &self.pid] {
            let _ = fs::remove_file(file);
        }
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
