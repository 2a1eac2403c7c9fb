//! The command lines of the runtimes, and what they leave behind.

use crate::{
    cgroup,
    config::{Config, Driver},
    stdio::ForRuntime,
    sys,
};
use rustix::process::{WaitOptions, wait as wait_any};
use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Where the runtime writes the first process's number, relative to the container's directory.
pub(crate) const PID_FILE: &str = "pid";

/// The runtime's own log: the reason when it fails.
pub(crate) const LOG_FILE: &str = "runtime.log";

/// Longest time a runtime may take to forget a container.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts `<runtime> run`, which creates and starts the container and returns.
pub(crate) fn start(config: &Config, console: Option<&Path>, stdio: ForRuntime) -> std::io::Result<Child> {
    let mut command = command(config);
    command.arg("run").arg(detach(config)).args(["--bundle", "bundle", "--pid-file", PID_FILE]);
    if let Some(path) = console {
        command.arg("--console-socket").arg(path);
    }
    let (input, output, errors) = stdio;
    command.arg(&config.id).stdin(input).stdout(output).stderr(errors).spawn()
}

/// Waits for a container that is no child of ours (a member of a gVisor sandbox).
pub(crate) fn wait(config: &Config) -> std::io::Result<Child> {
    let mut command = command(config);
    command.arg("wait").arg(&config.id);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// Whether the process that the runtime named acts on this signal as the container's first process would.
///
/// gVisor's sandbox passes on what it gets to the first process of its own container; asking runsc instead starts a program and
/// takes 20 ms. Signals that its Go runtime keeps for itself are left to runsc.
pub(crate) fn takes_signal(config: &Config, number: i32) -> bool {
    const PASSED_ON: [i32; 4] = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    match config.driver {
        Driver::Runc => true,
        Driver::Runsc => !config.member && PASSED_ON.contains(&number),
    }
}

/// Asks the runtime to signal the container's first process; does not wait for the answer.
pub(crate) fn signal(config: &Config, number: i32) -> std::io::Result<Child> {
    let mut command = command(config);
    command.arg("kill").arg(&config.id).arg(number.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Removes every trace of a container that has ended.
///
/// The runtimes' own `delete` starts a program again and, forced, sleeps; for a container whose processes are gone
/// only files and cgroups are left. A member of a living sandbox must be forgotten by the sandbox: runsc does that.
pub(crate) fn clean(config: &Config) {
    if config.member {
        delete(config);
    }
    cgroup::remove(&config.cgroup);
    match config.driver {
        Driver::Runc => {
            let _ = fs::remove_dir_all(config.root.join(&config.id));
        }
        Driver::Runsc => {
            let starts = format!("{}_sandbox:", config.id);
            let socket = format!("runsc-{}.sock", config.id);
            for entry in fs::read_dir(&config.root).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(&starts) || name == socket {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
}

fn delete(config: &Config) {
    let mut command = command(config);
    command.args(["delete", "--force"]).arg(&config.id);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return };
    let number = i64::from(child.id());
    let deadline = Instant::now() + DELETE_TIMEOUT;
    while Instant::now() < deadline {
        // runsc waits until the container's gofer is gone: it is our child, so a zombie until we collect it.
        match wait_any(WaitOptions::NOHANG) {
            Ok(Some((pid, _))) if i64::from(pid.as_raw_nonzero().get()) == number => return,
            Ok(Some(_)) => {}
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn command(config: &Config) -> Command {
    let mut command = Command::new(&config.program);
    command.arg("--root").arg(&config.root).args(["--log", LOG_FILE, "--log-format", "json"]);
    command.args(&config.options).process_group(0);
    // SAFETY: between fork and exec the closure only changes the signal mask.
    unsafe {
        command.pre_exec(|| {
            sys::unblock_all_signals();
            Ok(())
        });
    }
    command
}

fn detach(config: &Config) -> &'static str {
    match config.driver {
        Driver::Runc => "--detach",
        Driver::Runsc => "-detach",
    }
}
