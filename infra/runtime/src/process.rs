//! Short commands with a deadline, and processes known by number.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
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

/// Every process and its command line.
pub(crate) fn command_lines() -> Vec<(i32, Vec<String>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, command_line(pid)?))).collect()
}

pub(crate) fn command_line(pid: i32) -> Option<Vec<String>> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
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
