//! Runs containers through OCI command-line runtimes, one supervisor process each.

mod types;

pub use types::{
    Driver, ExecExit, ExecRequest, Exit, Log, Request, RootFs, StartFailure, Stats, container_id,
};
