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
    time::Duration,
};

/// Size from which the log is put aside, and how often that is looked at.
const LOG_CAP: u64 = 16 << 20;
const LOG_CHECK: Duration = Duration::from_secs(60);

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

/// In the child: leaves the terminal's session, and the directory that it was started in, which may go away. Relative
/// paths of the command line must have been resolved before.
pub(crate) fn leave_terminal() -> Result<()> {
    // Fails only for a process that leads a group already, which then has no terminal to leave.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").map_err(|error| Failure::new(format!("change to /: {error}")))
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

/// In the child: keeps the log from filling the disk. Never ends.
pub(crate) async fn cap_log(data: &Path) -> std::convert::Infallible {
    let path = data.join("agent.log");
    loop {
        tokio::time::sleep(LOG_CHECK).await;
        if let Err(error) = rotate(&path, LOG_CAP).and_then(|rotated| {
            if rotated { move_output(data).map(drop).map_err(std::io::Error::other) } else { Ok(()) }
        }) {
            eprintln!("the log was not rotated: {error}");
        }
    }
}

/// Puts a file that is too large aside as `<name>.1`, in the place of the one before; whether it did.
fn rotate(path: &Path, cap: u64) -> std::io::Result<bool> {
    if std::fs::metadata(path)?.len() < cap {
        return Ok(false);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    std::fs::rename(path, aside).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_over_the_cap_is_put_aside_and_one_before_it_kept() {
        let dir = tempfile::tempdir().expect("dir");
        let log = dir.path().join("agent.log");
        std::fs::write(&log, "first").expect("write");
        assert!(!rotate(&log, 6).expect("looked"));
        assert!(rotate(&log, 5).expect("rotated"));
        std::fs::write(&log, "second").expect("write");
        assert!(rotate(&log, 5).expect("rotated"));
        assert_eq!(std::fs::read_to_string(dir.path().join("agent.log.1")).expect("kept"), "second");
        assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 1);
    }
}
