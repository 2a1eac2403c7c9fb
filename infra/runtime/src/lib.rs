//! Runs containers through OCI command-line runtimes (runc, runsc), one supervisor process each.
//!
//! [`Runtimes`] finds the runtimes, starts a supervisor for every container and finds those again that outlived an
//! earlier agent. What a container did is known from three places, in this order: `exit.json` and `error.json`, which
//! are on disk before the supervisor ends, and its `control.sock` while it lives.
//!
//! **Invariant:** nothing here waits without a deadline, except [`Container::wait`], which waits for the container.
//!
//! Records of one container's directory: `config.json` (for the supervisor), `bundle/config.json` (OCI spec),
//! `control.sock`, `state.json`, `runtime.log`, `pid`, `exit.json` or `error.json`.
#![allow(
    unsafe_code,
    reason = "terminals of exec need calls between fork and exec; each says why it is sound"
)]

mod attach;
mod cgroup;
mod container;
mod control;
mod detect;
mod end;
mod exec;
mod forward;
mod host;
mod leftover;
mod probe;
mod process;
mod pty;
mod rootfs;
mod start;
mod sweep;
mod types;

pub use attach::{Attach, Output};
pub use cgroup::CgroupError;
pub use container::{Adopted, Container};
pub use detect::{Config, Found, Runtimes};
pub use end::StopError;
pub use exec::{Exec, ExecError, ExecOutput, ExecStdin};
pub use rootfs::read_in_rootfs;
pub use start::StartError;
pub use sweep::Swept;
pub use types::{
    Driver, ExecExit, ExecRequest, Exit, Log, Request, RootFs, StartFailure, Stats, container_id,
};
