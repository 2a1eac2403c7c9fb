//! Starts the differential suite, with the real server built first where nobody has one.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};

use crate::{child, metadata::Metadata};

/// What to do with which cells.
#[derive(Args)]
pub(crate) struct Options {
    /// What to compare with, and what to keep.
    #[arg(value_enum, default_value = "live")]
    command: Command,
    /// Which cells, as a pattern: `create/*/pods`.
    #[arg(default_value = "*")]
    cells: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Command {
    /// Compares with a real server.
    Live,
    /// Compares with a real server and keeps what it answered.
    Record,
    /// Compares with what was kept.
    Replay,
    /// Compares with what was kept and writes CELLS.md.
    Table,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut cargo = child::cargo();
    if matches!(options.command, Command::Live | Command::Record) {
        cargo.env("KUBEBUILDER_ASSETS", assets()?);
    }
    let command = options.command.to_possible_value().context("a command has a name")?;
    cargo.args(["run", "--quiet", "-p", "differential", "--", command.get_name(), &options.cells]);
    ensure!(cargo.status()?.success(), "differential failed");
    Ok(())
}

/// The folder of kube-apiserver and etcd: the one of the environment, or one made here.
fn assets() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
        return Ok(folder.into());
    }
    let root = Metadata::load()?.workspace_root;
    let folder = root.join("target/reference");
    let build = root.join("tests/differential/reference/build");
    let status = std::process::Command::new(build).arg(&folder).status().context("start reference/build")?;
    ensure!(status.success(), "reference/build failed");
    Ok(folder)
}
