//! `cargo xtask bench WHAT`: builds what is measured with optimisation, then measures it.

use crate::child::command;
use anyhow::{Context as _, Result, ensure};

/// What `cargo xtask bench` takes.
#[derive(clap::Subcommand)]
pub(crate) enum What {
    /// A standalone installation beside the runtimes it uses; needs root.
    Standalone {
        /// Passed on: --rounds N, --sandboxes N, --only start,exec,mode,burst,scale.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// The store beside append + fdatasync.
    Store,
}

/// Builds and measures; fails where a limit is missed.
pub(crate) fn run(what: &What) -> Result<()> {
    match what {
        What::Standalone { rest } => standalone(rest),
        What::Store => cargo(&["run", "--release", "-q", "-p", "store", "--example", "bench"], &[]),
    }
}

fn standalone(rest: &[String]) -> Result<()> {
    let root = crate::metadata::Metadata::load()?.workspace_root;
    let built = command(root.join("scripts/build")).arg("release").status().context("start scripts/build")?;
    ensure!(built.success(), "scripts/build failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let binary = target.join("release/agent-sandbox").display().to_string();
    let mut args = vec!["run", "--release", "-q", "-p", "bench", "--", "standalone"];
    args.extend(rest.iter().map(String::as_str));
    cargo(&args, &[("AGENT_SANDBOX", binary.as_str())])
}

fn cargo(args: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status =
        crate::child::cargo().args(args).envs(environment.iter().copied()).status().context("start cargo")?;
    ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}
