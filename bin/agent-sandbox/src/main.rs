//! The one binary: everything on this machine (`up`), and the command line for this machine or any cluster.

#![allow(clippy::print_stdout, reason = "a command line prints")]

use std::process::ExitCode;

mod args;
mod backup;
mod banner;
mod certificates;
mod contents;
mod detach;
mod doctor;
mod down;
mod kubeconfigs;
mod limits;
mod lock;
mod node_name;
mod notify;
mod parts;
mod place;
mod restore;
mod standalone;
mod status;
mod up;
mod watched;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match args::parse_and_run() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !failure.is_silent() {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}
