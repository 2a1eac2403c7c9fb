//! The process with number 1 inside a container: reaps orphans, passes signals on, ends as its child ends.
//!
//! Without it a program such as `sleep` ignores TERM, because the kernel protects process 1 from signals it does not
//! handle, and stopping takes the whole grace period.

use crate::sys;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::{
    ffi::OsString,
    io::{ErrorKind, IsTerminal as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

/// `init -- <command> [args]`.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut words = args.skip_while(|word| word == "--");
    let Some(program) = words.next() else { return ExitCode::from(2) };
    sys::block_all_signals();
    let mut command = Command::new(&program);
    command.args(words);
    let terminal = std::io::stdin().is_terminal();
    // SAFETY: between fork and exec the closure makes only plain system calls.
    unsafe { command.pre_exec(move || sys::own_foreground(terminal)) };
    let child = match command.spawn() {
        Ok(child) => i32::try_from(child.id()).unwrap_or(i32::MAX),
        Err(error) => return cannot_run(&program, &error),
    };
    loop {
        match sys::wait_signal() {
            libc::SIGCHLD => {
                if let Some(code) = reap(child) {
                    return ExitCode::from(code);
                }
            }
            signal => forward(child, signal),
        }
    }
}

/// Holds a sandbox until told to stop.
pub(crate) fn pause() -> ExitCode {
    sys::block_all_signals();
    loop {
        match sys::wait_signal() {
            libc::SIGCHLD => {
                let _ = reap(-1);
            }
            libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => return ExitCode::SUCCESS,
            _ => {}
        }
    }
}

fn cannot_run(program: &OsString, error: &std::io::Error) -> ExitCode {
    let name = program.to_string_lossy();
    let (text, code) = match error.kind() {
        ErrorKind::NotFound if name.contains('/') => (format!("stat {name}: no such file or directory"), 127),
        ErrorKind::NotFound => ("executable file not found in $PATH".to_owned(), 127),
        ErrorKind::PermissionDenied => ("permission denied".to_owned(), 126),
        _ => (error.to_string(), 126),
    };
    eprintln!("exec: {name:?}: {text}");
    ExitCode::from(code)
}

/// Collects everything that ended; the child's code if it was among them.
fn reap(child: i32) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            let value =
                status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
            code = value.map(|value| u8::try_from(value).unwrap_or(255));
        }
    }
    code
}

fn forward(child: i32, number: i32) {
    // Terminal job control is between the terminal and its foreground group.
    if matches!(number, libc::SIGTTIN | libc::SIGTTOU) {
        return;
    }
    if let (Some(pid), Some(signal)) = (Pid::from_raw(child), Signal::from_named_raw(number)) {
        let _ = kill_process(pid, signal);
    }
}
