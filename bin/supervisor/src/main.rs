//! One small process per container: owns its mounts, output, control socket and exit record.
//!
//! The same static program is also the init inside containers that ask for one, and the pause of gVisor sandboxes.
//!
//! **Invariant:** whatever the agent does, the container's exit code reaches the disk before this process ends.
#![allow(
    unsafe_code,
    reason = "mount, namespace and signal calls that rustix does not cover; each says why it is sound"
)]

mod cgroup;
mod clock;
mod config;
mod control;
mod driver;
mod failure;
mod init;
mod log;
mod mounts;
mod record;
mod stdio;
mod supervise;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|verb| verb.to_str()) {
        Some("run") => supervise::main(args),
        Some("init") => init::run(args),
        Some("pause") => init::pause(),
        Some("true") => ExitCode::SUCCESS,
        _ => {
            eprintln!("usage: supervisor run --instance <id> --id <id> <dir> | init -- <command> | pause");
            ExitCode::from(2)
        }
    }
}
