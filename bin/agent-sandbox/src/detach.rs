//! `up --detach`: the same process in the background, and this one until it serves.
//!
//! The child's standard output is a pipe. When it serves it prints the banner there and moves both outputs to its log;
//! so the end of the pipe means that it is up, and an exit before means that it said why on standard error.

use cli::{Failure, Result};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Set for the child in the background.
pub(crate) const CHILD: &str = "AGENT_SANDBOX_DETACHED";

/// Starts the child with the same arguments and waits until it serves or gives up. The number is the exit code.
pub(crate) fn start() -> Result<u8> {
    let failed = |error: std::io::Error| Failure::new(format!("start in the background: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach" && argument != "-d");
    let mut child = Command::new(program)
        .args(arguments)
        .env(CHILD, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut said = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_end(&mut said).map_err(failed)?;
    }
    std::io::stdout().write_all(&said).map_err(failed)?;
    if !said.is_empty() {
        return Ok(0);
    }
    let status = child.wait().map_err(failed)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Whether this process is the child.
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// In the child: leaves the terminal's session.
pub(crate) fn leave_terminal() {
    // Fails only for a process that leads a group already, which then has no terminal to leave.
    let _ = rustix::process::setsid();
}

/// In the child: moves standard output and error to the log, which tells the parent that all is well.
pub(crate) fn move_output(data: &Path) -> Result<PathBuf> {
    let path = data.join("agent.log");
    let failed = |error: std::io::Error| Failure::new(format!("open {}: {error}", path.display()));
    let log = File::options().create(true).append(true).open(&path).map_err(failed)?;
    rustix::stdio::dup2_stdout(&log).map_err(|error| failed(error.into()))?;
    rustix::stdio::dup2_stderr(&log).map_err(|error| failed(error.into()))?;
    Ok(path)
}
