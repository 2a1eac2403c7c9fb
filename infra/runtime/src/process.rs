//! Short commands with a deadline, and processes known by number.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{fs, io, os::fd::OwnedFd, process::Output, time::Duration};
use tokio::process::Command;

/// Runs a command to its end and kills it when the time is over.
pub(crate) async fn output(command: &mut Command, timeout: Duration) -> io::Result<Output> {
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    match tokio::time::timeout(timeout, command.output()).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}"))),
    }
}

/// A process held so that its number cannot come to mean another.
pub(crate) fn hold(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// Kills a held process.
pub(crate) fn kill(process: &OwnedFd) {
    let _ = pidfd_send_signal(process, Signal::KILL);
}

/// Waits up to `limit` for a held process to end. True if it has: its mount namespace and files are gone, too.
pub(crate) fn ends_within(process: &OwnedFd, limit: Timespec) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&limit)), Ok(1..))
}

/// Whether a process is in a cgroup or below it, in any hierarchy. Ask after it is held: the answer is then about the process
/// that is held, or about one that took its number, which the held descriptor does not mean.
pub(crate) fn is_in_cgroup(pid: i32, cgroup: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    !cgroup.is_empty() && text.lines().any(|line| names(line, cgroup))
}

/// Whether a line of `/proc/<pid>/cgroup` names a cgroup of ours. An agent in a cgroup of its own sees a longer path.
fn names(line: &str, cgroup: &str) -> bool {
    let path = line.splitn(3, ':').nth(2).unwrap_or_default();
    path.ends_with(cgroup) || path.contains(&format!("{cgroup}/"))
}

/// Whether a held process has ended.
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    ends_within(process, Timespec { tv_sec: 0, tv_nsec: 0 })
}

/// Every process and its command line.
///
/// # Errors
/// The list is not complete: a process that lives could not be read.
pub(crate) fn command_lines() -> io::Result<Vec<(i32, Vec<String>)>> {
    let mut list = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        list.extend(command_line(pid)?.map(|words| (pid, words)));
    }
    Ok(list)
}

/// Words of a process's command line; none if it is gone.
pub(crate) fn command_line(pid: i32) -> io::Result<Option<Vec<String>>> {
    let text = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(text) => text,
        // It ended meanwhile.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Ok(Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_cgroup_is_known_by_its_whole_name() {
        assert!(names("4:memory:/agent-sandbox-1/u/app", "/agent-sandbox-1/u/app"));
        assert!(names("0::/agent-sandbox-1/u/app/deeper", "/agent-sandbox-1/u/app"));
        assert!(!names("0::/agent-sandbox-1/u/application", "/agent-sandbox-1/u/app"));
        assert!(!names("0::/", "/agent-sandbox-1/u/app"));
    }
}
